from typing import Any

import pytest

from deployments.messages import Delta
from serve_app.http.generation import Usage, new_id
from tests.unit.http_fixtures import CHAT, COMPLETIONS, chat, completion, site

TOO_LONG = "This model's maximum context length is 10 tokens, but you asked for "


async def refusal(path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with site(max_model_len=10, echo=1) as s:
        response = await s.post(path, body)
        assert s.engine.submitted == []
    assert response.status_code == 400
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == "context_length_exceeded"
    return error


async def max_tokens(path: str, body: dict[str, Any], **facts: Any) -> int:
    async with site(**{"max_model_len": 10, "echo": 1, **facts}) as s:
        response = await s.post(path, body)
        assert response.status_code == 200
        [sequence] = await s.submitted()
    return sequence.sampling.max_tokens


async def test_a_prompt_and_a_length_that_fill_the_context_exactly_fit() -> None:
    assert await max_tokens(CHAT, chat(6 * "x", max_tokens=3)) == 3
    assert await max_tokens(COMPLETIONS, completion(6 * "x", max_tokens=3)) == 3


async def test_one_token_more_does_not_fit() -> None:
    error = await refusal(CHAT, chat(6 * "x", max_tokens=4))
    assert error["param"] == "messages"
    assert error["message"] == TOO_LONG + (
        "7 in the messages and 4 for the completion. "
        "Reduce the length of the messages or of the completion."
    )


async def test_a_prompt_that_leaves_room_for_one_token_fits() -> None:
    assert await max_tokens(CHAT, chat(8 * "x")) == 1
    assert await max_tokens(COMPLETIONS, completion(8 * "x", echo=True, max_tokens=0)) == 1


async def test_a_prompt_that_leaves_no_room_does_not_fit() -> None:
    error = await refusal(CHAT, chat(9 * "x"))
    assert error["message"] == TOO_LONG + (
        "10 in the messages and at least 1 for the completion. Reduce the length of the messages."
    )


async def test_an_echo_alone_needs_room_for_the_token_that_has_to_be_generated() -> None:
    error = await refusal(COMPLETIONS, completion(9 * "x", echo=True, max_tokens=0))
    assert error["param"] == "prompt"
    assert error["message"] == TOO_LONG + (
        "10 in the prompt and at least 1 for the completion. Reduce the length of the prompt."
    )


async def test_each_of_several_prompts_has_to_fit() -> None:
    error = await refusal(COMPLETIONS, completion(["x", 20 * "x"]))
    assert "21 in the prompt" in error["message"]


async def test_an_unnamed_length_is_what_the_context_leaves() -> None:
    assert await max_tokens(CHAT, chat("xx")) == 7


async def test_an_unnamed_length_is_the_models_own_if_that_is_less() -> None:
    own = {"max_tokens": 4, "temperature": 0.25}
    assert await max_tokens(CHAT, chat("xx"), default_sampling=own) == 4
    assert await max_tokens(CHAT, chat(7 * "x"), default_sampling=own) == 2


async def test_an_unnamed_length_of_a_completion_is_openais() -> None:
    assert await max_tokens(COMPLETIONS, completion("xx"), max_model_len=100) == 16


def test_ids_are_unique_and_say_what_they_are_of() -> None:
    assert new_id("chatcmpl").startswith("chatcmpl-")
    assert new_id("chatcmpl") != new_id("chatcmpl")


@pytest.mark.parametrize(("n", "cached"), [(1, 6), (2, 4), (3, 2)])
def test_cached_tokens_count_once_for_each_prompt(n: int, cached: int) -> None:
    usage = Usage(prompt_tokens=12, n=n)
    for index in range(3):
        usage.add(index, Delta(0, "", [7], num_cached_tokens=2))
    assert usage.to_json()["prompt_tokens_details"] == {"cached_tokens": cached}
    assert usage.to_json()["completion_tokens"] == 3
