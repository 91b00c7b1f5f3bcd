"""POST /v1/embeddings over a real router and a real engine server, with a scripted engine."""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from deployments.errors import BadRequest
from deployments.messages import Delta, Pooling
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import FACTS, until
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, site
from tests.unit.pooling_fixtures import (
    CLASSIFIER,
    CLASSIFY,
    CONTEXT,
    EMBED,
    EMBEDDINGS,
    RERANK,
    SCORE,
    SEP,
    body,
    ids,
    pooling_site,
    vector,
    whole,
)

MATRYOSHKA = {**EMBED, "is_matryoshka": True}
SLOTS = FACTS["max_num_seqs"]


def vectors_of(answer: dict[str, Any]) -> list[tuple[float, ...]]:
    """The embeddings by index, as float32, however they were written."""
    entries = answer["data"]
    assert [entry["index"] for entry in entries] == list(range(len(entries)))
    return [_as_float32(entry["embedding"]) for entry in entries]


def _as_float32(embedding: str | list[float]) -> tuple[float, ...]:
    packed = (
        base64.b64decode(embedding)
        if isinstance(embedding, str)
        else struct.pack(f"<{len(embedding)}f", *embedding)
    )
    return struct.unpack(f"<{len(packed) // 4}f", packed)


def expected(s: Site) -> list[tuple[float, ...]]:
    """What the engines have made of what they got, in its order."""
    return [struct.unpack("<4f", vector(sequence)) for _, sequence in s.engine.submitted]


async def inputs_of(**fields: Any) -> list[list[int]]:
    """What the engine gets of a request."""
    async with pooling_site() as s:
        assert (await s.post(EMBEDDINGS, body(**fields))).status_code == 200
        return [sequence.prompt_token_ids for sequence in await s.submitted()]


async def refusal(**fields: Any) -> dict[str, Any]:
    """The error of a request that must be refused before an engine gets any of it."""
    pooling = fields.pop("pooling", EMBED)
    async with pooling_site(pooling) as s:
        response = await s.post(EMBEDDINGS, body(**fields))
        assert s.engine.submitted == []
    assert response.status_code == 400
    error: dict[str, Any] = response.json()["error"]
    return error


async def test_an_embedding_is_answered_in_openais_shape() -> None:
    async with pooling_site() as s:
        response = await s.post(EMBEDDINGS, body(input="Hi"))
    answer = CreateEmbeddingResponse.model_validate(response.json())
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert (answer.object, answer.model, answer.data[0].object) == ("list", MODEL, "embedding")
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)
    assert response.json()["id"].startswith("embd-")
    assert int(response.headers["x-sluice-wait-ms"]) >= 0


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
async def test_each_input_has_the_very_vector_that_the_engine_made(encoding_format: str) -> None:
    async with pooling_site() as s:
        fields = body(input=["Hi", "Hello", "Ho"], encoding_format=encoding_format)
        answer = (await s.post(EMBEDDINGS, fields)).json()
        assert vectors_of(answer) == expected(s)


async def test_the_order_is_that_of_the_inputs_whatever_comes_first() -> None:
    async with pooling_site() as s:
        s.engine.vector = None
        exchange = s.open(EMBEDDINGS, body(input=["a", "b", "c"]))
        sequences = await s.submitted(3)
        for index in (2, 0, 1):
            s.step(index, Delta(0, "", [], "stop", vector=vector(sequences[index])))
        await exchange.task
        assert vectors_of(json.loads(exchange.content)) == expected(s)


async def test_more_inputs_than_an_engine_takes_wait_their_turn() -> None:
    async with pooling_site() as s:
        texts = [chr(ord("0") + i) * (1 + i % 5) for i in range(10 * SLOTS)]
        answer = (await s.post(EMBEDDINGS, body(input=texts))).json()
        assert vectors_of(answer) == expected(s)
        assert len(s.engine.submitted) == len(texts)


async def test_a_client_that_leaves_frees_all_its_inputs() -> None:
    async with pooling_site() as s:
        s.engine.vector = None
        exchange = s.open(EMBEDDINGS, body(input=["Hi"] * 5 * SLOTS))
        await s.submitted(SLOTS + 1)
        await exchange.leave()
        await until(lambda: not s.engine.running, "the engine is free")
        assert s.router.pools[MODEL].dispatcher.open == 0


async def test_an_engine_lost_in_the_middle_of_a_batch_loses_nothing() -> None:
    async with pooling_site(engines=2) as s:
        for serving in s.servings:
            serving.engine.vector = None
        exchange = s.open(EMBEDDINGS, body(input=[str(i) for i in range(4 * SLOTS)]))
        await until(lambda: all(serving.engine.submitted for serving in s.servings))
        lost, other = (serving.engine for serving in s.servings)
        other.vector = vector
        await s.servings[0].server.close()
        for owner, sequence in list(other.submitted):
            made = Delta(sequence.id, "", [], "stop", vector=vector(sequence))
            other.step({owner: [made]})
        await exchange.task
        answer = json.loads(exchange.content)
    assert lost.submitted
    assert len(answer["data"]) == 4 * SLOTS
    sums = [embedding[0] for embedding in vectors_of(answer)]
    assert sums == [_as_float32([sum(whole(str(i))) / 7])[0] for i in range(4 * SLOTS)]


