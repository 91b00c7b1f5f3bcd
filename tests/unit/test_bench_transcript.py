import json
from dataclasses import replace
from typing import Any

import pytest

from bench.judgement.transcript import (
    BROKEN,
    DIFFERENT,
    DOUBLED,
    LOST,
    SAME,
    Transcript,
    compare,
    is_within,
)


def event(content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def choice(**fields: Any) -> bytes:
    return event({"choices": [fields]})


USAGE = event({"choices": [], "usage": {"completion_tokens": 2}})
DONE = b"data: [DONE]\n\n"
STREAM = b"".join(
    [
        choice(text="a\n\n", token_ids=[7], finish_reason=None),
        choice(text="b", token_ids=[8], finish_reason="length"),
        USAGE,
        DONE,
    ]
)


def read(body: bytes, cut: int = 10_000) -> Transcript:
    transcript = Transcript()
    for start in range(0, len(body), cut):
        transcript.feed(body[start : start + cut])
    return transcript


class TestTranscript:
    @pytest.mark.parametrize("cut", [1, 2, 3, 17, 10_000])
    def test_is_the_same_however_the_reads_are_cut(self, cut: int) -> None:
        found = read(STREAM, cut)
        assert (found.text, found.token_ids, found.finish_reason) == ("a\n\nb", [7, 8], "length")
        assert found.usage == {"completion_tokens": 2}
        assert found.whole

    def test_of_a_chat_joins_its_content(self) -> None:
        found = read(choice(delta={"role": "assistant", "content": "a"}) + choice(delta={}))
        assert found.text == "a"

    def test_of_a_tool_call_joins_name_and_arguments(self) -> None:
        calls = [{"index": 0, "id": "x", "function": {"name": "f", "arguments": '{"a'}}]
        more = [{"index": 0, "function": {"arguments": '":1}'}}]
        found = read(choice(delta={"tool_calls": calls}) + choice(delta={"tool_calls": more}))
        assert found.tool == 'f{"a":1}'

    @pytest.mark.parametrize("body", [STREAM.removesuffix(DONE), STREAM + USAGE, STREAM + b"data"])
    def test_that_ends_too_early_or_too_late_is_not_whole(self, body: bytes) -> None:
        assert not read(body).whole

    def test_with_an_error_event_is_not_whole(self) -> None:
        found = read(event({"error": {"code": "engine_failed"}}) + STREAM)
        assert not found.whole
        assert found.error == '{"code": "engine_failed"}'


class TestCompare:
    def test_finds_the_same_to_be_the_same(self) -> None:
        assert compare(read(STREAM), read(STREAM)) == (SAME, "")

    @pytest.mark.parametrize(
        ("ids", "verdict"),
        [([7], LOST), ([8], LOST), ([7, 7, 8], DOUBLED), ([7, 8, 8], DOUBLED), ([7, 9], DIFFERENT)],
    )
    def test_tells_lost_from_doubled_tokens(self, ids: list[int], verdict: str) -> None:
        assert compare(read(STREAM), replace(read(STREAM), token_ids=ids))[0] == verdict

    @pytest.mark.parametrize(
        "changed", [{"text": "ab"}, {"tool": "f"}, {"finish_reason": "stop"}, {"usage": {"n": 1}}]
    )
    def test_finds_any_other_change(self, changed: dict[str, Any]) -> None:
        verdict, said = compare(read(STREAM), replace(read(STREAM), **changed))
        assert verdict == DIFFERENT
        assert said.startswith(next(iter(changed)))

    def test_of_what_has_no_end_is_broken(self) -> None:
        assert compare(read(STREAM), Transcript())[0] == BROKEN


def test_what_is_within_keeps_the_order() -> None:
    assert is_within([1, 3], [1, 2, 3])
    assert not is_within([3, 1], [1, 2, 3])
