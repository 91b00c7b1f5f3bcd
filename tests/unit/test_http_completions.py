from typing import Any

import pytest
from openai.types import Completion

from tests.unit.http_fixtures import BOS, COMPLETIONS, MODEL, completion, events, say, site

TEXT = 'He said "no"\\\n\u2028\x00\ufeff 🙂'
STREAM: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


def chunks_of(content: bytes) -> list[Completion]:
    return [Completion.model_validate({**_final(event)}) for event in events(content)]


def _final(event: dict[str, Any]) -> dict[str, Any]:
    """`event` as if it were the last: the client's type has no null for an unfinished choice."""
    choices = [{**c, "finish_reason": c["finish_reason"] or "stop"} for c in event["choices"]]
    return {**event, "choices": choices}


def text_of(chunks: list[Completion], index: int = 0) -> str:
    return "".join(c.text for chunk in chunks for c in chunk.choices if c.index == index)


async def test_a_completion_is_answered_in_openais_shape() -> None:
    async with site(echo=3) as s:
        response = await s.post(COMPLETIONS, completion())
    answer = Completion.model_validate(response.json())
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", MODEL)
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert choice.text == "w0 w1 w2 "


async def test_a_stream_is_chunks_in_openais_shape() -> None:
    async with site(echo=3) as s:
        response = await s.post(COMPLETIONS, completion(stream=True))
    chunks = chunks_of(response.content)
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert [chunk.choices[0].text for chunk in chunks] == ["w0 ", "w1 ", "w2 "]
    reasons = [event["choices"][0]["finish_reason"] for event in events(response.content)]
    assert reasons == [None, None, "stop"]


async def test_every_chunk_names_the_same_keys_whatever_made_it() -> None:
    async with site(echo=3) as s:
        response = await s.post(COMPLETIONS, completion(stream=True))
    choices = [event["choices"][0] for event in events(response.content)]
    plain = {"index", "text", "logprobs", "finish_reason"}
    assert [set(choice) for choice in choices] == [plain, plain, plain | {"stop_reason"}]


async def test_usage_is_exact_over_all_prompts_and_choices() -> None:
    script = [say("a", num_cached_tokens=1), say("b", 7, 8, finish_reason="stop")]
    async with site() as s:
        body = completion(["Hi", "Hello"], n=2)
        whole = await s.answer(COMPLETIONS, body, script, script, script, script)
    async with site() as s:
        streamed = await s.answer(COMPLETIONS, {**body, **STREAM}, script, script, script, script)
    usage = {
        "prompt_tokens": 3 + 6,
        "completion_tokens": 12,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 2},
    }
    assert whole.json()["usage"] == usage
    last = events(streamed.content)[-1]
    assert (last["choices"], last["usage"]) == ([], usage)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_choices_of_each_prompt_follow_those_of_the_one_before(stream: bool) -> None:
    async with site() as s:
        scripts = [[say(f"{i} "), say(TEXT, finish_reason="stop")] for i in range(4)]
        body = completion(["A", "B"], n=2, stream=stream)
        response = await s.answer(COMPLETIONS, body, *scripts)
        prompts = [sequence.prompt_token_ids for sequence in await s.submitted(4)]
    assert prompts == [[BOS, 65], [BOS, 65], [BOS, 66], [BOS, 66]]
    if stream:
        texts = [text_of(chunks_of(response.content), i) for i in range(4)]
    else:
        texts = [choice["text"] for choice in response.json()["choices"]]
    assert texts == [f"{i} {TEXT}" for i in range(4)]


async def test_token_ids_are_a_prompt_as_they_are() -> None:
    async with site(echo=1) as s:
        response = await s.post(COMPLETIONS, completion([[65, 66], [67]]))
        prompts = [sequence.prompt_token_ids for sequence in await s.submitted(2)]
    assert prompts == [[65, 66], [67]]
    assert response.json()["usage"]["prompt_tokens"] == 3


