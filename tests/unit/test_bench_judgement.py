import argparse
import json
import math
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from bench.judgement import affinity, flood, kills, openloop, overload
from bench.judgement.conversations import Turn
from bench.judgement.exchange import Outcome, Recorder
from bench.judgement.openloop import EVEN, Traffic
from bench.judgement.overload_report import last_of_peak
from bench.judgement.serving import Tenant, Wanted
from bench.notebook import Bar
from serve_app.auth_config import AuthConfig, keyring

TRAFFIC = Traffic(url="http://127.0.0.1:8000", model="m", rate=50.0, seconds=20.0, input_len=5)
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def stream(*contents: object) -> bytes:
    events = [b"data: " + json.dumps(content).encode() + b"\n\n" for content in contents]
    return b"".join([*events, b"data: [DONE]\n\n"])


ANSWER = stream(
    {"choices": [{"text": "a"}]}, {"choices": [{"text": "b"}]}, {"choices": [], "usage": USAGE}
)


def recorded(status: str, body: bytes, *headers: str) -> Outcome:
    """What a recorder makes of one answer to a request for two tokens."""
    recorder = Recorder()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    recorder.data_received(("\r\n".join(head) + "\r\n\r\n").encode() + body)
    return recorder.outcome(3, 0.0, 0.0, 2)


class TestRecorder:
    def test_has_the_tokens_and_the_usage_of_a_stream(self) -> None:
        found = recorded("200 OK", ANSWER, "X-Sluice-Wait-Ms: 1.5", "X-Sluice-Predicted-Ms: 20")
        assert found.whole
        assert (found.tokens, found.prompt_tokens, found.cached_tokens) == (2, 9, 4)
        assert (found.wait_ms, found.predicted_ms) == (1.5, 20)
        assert found.first_at is not None

    def test_has_what_a_refusal_says(self) -> None:
        body = json.dumps({"error": {"code": "overloaded"}}).encode()
        told = "retry-after: 3", "retry-after-ms: 2400", "x-should-retry: false"
        found = recorded("503 Service Unavailable", body, *told)
        assert found.refused
        assert (found.retry_after_s, found.retry_after_ms) == (3, 2400)
        assert found.should_retry == "false"

    def test_of_too_few_tokens_is_no_whole_answer(self) -> None:
        short = ANSWER.replace(b'"completion_tokens": 2', b'"completion_tokens": 1')
        assert recorded("200 OK", short).lost

    def test_of_an_error_after_the_first_token_has_its_code(self) -> None:
        body = stream({"choices": [{"text": "a"}]}, {"error": {"code": "engine_failed"}})
        found = recorded("200 OK", body)
        assert (found.lost, found.code) == (True, "engine_failed")
        assert found.first_at is not None


class TestTraffic:
    def test_by_chance_has_about_its_rate_and_ends_in_time(self) -> None:
        due = TRAFFIC.due()
        assert due == sorted(due)
        assert due[-1] < TRAFFIC.seconds
        assert len(due) == pytest.approx(1000, rel=0.15)

    def test_is_the_same_for_the_same_seed_and_another_for_another(self) -> None:
        other = Traffic(url=TRAFFIC.url, model="m", rate=50.0, seconds=20.0, input_len=5, seed=1)
        assert TRAFFIC.due() == TRAFFIC.due() != other.due()
        mine = list(islice(openloop.requests(TRAFFIC), 50))
        assert mine == list(islice(openloop.requests(TRAFFIC), 50))
        assert not set(mine) & set(islice(openloop.requests(other), 50))
        assert not set(mine) & set(islice(openloop.requests(TRAFFIC, 1), 50))

    def test_at_even_intervals_begins_at_once(self) -> None:
        even = Traffic(url=TRAFFIC.url, model="m", arrivals=EVEN, rate=2.0, seconds=2.0)
        assert even.due() == [0.0, 0.5, 1.0, 1.5]

    def test_carries_its_headers(self) -> None:
        traffic = Traffic(url=TRAFFIC.url, model="m", seconds=1.0, headers={"x-a": "b"})
        assert b"\r\nx-a: b\r\n" in next(openloop.requests(traffic))


class TestBar:
    @pytest.mark.parametrize(("value", "met"), [(0.4, False), (0.5, True), (2, True), (3, False)])
    def test_is_met_between_its_limits(self, value: float, met: bool) -> None:
        assert Bar("x", value, least=0.5, most=2).met is met

    def test_is_not_met_by_what_nobody_measured(self) -> None:
        assert not Bar("x", math.nan, least=0).met


class TestServing:
    async def test_a_tenant_s_key_is_one_that_its_server_knows(self) -> None:
        tenant = Tenant("b", weight=2.0)
        settings = AuthConfig(**Wanted("m", Path("/m"), tenants=(tenant,)).config()["auth"])
        keys = keyring(settings)
        assert keys is not None
        client = await keys.authenticate(tenant.key, datetime.now(UTC))
        assert (client.tenant, client.weight) == ("b", 2.0)
        assert tenant.headers == {"Authorization": f"Bearer {tenant.key}"}

    def test_a_server_without_tenants_has_no_keys(self) -> None:
        assert "auth" not in Wanted("m", Path("/m")).config()


def test_goodput_at_the_highest_rate_is_compared_to_the_highest_goodput() -> None:
    assert last_of_peak({0.5: 50.0, 1.0: 100.0, 3.0: 95.0}) == 0.95
    assert math.isnan(last_of_peak({1.0: 0.0}))


def outcome(ttft: float, **more: int) -> Outcome:
    times = {"due_at": 0.0, "sent_at": 0.0, "done_at": 1.0, "first_at": ttft, "last_at": 1.0}
    return Outcome(number=0, status=200, **times, **more)  # type: ignore[arg-type]


def test_the_flood_is_judged_by_p99_over_p99() -> None:
    found = {("fair", flood.ALONE): [outcome(0.1)], ("fair", flood.FLOODED): [outcome(0.15)]}
    assert flood.times_alone(found, "fair") == pytest.approx(1.5)
    assert math.isnan(flood.times_alone(found, "fifo"))


def test_the_cached_share_is_of_all_prompt_tokens() -> None:
    turns = [
        Turn(0, 0, outcome(0.1, prompt_tokens=100)),
        Turn(0, 1, outcome(0.1, prompt_tokens=300, cached_tokens=100)),
    ]
    found = affinity.visit("prefix", 0, turns)
    assert found.cached_share == 0.25
    assert found.later_share == pytest.approx(1 / 3)


class TestOptions:
    def test_of_kills_take_ranges_of_indexes(self) -> None:
        assert kills.parse(["--indexes", "0,5,10-12"]).indexes == (0, 5, 10, 11, 12)
        assert kills.parse([]).indexes == tuple(range(64))

    @pytest.mark.parametrize(
        ("parse", "argv"),
        [
            (kills.parse, ["--kinds", "poem"]),
            (kills.parse, ["--replicas", "1"]),
            (overload.parse, ["--stacks", "nothing"]),
            (overload.parse, ["--ramp", "40"]),
        ],
    )
    def test_that_make_no_sense_end_the_program(self, parse: object, argv: list[str]) -> None:
        assert callable(parse)
        with pytest.raises(SystemExit):
            parse(argv)

    def test_of_overload_give_every_stack_the_same_engine(self) -> None:
        options = overload.parse(["--engine-args", '{"enforce_eager": false}'])
        assert isinstance(options, argparse.Namespace)
        assert overload.engine_args(options)["max_num_seqs"] == 128
        assert overload.engine_args(options)["enforce_eager"] is False
