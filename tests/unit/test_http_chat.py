import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from deployments.messages import StructuredOutputs
from tests.unit.http_fixtures import CHAT, MODEL, chat, events, row, say, site

TEXTS = [
    'He said "no".',
    "back\\slash and a\ttab",
    "one\ntwo\r\nthree",
    "data: [DONE]\n\ndata: {",
    "\u2028 and \u2029 and \x85",
    "\x00\x01\x1f\x7f",
    "\ufeff\ufffd\u200d\u0301",
    "naïve 你好 🙂👩‍👩‍👧",
    "</script>&amp;",
]


def content_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == index
    )


def chunks_of(content: bytes) -> list[ChatCompletionChunk]:
    return [ChatCompletionChunk.model_validate(event) for event in events(content)]


async def test_a_chat_is_answered_in_openais_shape() -> None:
    async with site(echo=3) as s:
        response = await s.post(CHAT, chat())
    answer = ChatCompletion.model_validate(response.json())
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content) == ("assistant", "w0 w1 w2 ")


async def test_the_engine_gets_the_prompt_and_the_sampling() -> None:
    async with site(echo=1) as s:
        await s.post(CHAT, chat("Hi", max_tokens=5, temperature=0, stop="x", seed=3))
        [sequence] = await s.submitted()
    assert sequence.prompt_token_ids == [ord("H"), ord("i"), 2]
    assert sequence.sampling.max_tokens == 5
    assert sequence.sampling.temperature == 0
    assert sequence.sampling.stop == ("x",)
    assert sequence.sampling.seed == 3


async def test_the_engine_gets_the_form_of_the_answer_and_log_probabilities_come_with_it() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}}
    async with site() as s:
        script = [say("null", logprobs=[row(("null", -0.5))], finish_reason="stop")]
        response = await s.answer(
            CHAT, chat(response_format=form, logprobs=True, n=2), *2 * [script]
        )
        sequences = await s.submitted(2)
    forms = [sequence.sampling.structured_outputs for sequence in sequences]
    assert forms == 2 * [StructuredOutputs(json='{"type":"null"}')]
    for choice in ChatCompletion.model_validate(response.json()).choices:
        assert choice.message.content == "null"
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        assert [entry.token for entry in choice.logprobs.content] == ["null"]


async def test_tokens_come_one_by_one_for_a_stream_and_together_for_a_whole_answer() -> None:
    async with site(echo=1) as s:
        await s.post(CHAT, chat())
        await s.post(CHAT, chat(stream=True))
        await s.post(CHAT, chat(stream=True, stream_interval=4))
        whole, stream, coarse = await s.submitted(3)
    assert whole.sampling.stream_interval > 8
    assert stream.sampling.stream_interval == 1
    assert coarse.sampling.stream_interval == 4


async def test_usage_is_exact() -> None:
    async with site() as s:
        script = [say("a", num_cached_tokens=2), say("b", 7, 8), say("", 9, finish_reason="stop")]
        response = await s.answer(CHAT, chat("Hi"), script)
    assert response.json()["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


async def test_a_prompts_tokens_count_once_however_many_choices_there_are() -> None:
    async with site() as s:
        script = [say("a", num_cached_tokens=2, finish_reason="length")]
        response = await s.answer(CHAT, chat("Hi", n=3), script, script, script)
    usage = response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3, 3)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2


async def test_a_stream_is_chunks_in_openais_shape() -> None:
    async with site(echo=3) as s:
        response = await s.post(CHAT, chat(stream=True))
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    chunks = chunks_of(response.content)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    first = chunks[0].choices[0].delta
    assert (first.role, first.content) == ("assistant", "")
    assert [c.choices[0].delta.role for c in chunks[1:]] == [None] * 3
    assert content_of(chunks) == "w0 w1 w2 "
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, None, "stop"]
    assert all(chunk.usage is None for chunk in chunks)


async def test_every_chunk_names_the_same_keys_whatever_made_it() -> None:
    async with site(echo=3) as s:
        response = await s.post(CHAT, chat(stream=True))
    keys = {frozenset(event) for event in events(response.content)}
    assert keys == {frozenset({"id", "object", "created", "model", "choices"})}
    choices = [event["choices"][0] for event in events(response.content)]
    plain = {"index", "delta", "logprobs", "finish_reason"}
    assert [set(choice) for choice in choices] == [plain, plain, plain, plain | {"stop_reason"}]


