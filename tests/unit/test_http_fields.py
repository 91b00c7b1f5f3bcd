"""Fields that change more than the sampling: what the answer, the queue and the checker make of
them."""

from typing import Any

import pytest

from deployments.errors import BadRequest, Overloaded
from deployments.messages import Logprob, StructuredOutputs
from serve_app.http.auth import CLASS_HEADER
from serve_app.limits import Limits
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import until
from tests.unit.http_fixtures import (
    BOS,
    CHAT,
    COMPLETIONS,
    chat,
    completion,
    events,
    row,
    say,
    site,
)

BOTH = pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, completion())])
ONE_WORD = [say("w", finish_reason="stop")]


class TestRequestId:
    @BOTH
    @pytest.mark.parametrize("stream", [False, True])
    async def test_becomes_part_of_the_answers(
        self, path: str, body: dict[str, Any], stream: bool
    ) -> None:
        async with site(echo=1) as s:
            response = await s.post(path, {**body, "request_id": 'my "own"', "stream": stream})
        told = events(response.content) if stream else [response.json()]
        prefix = "chatcmpl" if path == CHAT else "cmpl"
        assert {each["id"] for each in told} == {f'{prefix}-my "own"'}


class TestServiceTier:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ("auto", "default"),
            ("default", "default"),
            ("fast", "priority"),
            ("priority", "priority"),
            ("flex", "flex"),
        ],
    )
    async def test_is_told_as_it_was_served(self, asked: str, told: str, stream: bool) -> None:
        async with site(echo=2) as s:
            response = await s.post(CHAT, chat(service_tier=asked, stream=stream))
        answers = events(response.content) if stream else [response.json()]
        assert {each["service_tier"] for each in answers} == {told}

    async def test_is_not_told_unasked(self) -> None:
        async with site(echo=1) as s:
            assert "service_tier" not in (await s.post(CHAT, chat())).json()

    @pytest.mark.parametrize("tier", ["flex", "fast", "priority"])
    async def test_is_of_those_that_the_key_may_use(self, tier: str) -> None:
        async with site(echo=1, keys=ring(entry("acme", classes=["standard"]))) as s:
            response = await s.post(CHAT, chat(service_tier=tier), bearer("acme"))
            assert s.engine.submitted == []
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (403, "class_not_allowed")
        assert error["param"] == "service_tier"

    @pytest.mark.parametrize("tier", ["auto", "default"])
    async def test_of_no_class_is_the_keys_own(self, tier: str) -> None:
        async with site(echo=1, keys=ring(entry("acme", classes=["batch"]))) as s:
            response = await s.post(CHAT, chat(service_tier=tier), bearer("acme"))
        assert response.status_code == 200

    async def test_puts_a_request_before_others(self) -> None:
        async with site(max_num_seqs=1) as s:
            s.open(CHAT, chat("first"))
            await s.submitted(1)
            for name, tier in (("slow", "flex"), ("quick", "priority")):
                s.open(CHAT, chat(name, service_tier=tier))
                await until(lambda: s.router.pools["org/model"].dispatcher.open > 1)
            await until(lambda: s.router.pools["org/model"].dispatcher.open == 3)
            s.engine.finish_all()
            prompts = await s.submitted(2)
            assert prompts[1].prompt_token_ids[0] == ord("q")
            s.engine.finish_all()
            await s.submitted(3)
            s.engine.finish_all()

    async def test_and_header_do_not_contradict_each_other(self) -> None:
        async with site(echo=1) as s:
            headers = {CLASS_HEADER: "interactive"}
            agrees = await s.post(CHAT, chat(service_tier="priority"), headers)
            differs = await s.post(CHAT, chat(service_tier="flex"), headers)
        assert agrees.status_code == 200
        assert (differs.status_code, differs.json()["error"]["param"]) == (400, "service_tier")


A, B, E = ("a", -0.1), ("b", -2.0), ("é", -3.0)


def ranked(*candidates: tuple[str, float, int]) -> list[Logprob]:
    """One position's candidates and their ranks, the chosen first."""
    return [Logprob(ord(text[0]), value, text, rank) for text, value, rank in candidates]


