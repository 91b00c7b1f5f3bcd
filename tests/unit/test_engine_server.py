"""An engine replica's end: who is let in, what reaches the engine, what routers hear, and when."""

import pytest

from deployments import engine_server as module
from deployments.errors import BadRequest
from deployments.messages import (
    PROTOCOL,
    Abort,
    Adapter,
    Delta,
    Hello,
    Load,
    Refusal,
    Sampling,
    Sequence,
    Step,
    StructuredOutputs,
    Submit,
)
from tests.unit.fakes import FakeClock, Serving, until
from tests.unit.loops import on_both_loops
from tests.unit.peers import deltas, router_at, submit


class TestHello:
    @on_both_loops
    async def test_is_answered_with_a_beat_at_once(self, served: Serving) -> None:
        served.engine.load_figures = Load(running=3, waiting=2)
        async with router_at(served.replica) as router:
            assert router.received == [Step([], Load(running=3, waiting=2))]

    @on_both_loops
    @pytest.mark.parametrize("secret", ["guess", "", "geheimnisvoll \u00e4\u00f6\u00fc"])
    async def test_with_the_wrong_secret_ends_the_connection_without_an_answer(
        self, served: Serving, secret: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with router_at(served.replica, hello=False) as router:
            router.send(Hello(PROTOCOL, "r", secret), submit(1))
            await router.is_cut_off()
            assert router.received == []
        assert not served.engine.submitted
        assert "data_received" not in caplog.text, "it was let in or it crashed"
        assert "secret" in caplog.text

    async def test_of_another_protocol_is_refused_with_the_reason(self, served: Serving) -> None:
        async with router_at(served.replica, hello=False) as router:
            router.send(Hello(PROTOCOL + 1, "r", served.replica.secret), submit(1))
            await router.is_cut_off()
            [refusal] = router.received
            assert isinstance(refusal, Refusal)
            assert str(PROTOCOL) in refusal.reason
        assert not served.engine.submitted

    @pytest.mark.parametrize("message", [submit(1), Abort([1])])
    async def test_must_come_before_anything_else(
        self, served: Serving, message: Submit | Abort
    ) -> None:
        async with router_at(served.replica, hello=False) as router:
            router.send(message)
            await router.is_cut_off()
        assert not served.engine.submitted
        assert not served.engine.abort_calls

    @on_both_loops
    async def test_must_come_soon(
        self, quick_beats: None, served: Serving, clock: FakeClock
    ) -> None:
        async with router_at(served.replica) as friend, router_at(served.replica, hello=False) as s:
            await until(lambda: len(served.server._connections) == 2)
            clock.advance(module.HELLO_WITHIN_S - 1)
            await friend.hears(Step, len(friend.received) + 3)
            assert s.lost == 0
            clock.advance(2)
            await s.is_cut_off()
            assert friend.lost == 0

    async def test_is_all_that_a_stranger_may_send(self, served: Serving) -> None:
        long = Hello(PROTOCOL, "r" * 10_000, served.replica.secret)
        async with router_at(served.replica, hello=False) as stranger:
            stranger.send(long)
            await stranger.is_cut_off()

    async def test_lets_a_router_send_as_much_as_it_likes(self, served: Serving) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(*range(10_000)))
            await served.engine.next_submitted(10_000)

    async def test_is_said_only_once(self, served: Serving) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1))
            await served.engine.next_submitted()
            router.send(Hello(PROTOCOL, "r", served.replica.secret), submit(2))
            await router.is_cut_off()
            await until(lambda: served.engine.lost)
        assert len(served.engine.submitted) == 1
        assert not served.engine.running


