from typing import Any

import pytest

from deployments.errors import EngineUnavailable
from deployments.pool import EnginePool
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.http_fixtures import BOS, MODEL, OPEN, Site, site

HI = [ord(char) for char in "Hi"]
MESSAGES = [{"role": "user", "content": "Hi"}]


async def ask(path: str, body: dict[str, Any], s: Site | None = None) -> tuple[int, Any]:
    """Status and content of an answer, of a site of its own unless one is given."""
    if s is None:
        async with site(max_model_len=77) as new:
            return await ask(path, body, new)
    response = await s.post(path, body)
    return response.status_code, response.json()


async def error_of(path: str, body: dict[str, Any]) -> tuple[int, str | None, str | None]:
    """Status, parameter and code of an error."""
    status, content = await ask(path, body)
    return status, content["error"]["param"], content["error"]["code"]


class TestAText:
    async def test_becomes_its_tokens(self) -> None:
        assert await ask("/tokenize", {"model": MODEL, "prompt": "Hi"}) == (
            200,
            {"count": 3, "max_model_len": 77, "tokens": [BOS, *HI], "token_strs": None},
        )

    async def test_goes_without_special_tokens_where_it_says_so(self) -> None:
        for special, tokens in ((False, HI), (True, [BOS, *HI]), (None, [BOS, *HI])):
            body = {"model": MODEL, "prompt": "Hi", "add_special_tokens": special}
            assert (await ask("/tokenize", body))[1]["tokens"] == tokens

    async def test_comes_with_its_tokens_texts_where_it_says_so(self) -> None:
        body = {"model": MODEL, "prompt": "Hi", "return_token_strs": True}
        assert (await ask("/tokenize", body))[1]["token_strs"] == ["<bos>", "H", "i"]

    async def test_may_be_empty(self) -> None:
        assert (await ask("/tokenize", {"model": MODEL, "prompt": ""}))[1]["tokens"] == [BOS]