PROMPT_ROWS = [
    None,
    ranked(("i", -4.0, 9), ("a", -0.1, 1), ("b", -2.0, 2)),
    ranked(("a", float("-inf"), 1), ("b", -2.0, 2)),
]


def told(text: str, value: float, rank: int) -> dict[str, Any]:
    return {str(ord(text)): {"logprob": value, "rank": rank, "decoded_token": text}}


class TestPromptLogprobs:
    SCRIPT = (say("w", prompt_logprobs=PROMPT_ROWS, finish_reason="stop"),)

    async def test_of_a_chat_stand_beside_its_choices(self) -> None:
        async with site() as s:
            response = await s.answer(CHAT, chat(prompt_logprobs=1), self.SCRIPT)
        expected = [None, told("i", -4.0, 9) | told("a", -0.1, 1), told("a", -9999.0, 1)]
        assert response.json()["prompt_logprobs"] == expected
        assert response.json()["choices"][0]["logprobs"] is None

    async def test_of_completions_stand_in_each_choice(self) -> None:
        async with site() as s:
            body = completion(["Hi", "He"], prompt_logprobs=2)
            response = await s.answer(COMPLETIONS, body, self.SCRIPT, self.SCRIPT)
        second = told("i", -4.0, 9) | told("a", -0.1, 1) | told("b", -2.0, 2)
        third = told("a", -9999.0, 1) | told("b", -2.0, 2)
        choices = response.json()["choices"]
        assert [choice["prompt_logprobs"] for choice in choices] == [[None, second, third]] * 2
        assert [choice["text"] for choice in choices] == ["w", "w"]

    async def test_may_be_more_than_those_of_an_echo(self) -> None:
        async with site() as s:
            script = [
                say("w", logprobs=[row(A)], prompt_logprobs=PROMPT_ROWS, finish_reason="stop")
            ]
            body = completion("Hi", prompt_logprobs=2, echo=True, logprobs=1)
            [choice] = (await s.answer(COMPLETIONS, body, script)).json()["choices"]
            [sequence] = await s.submitted()
        assert sequence.sampling.prompt_logprobs == 2
        assert len(choice["prompt_logprobs"][1]) == 3
        assert choice["logprobs"]["top_logprobs"][1] == {"i": -4.0, "a": -0.1}

    @BOTH
    async def test_are_not_told_unasked(self, path: str, body: dict[str, Any]) -> None:
        async with site(echo=1) as s:
            response = await s.post(path, body)
        assert "prompt_logprobs" not in response.json()
        assert "prompt_logprobs" not in response.json()["choices"][0]


class TestTokensAsIds:
    async def test_of_a_chat_are_named_in_place_of_texts(self) -> None:
        body = chat(logprobs=True, top_logprobs=1, return_tokens_as_token_ids=True)
        async with site() as s:
            script = [say("é", logprobs=[row(E, A)], finish_reason="stop")]
            response = await s.answer(CHAT, body, script)
        [entry_] = response.json()["choices"][0]["logprobs"]["content"]
        assert entry_["token"] == f"token_id:{ord('é')}"
        assert entry_["bytes"] == list("é".encode())
        assert entry_["top_logprobs"][0]["token"] == f"token_id:{ord('a')}"

    async def test_of_a_completion_leave_the_offsets_those_of_the_text(self) -> None:
        body = completion("Hi", logprobs=1, echo=True, return_tokens_as_token_ids=True)
        rows = [None, row(("H", -1.0)), row(("i", -2.0))]
        script = [
            say("é", logprobs=[row(E)], prompt_logprobs=rows),
            say("a", logprobs=[row(A, B)], finish_reason="stop"),
        ]
        async with site() as s:
            response = await s.answer(COMPLETIONS, body, script)
        columns = response.json()["choices"][0]["logprobs"]
        ids = [BOS, *map(ord, "Hiéa")]
        assert columns["tokens"] == [f"token_id:{token}" for token in ids]
        assert columns["text_offset"] == [0, 5, 6, 7, 8]
        assert columns["top_logprobs"][-1] == {
            f"token_id:{ord('a')}": -0.1,
            f"token_id:{ord('b')}": -2.0,
        }


