"""An engine goes on with a sequence that another began, as if nothing had happened.

Float32, one engine of vLLM's CPU build in both parts: what comes after the first k tokens of an
undisturbed run must come again from the prompt and those k tokens, for every k.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from tokenizers import Tokenizer

from deployments import default_model, engine_args
from deployments.messages import (
    Delta,
    Logprob,
    Repetition,
    Sampling,
    Sequence,
    StructuredOutputs,
)
from tests.support import models, resuming

pytestmark = pytest.mark.skipif(
    not engine_args.is_cpu_build(), reason="the engine is that of vLLM's CPU build"
)

TOKENS = 64
BATCH_TOKENS = 128  # of one step; a longer prompt takes several
EOS = 1
PROMPT, OTHER = models.prompts(2, seed=4)
LONG = list(range(6, 306))
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "kind": {"enum": ["cat", "dog"]},
            "ages": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 99},
                "minItems": 2,
                "maxItems": 3,
            },
            "who": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 12}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "required": ["kind", "ages", "who"],
        "additionalProperties": False,
    }
)


EBNF = """root ::= "(" term ([+*] term){3} ")"
term ::= [0-9]{1,4} | "(" [0-9]{1,4} ")"
"""
LARK = """start: item (", " item)~5 "!"
item: "a" | "b"
"""
TAG = json.dumps(
    {
        "type": "structural_tag",
        "format": {
            "type": "tag",
            "begin": "<f>",
            "content": {
                "type": "json_schema",
                "json_schema": {
                    "type": "object",
                    "properties": {"n": {"type": "integer", "minimum": -999, "maximum": 999}},
                    "required": ["n"],
                    "additionalProperties": False,
                },
            },
            "end": "</f>",
        },
    }
)


@pytest.fixture(scope="module")
def engine() -> Iterator[resuming.EngineProcess]:
    with resuming.engine(max_num_batched_tokens=BATCH_TOKENS) as running:
        yield running


def sampling(**fields: Any) -> Sampling:
    return Sampling(**{"max_tokens": TOKENS, "temperature": 0.0, **fields})


class Stream:
    """What the deltas of one sequence say together."""

    def __init__(self, deltas: list[Delta]) -> None:
        self.deltas = deltas
        self.token_ids = [token for delta in deltas for token in delta.token_ids]
        self.text = "".join(delta.text for delta in deltas)
        self.end = deltas[-1].finish_reason, deltas[-1].stop_reason
        self.error = deltas[-1].error
        self.num_cached_tokens = max(delta.num_cached_tokens for delta in deltas)
        self.logprobs = [row for delta in deltas for row in delta.logprobs or []]


def run(engine: resuming.EngineProcess, *sequences: Sequence) -> list[Stream]:
    answer = engine.ask(list(sequences))
    assert answer.unfinished == 0
    return [Stream(deltas) for deltas in answer.deltas]


def check_every_seam(
    engine: resuming.EngineProcess, prompt: list[int], how: Sampling
) -> tuple[Stream, list[Stream]]:
    """The undisturbed stream, and what follows its first k tokens, which is checked, for each k."""
    (whole,) = run(engine, Sequence(0, prompt, how))
    assert all(len(delta.token_ids) == 1 for delta in whole.deltas)
    resumed = run(
        engine, *(Sequence(0, prompt, how, whole.token_ids[:k]) for k in range(len(whole.deltas)))
    )
    for k, rest in enumerate(resumed):
        delivered = "".join(delta.text for delta in whole.deltas[:k])
        assert rest.token_ids == whole.token_ids[k:], f"after {k} tokens"
        assert delivered + rest.text == whole.text, f"after {k} tokens"
        assert rest.end == whole.end, f"after {k} tokens"
    return whole, resumed


def plain(engine: resuming.EngineProcess) -> Stream:
    (stream,) = run(engine, Sequence(0, PROMPT, sampling()))
    return stream


class TestEveryToken:
    def test_of_a_greedy_stream(self, engine: resuming.EngineProcess) -> None:
        whole, _ = check_every_seam(engine, PROMPT, sampling())
        assert len(whole.token_ids) == TOKENS

    def test_behind_a_prompt_that_takes_several_steps(self, engine: resuming.EngineProcess) -> None:
        check_every_seam(engine, LONG, sampling())

    @pytest.mark.parametrize("prompt", [PROMPT, LONG[::-1]], ids=["short", "long"])
    def test_of_a_seeded_stream(self, engine: resuming.EngineProcess, prompt: list[int]) -> None:
        how = sampling(temperature=1.0, seed=11, top_p=0.9)
        whole, _ = check_every_seam(engine, prompt, how)
        (other,) = run(engine, Sequence(0, prompt, sampling(temperature=1.0, seed=12, top_p=0.9)))
        assert other.token_ids != whole.token_ids

    @pytest.mark.parametrize(
        "fields",
        [
            {"presence_penalty": 2.0},
            {"frequency_penalty": -2.0},
            {"repetition_penalty": 1.5},
            {"logit_bias": {700: 21.0, 900: 20.5}, "frequency_penalty": 0.5},
            {"stop_token_ids": (900,), "logit_bias": {900: 22.0}, "min_tokens": 20},
            {"allowed_token_ids": tuple(range(700, 760)), "frequency_penalty": 0.5},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_where_earlier_tokens_have_a_say(
        self, engine: resuming.EngineProcess, fields: dict[str, Any]
    ) -> None:
        whole, _ = check_every_seam(engine, PROMPT, sampling(**fields))
        assert whole.token_ids != plain(engine).token_ids

    def test_of_a_stream_that_ends_by_itself(self, engine: resuming.EngineProcess) -> None:
        how = sampling(logit_bias={EOS: 100.0}, min_tokens=20)
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert (len(whole.token_ids), whole.end) == (21, ("stop", None))

    def test_of_a_stream_that_fills_the_context(self, engine: resuming.EngineProcess) -> None:
        prompt = (LONG * 2)[:490]
        whole, _ = check_every_seam(engine, prompt, sampling())
        assert (len(whole.token_ids), whole.end) == (22, ("length", None))

    def test_where_no_two_tokens_may_follow_each_other(
        self, engine: resuming.EngineProcess
    ) -> None:
        """A bad word of several tokens forbids the last of them, behind the others."""
        tokenizer = Tokenizer.from_file(str(default_model.ensure(models.SMALL) / "tokenizer.json"))

        def is_of_two_tokens(text: str) -> bool:
            forms = (text, f" {text}")  # vLLM forbids the second where it has as many
            return all(len(tokenizer.encode(f, add_special_tokens=False)) == 2 for f in forms)

        words = plain(engine).text.split()
        pairs = [f"{first} {second}" for first, second in pairwise(words)]
        how = sampling(bad_words=tuple(filter(is_of_two_tokens, pairs))[:32])
        assert how.bad_words
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.token_ids[0] == plain(engine).token_ids[0]
        assert whole.token_ids != plain(engine).token_ids
        assert not any(f" {pair} " in whole.text for pair in how.bad_words)

    def test_of_a_stream_that_goes_round_in_circles(self, engine: resuming.EngineProcess) -> None:
        rule = Repetition(max_pattern_size=3, min_pattern_size=1, min_count=4)
        how = sampling(repetition_detection=rule, logit_bias={700: 60.0, 701: 60.0}, min_tokens=9)
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.end == ("repetition", "repetition_detected")
        assert 9 <= len(whole.token_ids) <= 12


class TestText:
    @pytest.mark.parametrize("include", [False, True])
    def test_a_stop_string_may_lie_across_the_seam(
        self, engine: resuming.EngineProcess, include: bool
    ) -> None:
        text = plain(engine).text
        words = text.split()[20:23]
        stop = f"{words[0][-2:]} {words[1]} {words[2][:1]}"
        how = sampling(stop=(stop, "never said"), include_stop_str_in_output=include)
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.end == ("stop", stop)
        assert whole.text == text[: text.index(stop) + (len(stop) if include else 0)]

    def test_a_stop_string_before_the_least_number_of_tokens_counts_on_neither_side(
        self, engine: resuming.EngineProcess
    ) -> None:
        early = plain(engine).text.split()[5]
        whole, _ = check_every_seam(engine, PROMPT, sampling(stop=(early,), min_tokens=30))
        assert len(whole.token_ids) > 30

    def test_a_character_may_lie_across_the_seam(self, engine: resuming.EngineProcess) -> None:
        text = "a€ 😀€"
        schema = json.dumps({"enum": [text]}, ensure_ascii=False)
        how = sampling(structured_outputs=StructuredOutputs(json=schema), logprobs=1)
        whole, resumed = check_every_seam(engine, PROMPT, how)
        assert whole.text == f'"{text}"'
        assert len(whole.token_ids) >= len(text.encode())
        for k, rest in enumerate(resumed):
            check_logprobs(rest.logprobs, whole.logprobs[k:])

    def test_bytes_may_be_no_character_at_all(self, engine: resuming.EngineProcess) -> None:
        tokenizer = Tokenizer.from_file(str(default_model.ensure(models.SMALL) / "tokenizer.json"))
        euro = tokenizer.encode("€", add_special_tokens=False).ids
        bias = dict.fromkeys(euro, 100.0)
        how = sampling(temperature=1.0, seed=3, logit_bias=bias)
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert "\N{REPLACEMENT CHARACTER}" in whole.text


class TestLogprobs:
    def test_go_on_with_the_same_values_and_texts(self, engine: resuming.EngineProcess) -> None:
        whole, resumed = check_every_seam(engine, PROMPT, sampling(logprobs=3))
        for k, rest in enumerate(resumed):
            check_logprobs(rest.logprobs, whole.logprobs[k:])

    def test_of_the_prompt_do_not_come_a_second_time(self, engine: resuming.EngineProcess) -> None:
        how = sampling(prompt_logprobs=1)
        first, second = run(
            engine, Sequence(0, PROMPT, how), Sequence(0, PROMPT, how, plain(engine).token_ids[:9])
        )
        assert first.deltas[0].prompt_logprobs
        assert not any(delta.prompt_logprobs for delta in second.deltas)


def check_logprobs(rows: list[list[Logprob]], expected: list[list[Logprob]]) -> None:
    assert [[(each.token_id, each.token) for each in row] for row in rows] == [
        [(each.token_id, each.token) for each in row] for row in expected
    ]
    for row, other in zip(rows, expected, strict=True):
        assert [each.logprob for each in row] == pytest.approx(
            [each.logprob for each in other], abs=1e-4
        )


class TestStructuredOutputs:
    @pytest.mark.parametrize("seed", [None, 5])
    def test_go_on_in_the_middle_of_a_schema(
        self, engine: resuming.EngineProcess, seed: int | None
    ) -> None:
        how = sampling(
            structured_outputs=StructuredOutputs(json=SCHEMA),
            max_tokens=200,
            seed=seed,
            temperature=0.0 if seed is None else 1.0,
        )
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.end[0] == "stop"
        assert json.loads(whole.text).keys() == {"kind", "ages", "who"}

    @pytest.mark.parametrize(
        ("form", "pattern"),
        [
            ({"regex": r"[a-c]{2,4}(x|yz)( [0-9]{3}){4}"}, r"[a-c]{2,4}(x|yz)( [0-9]{3}){4}"),
            (
                {"choice": ("a sunny and very warm day", "a rainy one €", "neither")},
                "a sunny and very warm day|a rainy one €|neither",
            ),
            ({"grammar": EBNF}, r"\((\d+|\(\d+\))([+*](\d+|\(\d+\))){3}\)"),
            ({"grammar": LARK}, "(a|b)(, (a|b)){5}!"),
            ({"structural_tag": TAG}, r'<f>\{\s*"n"\s*:\s*-?\d+\s*\}</f>'),
        ],
        ids=["regex", "choice", "grammar", "lark", "structural_tag"],
    )
    @pytest.mark.parametrize("seed", [None, 5])
    def test_of_every_kind_go_on(
        self,
        engine: resuming.EngineProcess,
        form: dict[str, Any],
        pattern: str,
        seed: int | None,
    ) -> None:
        temperature = 0.0 if seed is None else 1.0
        wanted = StructuredOutputs(**form)
        how = sampling(structured_outputs=wanted, seed=seed, temperature=temperature)
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.end[0] == "stop"
        assert re.fullmatch(pattern, whole.text)

    def test_that_no_allowed_token_fits_end_that_sequence_alone(
        self, engine: resuming.EngineProcess
    ) -> None:
        how = sampling(
            structured_outputs=StructuredOutputs(regex="[a-c]{40}"), allowed_token_ids=(900, 901)
        )
        ended, undisturbed = run(engine, Sequence(0, PROMPT, how), Sequence(0, PROMPT, sampling()))
        assert (ended.end, ended.deltas[-1].bad_request) == (("error", None), True)
        assert undisturbed.token_ids == plain(engine).token_ids

    def test_go_on_in_the_middle_of_any_object(self, engine: resuming.EngineProcess) -> None:
        how = sampling(structured_outputs=StructuredOutputs(json_object=True))
        whole, _ = check_every_seam(engine, PROMPT, how)
        assert whole.text.startswith("{")

    def test_that_vllm_refuses_are_the_clients_fault(self, engine: resuming.EngineProcess) -> None:
        bad = [StructuredOutputs(json="{"), StructuredOutputs(json='{"type": "nothing"}')]
        refused = run(
            engine, *(Sequence(0, PROMPT, sampling(structured_outputs=each)) for each in bad)
        )
        assert [stream.deltas[-1].bad_request for stream in refused] == [True, True]
        assert all(stream.error for stream in refused)

    def test_that_what_was_emitted_contradicts_end_that_sequence_alone(
        self, engine: resuming.EngineProcess
    ) -> None:
        how = sampling(structured_outputs=StructuredOutputs(json=SCHEMA), max_tokens=200)
        good = Sequence(0, PROMPT, how)
        contradiction = Sequence(0, PROMPT, how, plain(engine).token_ids[:3])
        ended, undisturbed = run(engine, contradiction, good)
        assert (ended.token_ids, ended.end) == ([], ("error", None))
        assert json.loads(undisturbed.text)

    def test_are_aborted_while_their_schema_is_being_checked(
        self, engine: resuming.EngineProcess
    ) -> None:
        how = sampling(structured_outputs=StructuredOutputs(json=SCHEMA))
        answer = engine.ask([Sequence(0, PROMPT, how)] * 3, abort=True)
        assert answer.deltas == [[], [], []]
        assert answer.unfinished == 0


class TestWhatHasEnded:
    """The last delta was lost: the answer is what was still held back, and why it ended."""

    def end(
        self, engine: resuming.EngineProcess, emitted: list[int], **fields: Any
    ) -> tuple[list[int], str, Any]:
        (stream,) = run(engine, Sequence(0, PROMPT, sampling(**fields), emitted))
        return stream.token_ids, stream.text, stream.end

    def test_by_its_length(self, engine: resuming.EngineProcess) -> None:
        whole = plain(engine)
        assert self.end(engine, whole.token_ids) == ([], "", ("length", None))
        held_back = whole.text[-7:]
        ended = self.end(engine, whole.token_ids, stop=("12345678",))
        assert ended == ([], held_back, ("length", None))

    def test_by_its_last_token(self, engine: resuming.EngineProcess) -> None:
        emitted = [*plain(engine).token_ids[:5], EOS]
        assert self.end(engine, emitted) == ([], "", ("stop", None))
        assert self.end(engine, emitted, ignore_eos=True)[0]
        last = emitted[4]
        assert self.end(engine, emitted[:5], stop_token_ids=(last,)) == ([], "", ("stop", last))

    def test_by_a_stop_string(self, engine: resuming.EngineProcess) -> None:
        whole = plain(engine)
        first, stop = whole.text.split()[:2]
        emitted = whole.token_ids[:2]
        ended = self.end(engine, emitted, stop=(stop,))
        held_back = f" {first} "[1 - len(stop) :]
        assert ended == ([], held_back, ("stop", stop))
        ended = self.end(engine, emitted, stop=(stop,), include_stop_str_in_output=True)
        assert ended == ([], "", ("stop", stop))


class TestCache:
    def test_is_shared_only_under_the_same_salt(self, engine: resuming.EngineProcess) -> None:
        prompt = [300 + i for i in range(300)]
        how = sampling(max_tokens=1)
        cached = [
            run(engine, Sequence(0, prompt, how, cache_salt=salt))[0].num_cached_tokens
            for salt in ("a", "a", "b", None)
        ]
        assert cached == [0, 256, 0, 0]

    def test_of_what_was_emitted_is_used_and_not_counted_as_the_prompts(
        self, engine: resuming.EngineProcess
    ) -> None:
        prompt, how = LONG[:140], sampling(max_tokens=240)
        (whole,) = run(engine, Sequence(0, prompt, how))
        (rest,) = run(engine, Sequence(0, prompt, how, whole.token_ids[:200]))
        assert rest.token_ids == whole.token_ids[200:]
        assert rest.num_cached_tokens == len(prompt)


def test_a_token_that_the_model_does_not_have_is_refused(engine: resuming.EngineProcess) -> None:
    (stream,) = run(engine, Sequence(0, PROMPT, sampling(), [5000]))
    assert stream.deltas[-1].bad_request
