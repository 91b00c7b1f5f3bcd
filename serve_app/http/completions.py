"""POST /v1/completions"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from deployments.messages import Delta, Logprob
from deployments.tokenizing import Tokenizing
from serve_app.http import logprobs
from serve_app.http.answer import Answer, respond
from serve_app.http.body import read
from serve_app.http.completion_request import CompletionRequest
from serve_app.http.generation import plan
from serve_app.http.hearing import check_thinking
from serve_app.http.record import record_of
from serve_app.http.service import Service
from serve_app.http.tasks import GENERATE, facts_for, reach


async def create_completion(request: Request) -> Response:
    """Complete prompts, whole or as a stream."""
    service: Service = request.app.state.service
    asked = await read(request, CompletionRequest)
    await reach(request, asked.model)
    context = facts_for(service, asked.model, GENERATE)["max_model_len"]
    check_thinking(service.parsing(asked.model), asked)
    tokenizing = service.tokenizing(asked.model)
    prompts = [
        asked.shortened(await _tokens(tokenizing, asked, prompt), context)
        for prompt in asked.prompts
    ]
    record_of(request).rendered_at = service.router.now()
    sequences = plan(service, asked, prompts, "prompt")
    return await respond(request, sequences, CompletionAnswer(asked, prompts, tokenizing))


async def _tokens(
    tokenizing: Tokenizing, asked: CompletionRequest, prompt: str | list[int]
) -> list[int]:
    if isinstance(prompt, str):
        return await tokenizing.encode(prompt, add_special_tokens=asked.add_special_tokens)
    return prompt


class CompletionAnswer(Answer):
    """`text_completion`, as a whole and as events; an echo comes with a choice's first delta."""

    id_prefix = "cmpl"
    object_name = chunk_name = "text_completion"
    text_start = b'"text":'
    text_end = b',"logprobs":null,"finish_reason":null}]}\n\n'

    def __init__(
        self, asked: CompletionRequest, prompts: list[list[int]], tokenizing: Tokenizing
    ) -> None:
        super().__init__(asked, prompts)
        self._asked = asked
        self._prompts = prompts
        self._decode = tokenizing.decode
        self._name = logprobs.name_of(asked.return_tokens_as_token_ids)
        self._offsets = [0] * (len(prompts) * asked.n)

    def _events(self, index: int, delta: Delta, *, first: bool) -> bytes:
        if not self._says_something(delta) and not (first and self._asked.echo):
            return b""
        return self._event([self._piece(index, delta, first=first)])

    def _choice(self, index: int, choice: Delta) -> dict[str, Any]:
        return self._piece(index, choice, first=True)

    def _usage(self) -> dict[str, Any]:
        if self._asked.echo_only:
            self.usage.completion_tokens = 0
        return super()._usage()

    def _piece(self, index: int, delta: Delta, *, first: bool) -> dict[str, Any]:
        number = index // self._asked.n
        if self._asked.echo_only:  # without the token that vLLM could not but generate
            delta = Delta(0, "", [], "length", prompt_logprobs=delta.prompt_logprobs)
        echo = self._echo(number) if first and self._asked.echo else ""
        rendered = self._rendered(
            index, delta, {"text": echo + delta.text}, self._logprobs(index, number, delta)
        )
        if first and self._asked.return_token_ids:
            rendered["prompt_token_ids"] = self._prompts[number]
        if (count := self._asked.prompt_logprobs) is not None:
            rendered["prompt_logprobs"] = logprobs.for_prompt(delta.prompt_logprobs or (), count)
        return rendered

    def _echo(self, number: int) -> str:
        given = self._asked.prompts[number]
        whole = isinstance(given, str) and self._asked.truncate_prompt_tokens is None
        return str(given) if whole else self._decode(self._prompts[number])

    def _logprobs(self, index: int, number: int, delta: Delta) -> dict[str, Any] | None:
        count = self._asked.sample_logprobs
        if count is None:
            return None
        prompt = delta.prompt_logprobs if self._asked.echo else None
        rows = [*(prompt or ()), *(delta.logprobs or ())]
        first = self._first(number) if None in rows else None
        columns = logprobs.for_completion(rows, count, self._offsets[index], first, self._name)
        # Not the end of the text: what may become a stop string is held back.
        if rows:
            last = rows[-1][0] if rows[-1] is not None else first
            assert last is not None
            self._offsets[index] = columns["text_offset"][-1] + len(last.token)
        return columns

    def _first(self, number: int) -> Logprob:
        token_id = self._prompts[number][0]
        return Logprob(token_id, 0.0, self._decode([token_id]))