class TestTruncation:
    @BOTH
    async def test_keeps_the_end_of_a_prompt(self, path: str, body: dict[str, Any]) -> None:
        async with site(echo=1) as s:
            whole = await s.post(path, body)
            response = await s.post(path, {**body, "truncate_prompt_tokens": 2})
            first, second = await s.submitted(2)
        assert second.prompt_token_ids == first.prompt_token_ids[-2:]
        assert whole.json()["usage"]["prompt_tokens"] == 3
        assert response.json()["usage"]["prompt_tokens"] == 2

    async def test_may_keep_the_beginning(self) -> None:
        fields = {"truncate_prompt_tokens": 2, "truncation_side": "right"}
        async with site(echo=1) as s:
            await s.post(COMPLETIONS, completion(["Hello", "You"], **fields))
            sequences = await s.submitted(2)
        assert [each.prompt_token_ids for each in sequences] == [[BOS, 72], [BOS, 89]]

    async def test_makes_a_prompt_fit(self) -> None:
        async with site(echo=1, max_model_len=10) as s:
            refused = await s.post(CHAT, chat(50 * "x", max_tokens=4))
            fits = await s.post(CHAT, chat(50 * "x", max_tokens=4, truncate_prompt_tokens=-1))
            [sequence] = await s.submitted()
        assert (refused.status_code, fits.status_code) == (400, 200)
        assert len(sequence.prompt_token_ids) == 6

    async def test_to_more_than_the_context_is_refused(self) -> None:
        async with site(echo=1, max_model_len=10) as s:
            response = await s.post(COMPLETIONS, completion(truncate_prompt_tokens=11))
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "truncate_prompt_tokens")

    async def test_shows_in_an_echo(self) -> None:
        async with site() as s:
            body = completion("Hello", echo=True, truncate_prompt_tokens=3)
            response = await s.answer(COMPLETIONS, body, ONE_WORD)
        assert response.json()["choices"][0]["text"] == "llow"


@BOTH
class TestStreamOptions:
    async def test_tell_the_usage_of_each_choice_so_far(
        self, path: str, body: dict[str, Any]
    ) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        async with site(echo=3) as s:
            asked = {**body, "stream": True, "stream_options": options, "n": 2}
            told = events((await s.post(path, asked)).content)
        for index in range(2):
            mine = [e["usage"] for e in told if e["choices"] and e["choices"][0]["index"] == index]
            counts = [usage["completion_tokens"] for usage in mine]
            assert counts == sorted(counts)
            assert set(counts) == {1, 2, 3}
            assert {usage["prompt_tokens"] for usage in mine} == {3}
        assert told[-1]["choices"] == []
        assert told[-1]["usage"]["completion_tokens"] == 6

    async def test_pad_events_to_sizes_that_tell_little(
        self, path: str, body: dict[str, Any]
    ) -> None:
        words = ["a", "bc", "def " * 3, "é"]
        script = [say(word) for word in words] + [say("!", finish_reason="stop")]
        options = {"include_obfuscation": True}
        async with site() as s:
            asked = {**body, "stream": True, "stream_options": options}
            response = await s.answer(path, asked, script)
        pieces = response.content.split(b"\n\n")[:-2]
        assert len({len(piece) % 64 for piece in pieces}) == 1
        told = events(response.content)
        assert all("obfuscation" in each for each in told)
        choices = [each["choices"][0] for each in told]
        said = "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in choices)
        assert said == "".join(words) + "!"