class TestAChat:
    async def test_becomes_the_tokens_of_its_prompt(self) -> None:
        body = {"model": MODEL, "messages": MESSAGES}
        assert (await ask("/tokenize", body))[1]["tokens"] == [*HI, OPEN]

    @pytest.mark.parametrize(
        ("fields", "tokens"),
        [
            ({"add_generation_prompt": False}, HI),
            ({"add_special_tokens": True}, [BOS, *HI, OPEN]),
            ({"continue_final_message": True}, HI),
            ({"continue_final_message": True, "add_generation_prompt": False}, HI),
        ],
    )
    async def test_is_made_into_a_prompt_as_it_says(
        self, fields: dict[str, Any], tokens: list[int]
    ) -> None:
        body = {"model": MODEL, "messages": MESSAGES, **fields}
        assert (await ask("/tokenize", body))[1]["tokens"] == tokens

    async def test_may_have_tools_that_no_answer_could_be_held_to(self) -> None:
        even = {"type": "object", "properties": {"a": {"type": "number", "multipleOf": 2}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": even, "strict": True}}
        body = {"model": MODEL, "messages": MESSAGES, "tools": [tool]}
        assert (await ask("/tokenize", body))[0] == 200

    async def test_is_tokenized_as_it_is_for_an_answer(self) -> None:
        tool = {"type": "function", "function": {"name": "f"}}
        body = {"model": MODEL, "messages": MESSAGES, "tools": [tool]}
        async with site(echo=1) as s:
            status, content = await ask("/tokenize", body, s)
            await s.post("/v1/chat/completions", {**body, "tool_choice": "none"})
            [sequence] = await s.submitted()
        assert status == 200
        assert content["tokens"] == sequence.prompt_token_ids


class TestTokenIds:
    async def test_become_their_text(self) -> None:
        body = {"model": MODEL, "tokens": [BOS, *HI]}
        assert await ask("/detokenize", body) == (200, {"prompt": "<bos>Hi"})

    async def test_may_be_none(self) -> None:
        assert await ask("/detokenize", {"model": MODEL, "tokens": []}) == (200, {"prompt": ""})

    @pytest.mark.parametrize(
        ("tokens", "param", "code"),
        [
            ([7, 0x110000], "tokens[1]", "invalid_value"),
            ([-1], "tokens[0]", "invalid_value"),
            ([2**70], "tokens[0]", "invalid_value"),
            (["7"], "tokens[0]", "invalid_type"),
            ([True], "tokens[0]", "invalid_type"),
            ([7.0], "tokens[0]", "invalid_type"),
            ("7", "tokens", "invalid_type"),
            (None, "tokens", "missing_required_parameter"),
        ],
    )
    async def test_that_are_none_are_refused_by_their_place(
        self, tokens: Any, param: str, code: str
    ) -> None:
        body = {"model": MODEL, "tokens": tokens}
        assert await error_of("/detokenize", body) == (400, param, code)


class TestABody:
    @pytest.mark.parametrize(
        ("body", "param", "code"),
        [
            ({}, "prompt", "missing_required_parameter"),
            ({"prompt": None, "messages": None}, "prompt", "missing_required_parameter"),
            ({"prompt": 7}, "prompt", "invalid_type"),
            ({"prompt": ["Hi"]}, "prompt", "invalid_type"),
            ({"messages": []}, "messages", "invalid_value"),
            ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
            ({"prompt": "Hi", "messages": MESSAGES}, "messages", "invalid_value"),
            ({"prompt": "Hi", "add_generation_prompt": True}, "add_generation_prompt", None),
            ({"prompt": "Hi", "tools": []}, "tools", None),
            ({"messages": MESSAGES, "chat_template": "x"}, "chat_template", None),
            ({"messages": MESSAGES, "mm_processor_kwargs": {}}, "mm_processor_kwargs", None),
            ({"messages": MESSAGES, "temperature": 1}, "temperature", "unknown_parameter"),
            ({"prompt": "Hi", "return_token_strs": 1}, "return_token_strs", "invalid_type"),
        ],
    )
    async def test_that_is_wrong_is_refused_by_the_field(
        self, body: dict[str, Any], param: str, code: str | None
    ) -> None:
        status, named, coded = await error_of("/tokenize", {"model": MODEL, **body})
        assert (status, named) == (400, param)
        assert code in (None, coded)


class TestTheModel:
    @pytest.mark.parametrize(
        ("path", "body"), [("/tokenize", {"prompt": "Hi"}), ("/detokenize", {"tokens": HI})]
    )
    async def test_may_be_left_out_where_there_is_but_one(
        self, path: str, body: dict[str, Any]
    ) -> None:
        assert (await ask(path, body))[0] == 200
        async with site() as s:
            s.router.pools["other"] = EnginePool("router")
            status, content = await ask(path, body, s)
        assert (status, content["error"]["param"]) == (400, "model")

    @pytest.mark.parametrize(
        ("path", "body"), [("/tokenize", {"prompt": "Hi"}), ("/detokenize", {"tokens": HI})]
    )
    async def test_that_is_none_is_a_404(self, path: str, body: dict[str, Any]) -> None:
        assert await error_of(path, {"model": "nope", **body}) == (404, "model", "model_not_found")

    async def test_of_others_is_a_404(self) -> None:
        keys = ring(entry("some", models=["other"]), entry("all"))
        async with site(keys=keys) as s:
            statuses = [
                (await s.post("/tokenize", {"prompt": "Hi", **model}, bearer(name))).status_code
                for name, model in (("some", {"model": MODEL}), ("some", {}), ("all", {}))
            ]
        assert statuses == [404, 400, 200]

    async def test_without_an_engine_has_no_known_context(self) -> None:
        async with site(running=False) as s:
            status, content = await ask("/tokenize", {"prompt": "Hi"}, s)
        assert (status, content["error"]["code"]) == (503, EngineUnavailable.code)


async def test_what_vllm_leaves_off_by_default_is_no_path() -> None:
    async with site() as s:
        assert (await s.http.get("/tokenizer_info")).status_code == 404