class TestSequences:
    @on_both_loops
    async def test_reach_the_engine_in_their_order(self, served: Serving) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(4, 2), submit(7))
            await served.engine.next_submitted(3)
        assert [sequence.id for _, sequence in served.engine.submitted] == [4, 2, 7]

    @on_both_loops
    async def test_of_one_step_come_in_one_message_for_each_router(self, served: Serving) -> None:
        async with router_at(served.replica) as first, router_at(served.replica) as second:
            first.send(submit(1, 2))
            await served.engine.next_submitted(2)
            second.send(submit(1))
            await served.engine.next_submitted(3)
            (a, _), (_, _), (b, _) = served.engine.submitted
            to_first = [Delta(1, "a", [1]), Delta(2, "b", [2])]
            to_second = [Delta(1, "c", [3], "stop")]
            served.engine.step({a: to_first, b: to_second})
            await until(lambda: deltas(first) and deltas(second))
            assert deltas(first) == [to_first]
            assert deltas(second) == [to_second]

    async def test_come_with_the_load_of_their_step(self, served: Serving) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1))
            owner, _ = await served.engine.next_submitted()
            served.engine.load_figures = Load(1, 2, 0.25, 0.01)
            served.engine.say(owner, 1, "a")
            await until(lambda: deltas(router))
            assert router.received[-1].load == Load(1, 2, 0.25, 0.01)

    async def test_a_step_without_deltas_is_sent_to_nobody(self, served: Serving) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1))
            owner, _ = await served.engine.next_submitted()
            heard = len(router.received)
            served.engine.step({})
            served.engine.say(owner, 1, "a")
            await until(lambda: deltas(router))
            assert len(router.received) == heard + 1

    async def test_that_the_engine_cannot_take_come_back_as_the_clients_errors(
        self, served: Serving
    ) -> None:
        served.engine.refuse = lambda s: BadRequest("too long") if s.id == 2 else None
        async with router_at(served.replica) as router:
            router.send(submit(1, 2, 3))
            await until(lambda: deltas(router))
            [[refused]] = deltas(router)
            assert (refused.id, refused.finish_reason) == (2, "error")
            assert (refused.error, refused.bad_request) == ("too long", True)
        assert [sequence.id for _, sequence in served.engine.submitted] == [1, 3]

    async def test_that_the_engine_fails_on_come_back_as_the_engines_errors(
        self, served: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        served.engine.refuse = lambda s: RuntimeError("secret detail") if s.id == 1 else None
        async with router_at(served.replica) as router:
            router.send(submit(1, 2))
            await until(lambda: deltas(router))
            [[failed]] = deltas(router)
            assert failed.finish_reason == "error"
            assert not failed.bad_request
            assert "secret detail" not in str(failed.error)
            await served.engine.next_submitted()
        assert "secret detail" in caplog.text

    async def test_do_not_wait_for_anothers_adapter_to_be_loaded(self, served: Serving) -> None:
        served.engine.gate.clear()
        adapted = Sequence(1, [1], Sampling(1), adapter=Adapter(7, "law", "/law"))
        async with router_at(served.replica) as router:
            router.send(Submit([adapted]), submit(2))
            await served.engine.next_submitted(2)
            served.engine.gate.set()

    @pytest.mark.parametrize(
        "slow",
        [
            Sampling(1, structured_outputs=StructuredOutputs(regex="a")),
            Sampling(1, bad_words=("a",)),
        ],
        ids=["form", "bad words"],
    )
    async def test_do_not_wait_for_what_is_slow_to_check(
        self, served: Serving, slow: Sampling
    ) -> None:
        served.engine.gate.clear()
        async with router_at(served.replica) as router:
            router.send(Submit([Sequence(1, [1], slow)]), submit(2))
            await served.engine.next_submitted(2)
            served.engine.gate.set()

    async def test_tell_which_field_an_engine_refuses(self, served: Serving) -> None:
        served.engine.refuse = lambda _: BadRequest("No such token.", param="stop_token_ids")
        async with router_at(served.replica) as router:
            router.send(submit(1))
            await until(lambda: deltas(router))
            [[refused]] = deltas(router)
            assert (refused.bad_request, refused.param) == (True, "stop_token_ids")

    async def test_are_aborted_as_the_router_says_after_all_it_said_before(
        self, served: Serving
    ) -> None:
        async with router_at(served.replica) as router:
            router.send(submit(1, 2), Abort([1, 99]))
            await until(lambda: served.engine.abort_calls)
            assert served.engine.abort_calls == [[1, 99]]
            assert [i for _, i in served.engine.running] == [2]


class TestRouters:
    @on_both_loops
    async def test_are_told_how_many_they_are(self, quick_beats: None, served: Serving) -> None:
        async with router_at(served.replica) as first:
            assert first.received[-1].load.routers == 1
            async with router_at(served.replica) as second:
                assert second.received[0].load.routers == 2
                await until(lambda: first.received[-1].load.routers == 2)
            await until(lambda: first.received[-1].load.routers == 1)

    async def test_are_told_with_each_step(self, served: Serving) -> None:
        async with router_at(served.replica) as first, router_at(served.replica):
            first.send(submit(1))
            owner, _ = await served.engine.next_submitted()
            served.engine.say(owner, 1, "a")
            await until(lambda: deltas(first))
            assert first.received[-1].load.routers == 2

    async def test_are_not_those_who_have_not_said_hello(
        self, quick_beats: None, served: Serving
    ) -> None:
        async with router_at(served.replica) as router, router_at(served.replica, hello=False):
            await until(lambda: len(served.server._connections) == 2)
            await router.hears(Step, len(router.received) + 2)
            assert router.received[-1].load.routers == 1

    async def test_are_at_least_one(self, served: Serving) -> None:
        assert served.server.load().routers == 1


class TestLostRouter:
    @on_both_loops
    async def test_frees_all_of_its_sequences_and_nobody_elses(self, served: Serving) -> None:
        async with router_at(served.replica) as staying:
            staying.send(submit(1))
            await served.engine.next_submitted()
            async with router_at(served.replica) as leaving:
                leaving.send(submit(1, 2))
                await served.engine.next_submitted(3)
            await until(lambda: len(served.engine.running) == 1)
            (owner, _), *_ = served.engine.submitted
            assert list(served.engine.running) == [(owner, 1)]

    @on_both_loops
    async def test_in_the_middle_of_a_submit_leaves_nothing_in_the_engine(
        self, served: Serving
    ) -> None:
        served.engine.gate.clear()
        async with router_at(served.replica) as router:
            router.send(submit(1, 2, 3), submit(4), Abort([2]), submit(5))
            await served.engine.next_submitted()
        await until(lambda: not served.server._inboxes, "the loss is noticed")
        served.engine.gate.set()
        await until(lambda: served.engine.lost)
        assert not served.engine.running
        assert [sequence.id for _, sequence in served.engine.submitted] == [1]

    async def test_gets_nothing_of_later_steps(self, served: Serving) -> None:
        served.engine.gate.clear()
        async with router_at(served.replica) as router:
            router.send(submit(1))
            owner, _ = await served.engine.next_submitted()
        await until(lambda: not served.server._inboxes)
        served.engine.say(owner, 1, "a")
        served.engine.gate.set()
        await until(lambda: served.engine.lost)

    async def test_is_what_becomes_of_one_whose_messages_the_engine_fails_on(
        self, served: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        served.engine.abort_error = RuntimeError("the pipe is broken")
        async with router_at(served.replica) as router:
            router.send(submit(1, 2), Abort([1]))
            await router.is_cut_off()
            await until(lambda: served.engine.lost)
        assert not served.engine.running
        assert "the pipe is broken" in caplog.text
