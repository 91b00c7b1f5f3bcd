"""POST /classify over a real router and a real engine server."""

import struct
from typing import Any

import pytest

from deployments.messages import Pooling
from tests.unit.http_fixtures import MODEL
from tests.unit.pooling_fixtures import (
    CLASSIFIER,
    CLASSIFY,
    CROSS_ENCODER,
    EMBED,
    body,
    pooling_site,
    whole,
)


async def answer_of(pooling: dict[str, Any] = CLASSIFIER, **fields: Any) -> dict[str, Any]:
    """The answer of a classifier that is the surer the longer the input is."""
    async with pooling_site(pooling) as s:
        s.engine.vector = lambda one: struct.pack("<3f", 0.25, 0.5, len(one.prompt_token_ids) / 8)
        response = await s.post(CLASSIFY, body(**fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_classes_are_answered_in_vllms_shape() -> None:
    answer = await answer_of(input="a")
    assert answer["id"].startswith("classify-")
    assert (answer["object"], answer["model"]) == ("list", MODEL)
    assert answer["data"] == [
        {"index": 0, "label": "maybe", "probs": [0.25, 0.5, 0.375], "num_classes": 3}
    ]
    assert answer["usage"]["prompt_tokens"] == 3


async def test_each_input_has_its_own() -> None:
    answer = await answer_of(input=["a", "aaa"])
    assert [entry["label"] for entry in answer["data"]] == ["maybe", "yes"]


async def test_a_class_without_a_name_has_no_label() -> None:
    answer = await answer_of({**CLASSIFIER, "labels": []}, input="a")
    assert answer["data"][0]["label"] is None


async def test_the_engine_gets_the_input_and_what_to_make_of_it() -> None:
    async with pooling_site(CLASSIFIER) as s:
        await s.post(CLASSIFY, body(input=["Hi", "Ho"], use_activation=False))
        sequences = await s.submitted(2)
    assert [one.prompt_token_ids for one in sequences] == [whole("Hi"), whole("Ho")]
    assert [one.pooling for one in sequences] == [Pooling("classify", use_activation=False)] * 2


async def test_a_model_with_one_class_classifies_too() -> None:
    async with pooling_site(CROSS_ENCODER) as s:
        response = await s.post("/classify", body(input="a"))
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": [[]]}, "input[0]", "invalid_value"),
        ({"input": "a", "dimensions": 3}, "dimensions", "unknown_parameter"),
        ({"input": "a", "messages": []}, "messages", "unsupported_parameter"),
        ({"input": "a" * 99}, "input", "context_length_exceeded"),
    ],
)
async def test_a_refusal_names_the_field(fields: dict[str, Any], param: str, code: str) -> None:
    async with pooling_site(CLASSIFIER) as s:
        response = await s.post(CLASSIFY, body(**fields))
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)


async def test_a_model_that_makes_embeddings_is_named() -> None:
    async with pooling_site(EMBED) as s:
        response = await s.post(CLASSIFY, body(input="a"))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported_task")
    assert f"'{MODEL}' makes embeddings" in error["message"]
