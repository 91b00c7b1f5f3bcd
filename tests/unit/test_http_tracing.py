"""A request's trace as the router makes it, over a real router and a scripted engine."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, url_attributes

from deployments.dispatcher import Rules
from deployments.messages import Delta
from serve_app.http.app import ENDPOINTS
from serve_app.http.record import Record
from serve_app.http.trace_content import Content
from serve_app.http.tracing import RequestTracer
from tests.unit.fakes import FakeClock, until
from tests.unit.http_fixtures import (
    CHAT,
    COMPLETIONS,
    MODEL,
    Site,
    chat,
    completion,
    parse_chat,
    say,
    site,
)
from tests.unit.spans import Kept, seconds

TRACE, CLIENTS = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, INFERENCE = f"POST {CHAT}", f"chat {MODEL}"
JSON = {"type": "json_object"}
DOC = Path(__file__).parents[2] / "docs" / "tracing.md"
STAGES = ["receive", "validate", "tokenize", "admit"]


def traceparent(flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{CLIENTS}-{flags}"}


@asynccontextmanager
async def traced(
    sampler: Sampler = DEFAULT_ON,
    *,
    takes_context: bool = True,
    wants_content: bool = False,
    **options: object,
) -> AsyncIterator[tuple[Site, Kept]]:
    kept = Kept(sampler)
    tracer = RequestTracer(
        kept.tracer, ENDPOINTS, takes_context=takes_context, wants_content=wants_content
    )
    async with site(tracer=tracer, **options) as running:  # type: ignore[arg-type]
        yield running, kept


def said(*words: str) -> list[Delta]:
    *before, last = words
    return [*map(say, before), say(last, finish_reason="stop")]


class TestTheSpansOfARequest:
    async def test_hang_on_each_other(self) -> None:
        async with traced() as (site, kept):
            await site.answer(CHAT, chat(), said("a", "b"))
        assert kept.names == [SERVER, *STAGES, INFERENCE, "queue", "place"]
        assert kept.parent_of(kept.one(SERVER)) is None
        for name in [*STAGES, INFERENCE]:
            assert kept.parent_of(kept.one(name)) == SERVER
        for name in ["queue", "place"]:
            assert kept.parent_of(kept.one(name)) == INFERENCE

    async def test_follow_each_other_without_a_gap(self) -> None:
        async with traced() as (site, kept):
            await site.answer(CHAT, chat(), said("a", "b"))
        server, parts = kept.one(SERVER), [kept.one(name) for name in [*STAGES, INFERENCE]]
        assert parts[0].start_time == server.start_time
        for one, other in pairwise(parts):
            assert one.end_time == other.start_time
        assert parts[-1].end_time == server.end_time

    async def test_take_as_long_as_what_they_are_of(self, clock: FakeClock) -> None:
        async with traced(now=clock) as (site, kept):
            exchange = site.open(CHAT, chat(stream=True))
            await site.submitted()
            clock.advance(2)
            site.step(0, say("one"))
            await exchange.until_says("one")
            clock.advance(3)
            site.step(0, say("two", finish_reason="stop"))
            await exchange.task
        assert kept.seconds("place") == kept.seconds(INFERENCE) == kept.seconds(SERVER) == 5
        [first_token] = kept.one(INFERENCE).events
        start = kept.one(SERVER).start_time
        assert start is not None
        assert (first_token.name, first_token.timestamp - start) == ("first_token", 2_000_000_000)

    async def test_are_one_pair_for_each_sequence(self) -> None:
        async with traced() as (site, kept):
            await site.answer(CHAT, chat(n=2), said("a"), said("b"))
        places = [span for span in kept.spans if span.name == "place"]
        assert [(span.attributes or {})["sluice.sequence.index"] for span in places] == [0, 1]
        assert kept.names.count("queue") == 2
        assert (kept.one(INFERENCE).attributes or {})["sluice.sequences"] == 2


class TestAttributes:
    async def test_are_the_conventions_for_http_and_genai(self) -> None:
        body = chat(temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stream=True)
        async with traced() as (site, kept):
            await site.answer(CHAT, body, said("a", "b"))
        assert dict(kept.one(SERVER).attributes or {}) == {
            http_attributes.HTTP_REQUEST_METHOD: "POST",
            http_attributes.HTTP_ROUTE: CHAT,
            http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
            url_attributes.URL_PATH: CHAT,
            url_attributes.URL_SCHEME: "http",
            "sluice.class": "standard",
            "sluice.tenant": "anonymous",
        }
        given = dict(kept.one(INFERENCE).attributes or {})
        assert given.pop(gen_ai_attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK) > 0  # type: ignore[operator]
        assert given == {
            gen_ai_attributes.GEN_AI_OPERATION_NAME: "chat",
            gen_ai_attributes.GEN_AI_PROVIDER_NAME: "sluice",
            gen_ai_attributes.GEN_AI_REQUEST_MODEL: MODEL,
            gen_ai_attributes.GEN_AI_RESPONSE_MODEL: MODEL,
            gen_ai_attributes.GEN_AI_REQUEST_STREAM: True,
            gen_ai_attributes.GEN_AI_REQUEST_MAX_TOKENS: 7,
            gen_ai_attributes.GEN_AI_REQUEST_TEMPERATURE: 0.5,
            gen_ai_attributes.GEN_AI_REQUEST_TOP_P: 0.9,
            gen_ai_attributes.GEN_AI_REQUEST_FREQUENCY_PENALTY: 0.0,
            gen_ai_attributes.GEN_AI_REQUEST_PRESENCE_PENALTY: 0.0,
            gen_ai_attributes.GEN_AI_REQUEST_SEED: 3,
            gen_ai_attributes.GEN_AI_USAGE_INPUT_TOKENS: 3,
            gen_ai_attributes.GEN_AI_USAGE_OUTPUT_TOKENS: 2,
            gen_ai_attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 0,
            gen_ai_attributes.GEN_AI_RESPONSE_FINISH_REASONS: ("stop",),
        }

    async def test_are_all_in_the_documentation(self) -> None:
        async with traced(echo=2) as (site, kept):
            await site.post(CHAT, chat(n=2, top_k=3, seed=1, response_format=JSON, stream=True))
            await site.post(CHAT, chat(temperature=9))
        names = {name for span in kept.spans for name in span.attributes or {}}
        text = DOC.read_text(encoding="utf-8")
        assert [name for name in sorted(names) if f"`{name}`" not in text] == []
        assert "gen_ai.output.type" in names

    async def test_have_nothing_that_a_client_may_write_as_it_likes(self) -> None:
        secret = "s3cret"
        body = chat(secret, stop=[secret], user=secret, metadata={"a": secret})
        headers = {"user-agent": secret, "tracestate": f"a={secret}", "referer": secret}
        async with traced(echo=1) as (site, kept):
            assert (await site.post(f"{CHAT}?{secret}", body, headers)).status_code == 200
            await site.post(f"/v1/{secret}", body, headers)
        assert kept.spans
        assert not [span for span in kept.spans if secret in span.to_json()]


class TestTextThatIsAskedFor:
    async def test_is_that_of_a_chat(self) -> None:
        body = chat("Hi", n=2)
        body["messages"] = [{"role": "system", "content": "Be kind."}, *body["messages"]]
        async with traced(wants_content=True) as (site, kept):
            await site.answer(
                CHAT,
                body,
                [say("x", 97, finish_reason="stop")],
                [say("y", 98), say("y", 98, finish_reason="stop")],
            )
        given, said = texts(kept.one(INFERENCE))
        assert given == [("system", "Be kind."), ("user", "Hi")]
        assert said == [("assistant", "a"), ("assistant", "bb")]

    async def test_is_that_of_prompts(self) -> None:
        async with traced(wants_content=True, echo=1) as (site, kept):
            await site.post(COMPLETIONS, completion(["Hi", "Ho"]))
        given, _ = texts(kept.one(f"text_completion {MODEL}"))
        assert given == [("user", "Hi"), ("user", "Ho")]

    def test_has_calls_of_tools_and_what_came_of_them(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        body = chat()
        body["messages"] += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ]
        content = Content(parse_chat(json.dumps(body).encode()), str).attributes([])
        _, called, answered = json.loads(content[gen_ai_attributes.GEN_AI_INPUT_MESSAGES])
        [part] = called["parts"]
        assert (part["type"], part["id"], part["name"]) == ("tool_call", "c1", "add")
        assert answered["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "3"}]


def texts(span: ReadableSpan) -> list[list[tuple[str, str]]]:
    """Roles and texts of what was given and what was said."""
    attributes = span.attributes or {}
    return [
        [(each["role"], each["parts"][0]["content"]) for each in json.loads(str(attributes[name]))]
        for name in (
            gen_ai_attributes.GEN_AI_INPUT_MESSAGES,
            gen_ai_attributes.GEN_AI_OUTPUT_MESSAGES,
        )
    ]


class TestWhatGoesToAnEngine:
    async def test_is_the_span_of_the_stay_there(self) -> None:
        async with traced() as (site, kept):
            await site.answer(CHAT, chat(), said("a"))
            [submitted] = await site.submitted()
        context = kept.one("place").context
        assert context is not None
        sampled = f"{context.trace_flags:02x}"
        assert submitted.traceparent == (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled}"
        )
        assert context.trace_flags.sampled
        assert submitted.tracestate is None

    async def test_is_nothing_of_what_is_not_sampled(self) -> None:
        async with traced(ALWAYS_OFF) as (site, kept):
            await site.answer(CHAT, chat(), said("a"))
            [submitted] = await site.submitted()
        assert submitted.traceparent is None
        assert not kept.spans

    async def test_has_the_clients_trace_state(self) -> None:
        headers = {**traceparent(), "tracestate": "vendor=x"}
        async with traced(echo=1) as (site, _):
            await site.post(CHAT, chat(), headers)
            [submitted] = await site.submitted()
        assert submitted.tracestate == "vendor=x"


class TestAClientsContext:
    async def test_goes_on(self) -> None:
        async with traced(echo=1) as (site, kept):
            await site.post(CHAT, chat(), traceparent())
        server = kept.one(SERVER)
        assert server.parent is not None
        assert server.context is not None
        assert f"{server.parent.span_id:016x}" == CLIENTS
        assert f"{server.context.trace_id:032x}" == TRACE

    async def test_decides_where_the_operator_lets_it(self) -> None:
        async with traced(echo=1) as (site, kept):
            await site.post(CHAT, chat(), traceparent("00"))
        assert not kept.spans

    async def test_does_not_where_the_operator_does_not(self) -> None:
        async with traced(ALWAYS_ON, echo=1) as (site, kept):
            await site.post(CHAT, chat(), traceparent("00"))
        assert SERVER in kept.names

    async def test_does_not_count_without_the_propagator(self) -> None:
        async with traced(echo=1, takes_context=False) as (site, kept):
            await site.post(CHAT, chat(), traceparent())
        assert kept.one(SERVER).parent is None

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "garbage",
            f"00-{'0' * 32}-{CLIENTS}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"ff-{TRACE}-{CLIENTS}-01",
            f"00-{TRACE}-{CLIENTS}-01-more",
            f"00-{TRACE.upper()}-{CLIENTS}",
            f"00-{TRACE}-{CLIENTS}-01,00-{TRACE}-{CLIENTS}-01",
        ],
    )
    async def test_that_is_wrong_is_none(self, wrong: str) -> None:
        async with traced(echo=1) as (site, kept):
            response = await site.post(CHAT, chat(), {"traceparent": wrong})
        assert response.status_code == 200
        assert kept.one(SERVER).parent is None


class TestTheIdInTheRecord:
    """Which is the one in the log."""

    @pytest.mark.parametrize(
        ("sampler", "flags", "known"),
        [(ALWAYS_ON, None, True), (ALWAYS_OFF, None, False), (DEFAULT_ON, "00", True)],
        ids=["sampled", "not sampled", "sampled elsewhere, maybe"],
    )
    async def test_is_there_where_it_leads_somewhere(
        self, sampler: Sampler, flags: str | None, known: bool
    ) -> None:
        records: list[Record] = []
        async with traced(sampler, echo=1, readers=[records.append]) as (site, _):
            await site.post(CHAT, chat(), {} if flags is None else traceparent(flags))
        [record] = records
        assert (record.trace_id is not None) == known
        if flags is not None:
            assert record.trace_id == TRACE


class TestWhatDoesNotEndWell:
    async def test_a_refused_request_ends_where_it_was_refused(self) -> None:
        async with traced() as (site, kept):
            await site.post(CHAT, chat(temperature=9))
        assert kept.names == [SERVER, "receive", "validate"]
        server = kept.one(SERVER)
        assert (server.attributes or {})["http.response.status_code"] == 400
        assert (server.attributes or {})[error_attributes.ERROR_TYPE] == "invalid_value"
        assert server.status.is_unset  # the client's own

    async def test_one_that_no_engine_takes_is_an_error(self) -> None:
        async with traced(running=False) as (site, kept):
            response = await site.post(CHAT, chat())
        assert response.status_code >= 500
        server = kept.one(SERVER)
        assert not server.status.is_unset
        assert (server.attributes or {})[error_attributes.ERROR_TYPE] == "engine_unavailable"

    async def test_a_client_that_leaves_is_no_error(self) -> None:
        async with traced() as (site, kept):
            exchange = site.open(CHAT, chat(stream=True))
            await site.submitted()
            site.step(0, say("one"))
            await exchange.until_says("one")
            await exchange.leave()
        server = kept.one(SERVER)
        assert (server.attributes or {})[error_attributes.ERROR_TYPE] == "client_gone"
        assert server.status.is_unset
        assert (kept.one("place").attributes or {})["sluice.outcome"] == "aborted"

    async def test_one_that_waits_when_its_client_leaves_was_only_queued(self) -> None:
        async with traced(max_num_seqs=1, rules=Rules(queue="fifo")) as (site, kept):
            first = site.open(CHAT, chat(stream=True))
            await site.submitted()
            waits = site.open(COMPLETIONS, completion(stream=True))
            dispatcher = site.router.pools[MODEL].dispatcher
            await until(lambda: dispatcher.open == 2, "it waits")
            await waits.leave()
            await first.leave()
        inference = kept.one(f"text_completion {MODEL}")
        below = [span.name for span in kept.spans if kept.parent_of(span) == inference.name]
        assert below == ["queue"]

    async def test_a_move_links_one_stay_to_the_other(self) -> None:
        async with traced(engines=2, echo=4) as (site, kept):
            for each in site.servings:
                each.engine.speaks_until = 2
            exchange = site.open(CHAT, chat(stream=True))
            await exchange.until_says("w1 ")
            [lost] = [each for each in site.servings if each.engine.running]
            [other] = [each for each in site.servings if each is not lost]
            other.engine.resume()
            await lost.die()
            await exchange.task
        before, after = [span for span in kept.spans if span.name == "place"]
        assert (before.attributes or {})["sluice.outcome"] == "moved"
        assert (before.attributes or {})["sluice.moved.reason"] == "lost"
        assert (after.attributes or {})["sluice.moves"] == 1
        [link] = after.links
        assert link.context == before.context
        assert kept.names.count("queue") == 2
        assert kept.one(SERVER).status.is_unset


class TestWhatIsNotTraced:
    @pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/v1/models", "/no/such"])
    async def test_probes_scrapes_and_what_is_no_endpoint(self, path: str) -> None:
        async with traced(ALWAYS_ON) as (site, kept):
            await site.http.get(path)
        assert not kept.spans


async def test_a_pooled_input_has_the_same_spans() -> None:
    async with traced(echo=1) as (site, kept):
        await site.post("/tokenize", {"model": MODEL, "prompt": "Hi"})
    assert kept.names[0] == "POST /tokenize"
    assert "admit" not in kept.names
    assert seconds(kept.one("POST /tokenize")) >= 0
