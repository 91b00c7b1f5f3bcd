"""Run as a program: vLLM's own answer to prompts, as JSON on the last line of its output."""

import json
import sys

from vllm import LLM, SamplingParams


def main() -> None:
    """Read the task from standard input and print the token ids."""
    task = json.load(sys.stdin)
    llm = LLM(model=task["model"], **task["engine_args"])
    outputs = llm.generate(
        [{"prompt_token_ids": prompt} for prompt in task["prompts"]],
        SamplingParams(temperature=0, max_tokens=task["max_tokens"]),
        use_tqdm=False,
    )
    json.dump([list(output.outputs[0].token_ids) for output in outputs], sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