class Judge:
    """Refuses forms, or takes them down."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[StructuredOutputs, str, str]] = []
        self.error = error

    async def check(self, form: StructuredOutputs, tenant: str, param: str) -> None:
        self.asked.append((form, tenant, param))
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        pass


class TestForms:
    @BOTH
    @pytest.mark.parametrize(
        ("fields", "form", "param"),
        [
            (
                {"response_format": {"type": "json_object"}},
                StructuredOutputs(json_object=True),
                "response_format",
            ),
            (
                {"structured_outputs": {"regex": "a+"}},
                StructuredOutputs(regex="a+"),
                "structured_outputs",
            ),
        ],
    )
    async def test_are_checked_for_their_tenant(
        self,
        path: str,
        body: dict[str, Any],
        fields: dict[str, Any],
        form: StructuredOutputs,
        param: str,
    ) -> None:
        judge = Judge()
        async with site(echo=1, forms=judge, keys=ring(entry("acme"))) as s:
            response = await s.post(path, {**body, **fields}, bearer("acme"))
            [sequence] = await s.submitted()
        assert response.status_code == 200
        assert judge.asked == [(form, "acme", param)]
        assert sequence.sampling.structured_outputs == form

    async def test_of_a_call_come_from_the_tools(self) -> None:
        judge = Judge()
        function = {"name": "look", "parameters": {"type": "object"}}
        tools: dict[str, Any] = {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
        }
        async with site(echo=1, forms=judge) as s:
            await s.post(CHAT, chat(**tools))
        assert [param for _, _, param in judge.asked] == ["tools"]

    @BOTH
    @pytest.mark.parametrize("stream", [False, True])
    async def test_that_are_refused_never_reach_an_engine(
        self, path: str, body: dict[str, Any], stream: bool
    ) -> None:
        judge = Judge(BadRequest("No.", param="structured_outputs", code="invalid_value"))
        fields = {"structured_outputs": {"regex": "a+"}, "stream": stream, "n": 2}
        async with site(echo=1, forms=judge) as s:
            response = await s.post(path, {**body, **fields})
            assert s.engine.submitted == []
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "structured_outputs")
        assert len(judge.asked) == 1

    async def test_that_nobody_has_time_for_are_to_be_sent_again(self) -> None:
        judge = Judge(Overloaded("Later.", retry_after_s=2.5))
        async with site(echo=1, forms=judge) as s:
            response = await s.post(CHAT, chat(structured_outputs={"choice": ["a"]}))
        assert (response.status_code, response.headers["retry-after"]) == (503, "3")

    @BOTH
    async def test_are_not_asked_about_for_free_text(self, path: str, body: dict[str, Any]) -> None:
        judge = Judge()
        async with site(echo=1, forms=judge) as s:
            await s.post(path, {**body, "response_format": {"type": "text"}})
        assert judge.asked == []


@BOTH
async def test_an_engines_refusal_names_the_field(path: str, body: dict[str, Any]) -> None:
    async with site() as s:
        s.engine.refuse = lambda _: BadRequest("No such token.", param="allowed_token_ids")
        response = await s.post(path, {**body, "allowed_token_ids": [99999]})
    error = response.json()["error"]
    assert (response.status_code, error["message"]) == (400, "No such token.")
    assert (error["param"], error["code"]) == ("allowed_token_ids", "invalid_value")


async def test_a_priority_orders_a_tenants_waiting_requests() -> None:
    async with site(max_num_seqs=1) as s:
        s.open(COMPLETIONS, completion("first"))
        await s.submitted(1)
        dispatcher = s.router.pools["org/model"].dispatcher
        for number, (name, priority) in enumerate([("late", 1), ("soon", -1)], 2):
            s.open(COMPLETIONS, completion(name, priority=priority))
            await until(lambda count=number: dispatcher.open == count)  # type: ignore[misc]
        s.engine.finish_all()
        assert (await s.submitted(2))[1].prompt_token_ids[1] == ord("s")
        s.engine.finish_all()
        await s.submitted(3)
        s.engine.finish_all()


async def test_a_repetition_is_told_as_vllm_tells_it() -> None:
    script = [say("w w w", finish_reason="repetition", stop_reason="repetition_detected")]
    rule = {"max_pattern_size": 1, "min_count": 3}
    async with site() as s:
        response = await s.answer(CHAT, chat(repetition_detection=rule), script)
    [choice] = response.json()["choices"]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("repetition", "repetition_detected")


async def test_the_configurations_limits_are_those_of_requests() -> None:
    async with site(echo=1, limits=Limits(n=1)) as s:
        refused = await s.post(CHAT, chat(n=2))
        taken = await s.post(CHAT, chat(n=1))
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")
    assert taken.status_code == 200