async def test_usage_comes_last_when_it_is_asked_for() -> None:
    async with site(echo=3) as s:
        body = chat("Hi", stream=True, stream_options={"include_usage": True})
        response = await s.post(CHAT, body)
    last = chunks_of(response.content)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (3, 3)
    assert last.usage.total_tokens == 6


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
async def test_text_comes_as_the_engine_said_it(text: str, stream: bool) -> None:
    async with site() as s:
        script = [say(text), say(text), say(text, finish_reason="stop")]
        response = await s.answer(CHAT, chat(stream=stream), script)
    if stream:
        assert content_of(chunks_of(response.content)) == 3 * text
    else:
        assert response.json()["choices"][0]["message"]["content"] == 3 * text


async def test_tokens_without_text_make_no_chunk_but_count() -> None:
    async with site() as s:
        script = [say("a"), say(""), say("b"), say("", finish_reason="length")]
        body = chat(stream=True, stream_options={"include_usage": True})
        response = await s.answer(CHAT, body, script)
    chunks = chunks_of(response.content)
    assert len(chunks) == 5  # the role, a, b, the end, the usage
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4


async def test_several_choices_have_their_own_index_role_and_end() -> None:
    async with site() as s:
        scripts = [[say(f"{i}a"), say(f"{i}b", finish_reason="stop")] for i in range(3)]
        response = await s.answer(CHAT, chat(n=3, stream=True), *scripts)
    chunks = chunks_of(response.content)
    assert [content_of(chunks, i) for i in range(3)] == ["0a0b", "1a1b", "2a2b"]
    for index in range(3):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert mine[0].delta.role == "assistant"
        assert [choice.finish_reason for choice in mine] == [None, None, "stop"]


async def test_choices_stand_in_their_order_in_a_whole_answer() -> None:
    async with site() as s:
        scripts = [[say(text, finish_reason="stop")] for text in "abc"]
        response = await s.answer(CHAT, chat(n=3), *scripts)
    answer = ChatCompletion.model_validate(response.json())
    assert [(c.index, c.message.content) for c in answer.choices] == [(0, "a"), (1, "b"), (2, "c")]


async def test_each_choice_has_a_seed_of_its_own() -> None:
    async with site(echo=1) as s:
        await s.post(CHAT, chat(n=3, seed=5))
        sequences = await s.submitted(3)
    assert [sequence.sampling.seed for sequence in sequences] == [5, 6, 7]


@pytest.mark.parametrize("stop_reason", ["END", 128009, None])
async def test_what_stopped_the_answer_is_told(stop_reason: str | int | None) -> None:
    async with site() as s:
        script = [say("a", finish_reason="stop", stop_reason=stop_reason)]
        whole = await s.answer(CHAT, chat(), script)
    async with site() as s:
        streamed = await s.answer(CHAT, chat(stream=True), script)
    assert whole.json()["choices"][0]["stop_reason"] == stop_reason
    assert events(streamed.content)[-1]["choices"][0]["stop_reason"] == stop_reason


async def test_token_ids_come_on_request_and_the_prompts_beside_them() -> None:
    script = [say("a"), say("", 8), say("b", 9, 10, finish_reason="stop")]
    async with site() as s:
        response = await s.answer(CHAT, chat("Hi", n=2, return_token_ids=True), script, script)
    answer = response.json()
    assert answer["prompt_token_ids"] == [ord("H"), ord("i"), 2]
    assert [choice["token_ids"] for choice in answer["choices"]] == [[7, 8, 9, 10]] * 2


async def test_a_streams_first_chunk_of_each_choice_has_the_prompts_token_ids() -> None:
    script = [say("a"), say("", 8), say("b", 9, 10, finish_reason="stop")]
    async with site() as s:
        body = chat("Hi", n=2, return_token_ids=True, stream=True)
        response = await s.answer(CHAT, body, script, script)
    for index in range(2):
        mine = [e for e in events(response.content) if e["choices"][0]["index"] == index]
        assert [e.get("prompt_token_ids") for e in mine] == [[ord("H"), ord("i"), 2], *[None] * 3]
        assert [e["choices"][0].get("token_ids") for e in mine] == [None, [7], [8], [9, 10]]


async def test_token_ids_are_not_told_unasked() -> None:
    async with site(echo=2) as s:
        whole = await s.post(CHAT, chat())
        streamed = await s.post(CHAT, chat(stream=True))
    assert b"token_ids" not in whole.content + streamed.content