class TestWhatTheEngineGets:
    @pytest.mark.parametrize(
        ("given", "inputs"),
        [
            ("Hi", [whole("Hi")]),
            (["Hi", "Ho"], [whole("Hi"), whole("Ho")]),
            ([5, 6, 7], [[5, 6, 7]]),
            ([[5, 6], [7]], [[5, 6], [7]]),
        ],
        ids=["a text", "texts", "tokens", "lists of tokens"],
    )
    async def test_is_each_input_in_its_order(self, given: Any, inputs: list[list[int]]) -> None:
        assert await inputs_of(input=given) == inputs

    async def test_has_no_special_tokens_where_they_are_not_wanted(self) -> None:
        assert await inputs_of(input="Hi", add_special_tokens=False) == [ids("Hi")]

    async def test_is_lower_case_for_a_model_that_wants_it(self) -> None:
        async with pooling_site({**EMBED, "lowercases": True}) as s:
            await s.post(EMBEDDINGS, body(input="Hi"))
            assert s.engine.submitted[0][1].prompt_token_ids == whole("hi")

    async def test_is_what_to_make_of_it(self) -> None:
        async with pooling_site(MATRYOSHKA) as s:
            await s.post(EMBEDDINGS, body(input="Hi", dimensions=3, use_activation=False))
            assert s.engine.submitted[0][1].pooling == Pooling("embed", 3, False)

    async def test_is_cut_to_the_length_that_is_asked_for(self) -> None:
        cut = await inputs_of(input="a" + "b" * CONTEXT, truncate_prompt_tokens=6)
        assert cut == [whole("abbb")]

    async def test_is_cut_to_the_models_context(self) -> None:
        (cut,) = await inputs_of(input="b" * 2 * CONTEXT, truncate_prompt_tokens=-1)
        assert cut == whole("b" * (CONTEXT - 2))

    @pytest.mark.parametrize(
        ("side", "kept"), [("left", [*ids("cde"), SEP]), ("right", whole("abc")[:-1])]
    )
    async def test_is_cut_from_the_side_that_is_asked_for(self, side: str, kept: list[int]) -> None:
        fields = {"truncate_prompt_tokens": 4, "truncation_side": side}
        assert await inputs_of(input="abcde", **fields) == [kept]

    async def test_may_be_as_many_as_openai_takes(self) -> None:
        async with pooling_site() as s:
            answer = (await s.post(EMBEDDINGS, body(input=["Hi"] * 2048))).json()
        assert len(answer["data"]) == 2048
        assert answer["usage"]["prompt_tokens"] == 4 * 2048