async def test_special_tokens_are_left_out_on_request() -> None:
    async with site(echo=1) as s:
        await s.post(COMPLETIONS, completion("Hi", add_special_tokens=False))
        [sequence] = await s.submitted()
    assert sequence.prompt_token_ids == [ord("H"), ord("i")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("prompt", "echo"), [("Hi", "Hi"), ([BOS, 72, 105], "<bos>Hi")])
async def test_an_echo_begins_each_choice_with_its_prompt(
    prompt: Any, echo: str, stream: bool
) -> None:
    async with site(echo=2) as s:
        body = completion(prompt, echo=True, n=2, stream=stream)
        response = await s.post(COMPLETIONS, body)
    if stream:
        texts = [text_of(chunks_of(response.content), i) for i in range(2)]
    else:
        texts = [choice["text"] for choice in response.json()["choices"]]
    assert texts == [echo + "w0 w1 "] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_an_echo_of_several_prompts_gives_each_its_own(stream: bool) -> None:
    async with site(echo=1) as s:
        response = await s.post(COMPLETIONS, completion(["A", "B"], echo=True, stream=stream))
    if stream:
        texts = [text_of(chunks_of(response.content), i) for i in range(2)]
    else:
        texts = [choice["text"] for choice in response.json()["choices"]]
    assert texts == ["Aw0 ", "Bw0 "]


async def test_an_echo_comes_even_before_a_token_without_text() -> None:
    async with site() as s:
        script = [say(""), say("a", finish_reason="stop")]
        response = await s.answer(COMPLETIONS, completion("Hi", echo=True, stream=True), script)
    assert text_of(chunks_of(response.content)) == "Hia"


@pytest.mark.parametrize("end", ["stop", "length"])
async def test_an_echo_alone_drops_the_token_that_had_to_be_generated(end: str) -> None:
    body = completion("Hi", echo=True, max_tokens=0, return_token_ids=True)
    script = [say("dropped", finish_reason=end, stop_reason="x" if end == "stop" else None)]
    async with site() as s:
        whole = await s.answer(COMPLETIONS, body, script)
    async with site() as s:
        streamed = await s.answer(COMPLETIONS, {**body, **STREAM}, script)
    *chunks, usage = events(streamed.content)
    [chunk] = chunks
    for choice in (whole.json()["choices"][0], chunk["choices"][0]):
        assert (choice["text"], choice["token_ids"]) == ("Hi", [])
        assert (choice["finish_reason"], choice["stop_reason"]) == ("length", None)
    for answer in (whole.json(), usage):
        assert answer["usage"]["completion_tokens"] == 0
        assert answer["usage"]["total_tokens"] == 3


@pytest.mark.parametrize("echo", [False, True])
async def test_token_ids_come_on_request_and_each_prompts_beside_them(echo: bool) -> None:
    script = [say("a"), say("", 8), say("b", 9, 10, finish_reason="stop")]
    body = completion(["A", "B"], return_token_ids=True, echo=echo)
    async with site() as s:
        whole = await s.answer(COMPLETIONS, body, script, script)
    async with site() as s:
        streamed = await s.answer(COMPLETIONS, {**body, "stream": True}, script, script)
    prompts = [[BOS, 65], [BOS, 66]]
    choices = whole.json()["choices"]
    assert [choice["prompt_token_ids"] for choice in choices] == prompts
    assert [choice["token_ids"] for choice in choices] == [[7, 8, 9, 10]] * 2
    for index in range(2):
        chunks = [event["choices"][0] for event in events(streamed.content)]
        mine = [choice for choice in chunks if choice["index"] == index]
        assert [c.get("prompt_token_ids") for c in mine] == [prompts[index], None, None]
        assert [c["token_ids"] for c in mine] == [[7], [8], [9, 10]]


async def test_token_ids_are_not_told_unasked() -> None:
    async with site(echo=2) as s:
        whole = await s.post(COMPLETIONS, completion())
        streamed = await s.post(COMPLETIONS, completion(stream=True))
    assert b"token_ids" not in whole.content + streamed.content