class TestARefusal:
    @pytest.mark.parametrize(
        ("fields", "param", "code"),
        [
            ({}, "input", "missing_required_parameter"),
            ({"input": ""}, "input", "invalid_value"),
            ({"input": []}, "input", "invalid_value"),
            ({"input": [""]}, "input[0]", "invalid_value"),
            ({"input": 3}, "input", "invalid_type"),
            ({"input": ["Hi", 3]}, "input[1]", "invalid_type"),
            ({"input": ["Hi"] * 2049}, "input", "invalid_value"),
            ({"input": [[1], []]}, "input[1]", "invalid_value"),
            ({"input": [-1]}, "input[0]", "invalid_value"),
            ({"input": "Hi", "encoding_format": "hex"}, "encoding_format", "invalid_value"),
            (
                {"input": "Hi", "encoding_format": "bytes"},
                "encoding_format",
                "unsupported_parameter",
            ),
            ({"input": "Hi", "dimensions": 0}, "dimensions", "invalid_value"),
            ({"input": "Hi", "dimensions": True}, "dimensions", "invalid_type"),
            ({"input": "Hi", "dimensions": 4}, "dimensions", "invalid_value"),
            ({"input": "Hi", "user": 3}, "user", "invalid_type"),
            (
                {"input": "Hi", "truncate_prompt_tokens": 0},
                "truncate_prompt_tokens",
                "invalid_value",
            ),
            (
                {"input": "Hi", "truncate_prompt_tokens": 33},
                "truncate_prompt_tokens",
                "invalid_value",
            ),
            ({"input": "Hi", "truncation_side": "left"}, "truncation_side", "invalid_value"),
            ({"input": "Hi", "messages": []}, "messages", "unsupported_parameter"),
            ({"input": "Hi", "embed_dtype": "float16"}, "embed_dtype", "unsupported_parameter"),
            ({"input": "Hi", "endianness": "big"}, "endianness", "unsupported_parameter"),
            ({"input": "Hi", "normalize": False}, "normalize", "unsupported_parameter"),
            ({"input": "Hi", "padding": "max_length"}, "padding", "unsupported_parameter"),
            ({"input": "Hi", "stream": True}, "stream", "unknown_parameter"),
        ],
    )
    async def test_names_the_field(self, fields: dict[str, Any], param: str, code: str) -> None:
        error = await refusal(**fields)
        assert (error["param"], error["code"]) == (param, code)
        assert f"'{param}'" in error["message"]

    @pytest.mark.parametrize(
        ("pooling", "dimensions"),
        [
            (EMBED, 2),
            (MATRYOSHKA, 5),
            ({**MATRYOSHKA, "matryoshka_dimensions": [2, 4]}, 3),
        ],
        ids=["cannot be cut", "has fewer", "is cut elsewhere"],
    )
    async def test_comes_for_dimensions_that_the_model_has_not(
        self, pooling: dict[str, Any], dimensions: int
    ) -> None:
        error = await refusal(input="Hi", dimensions=dimensions, pooling=pooling)
        assert (error["param"], error["code"]) == ("dimensions", "invalid_value")
        assert MODEL in error["message"]

    @pytest.mark.parametrize(
        ("given", "param"),
        [("a" * CONTEXT, "input"), (["Hi", "a" * CONTEXT], "input[1]"), ([7] * 33, "input")],
    )
    async def test_names_the_input_that_is_too_long(self, given: Any, param: str) -> None:
        error = await refusal(input=given)
        assert (error["param"], error["code"]) == (param, "context_length_exceeded")

    async def test_comes_for_a_text_without_a_token(self) -> None:
        error = await refusal(input=["Hi", "\n"], add_special_tokens=False)
        assert (error["param"], error["code"]) == ("input[1]", "invalid_value")

    async def test_is_the_engines_own_where_only_it_can_tell(self) -> None:
        async with pooling_site() as s:
            s.engine.refuse = lambda _: BadRequest("Token id 900 is out of vocabulary")
            response = await s.post(EMBEDDINGS, body(input=[900]))
        assert response.status_code == 400
        assert "out of vocabulary" in response.json()["error"]["message"]


class TestAModelForSomethingElse:
    async def test_is_named_when_embeddings_are_asked_of_a_generator(self) -> None:
        async with site() as s:
            response = await s.post(EMBEDDINGS, body(input="Hi"))
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "model")
        assert error["code"] == "unsupported_task"
        assert f"'{MODEL}' generates text" in error["message"]

    async def test_is_named_when_embeddings_are_asked_of_a_classifier(self) -> None:
        error = await refusal(input="Hi", pooling=CLASSIFIER)
        assert f"'{MODEL}' classifies" in error["message"]

    @pytest.mark.parametrize(("path", "asked"), [(CHAT, chat()), (COMPLETIONS, completion())])
    async def test_is_named_when_text_is_asked_of_an_embedding_model(
        self, path: str, asked: dict[str, Any]
    ) -> None:
        async with pooling_site() as s:
            response = await s.post(path, asked)
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "model")
        assert f"'{MODEL}' makes embeddings" in error["message"]

    async def test_that_does_what_nothing_here_asks_for_says_so(self) -> None:
        error = await refusal(input="Hi", pooling={**EMBED, "task": "token_classify"})
        assert f"'{MODEL}' does token_classify" in error["message"]


async def test_no_engine_is_503() -> None:
    async with pooling_site(running=False) as s:
        response = await s.post(EMBEDDINGS, body(input="Hi"))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_unavailable")


async def test_a_model_that_is_not_there_is_404() -> None:
    async with pooling_site() as s:
        response = await s.post(EMBEDDINGS, {"model": "other", "input": "Hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (EMBEDDINGS, {"input": "Hi"}),
        (CLASSIFY, {"input": "Hi"}),
        (SCORE, {"text_1": "Hi", "text_2": "Ho"}),
        (RERANK, {"query": "Hi", "documents": ["Ho"]}),
    ],
)
async def test_a_model_that_the_key_may_not_use_is_none(path: str, fields: dict[str, Any]) -> None:
    async with pooling_site(keys=ring(entry("acme", models=["other"]))) as s:
        response = await s.post(path, body(**fields), bearer("acme"))
        assert s.engine.submitted == []
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_no_more_inputs_are_taken_than_the_router_has_place_for() -> None:
    async with pooling_site(max_sequences=9) as s:
        response = await s.post(EMBEDDINGS, body(input=["Hi"] * 10))
    assert response.status_code == 400
    assert "at most 9" in response.json()["error"]["message"]
