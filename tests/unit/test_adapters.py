import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest

from deployments import adapters as module
from deployments.adapters import Adapters, Served, new_adapter
from deployments.errors import BadRequest, ModelNotFound, Overloaded
from tests.unit.fakes import until
from tests.unit.stores import FakeStore

LAW = Served("base", new_adapter("law", "/adapters/law"))
ART = Served("base", new_adapter("art", "/adapters/art", "1"), 1700000000)
ART_2 = Served("base", new_adapter("art", "/adapters/art", "2"), 1700000001)


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    yield store
    store.gate.set()


@contextlib.asynccontextmanager
async def router(
    store: FakeStore | None = None, allows: Callable[[Served], bool] = lambda _: True
) -> AsyncIterator[Adapters]:
    """The adapters as one router knows them, with `LAW` in its configuration."""
    adapters = Adapters([LAW], store, allows)
    try:
        yield adapters
    finally:
        await adapters.close()


class TestAnId:
    def test_is_the_same_for_the_same_and_another_for_another(self) -> None:
        assert new_adapter("a", "/x") == new_adapter("a", "/x")
        others = [("b", "/x", ""), ("a", "/y", ""), ("a", "/x", "1"), ("a/x", "", "")]
        assert len({new_adapter(*other).id for other in others} | {new_adapter("a", "/x").id}) == 5

    def test_fits_where_vllm_keeps_it(self) -> None:
        assert all(0 < new_adapter(str(i), "/x").id < 2**63 for i in range(1000))


class TestAnAdapter:
    async def test_of_the_configuration_is_there(self) -> None:
        async with router() as adapters:
            assert adapters.get("law") == LAW
            assert adapters.names == ["law"]
            assert adapters.get("art") is None

    async def test_that_is_loaded_is_there_at_once(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            await adapters.add(ART, replace=False)
            assert adapters.get("art") == ART
            assert adapters.names == ["law", "art"]

    async def test_that_another_router_has_loaded_is_there_for_who_asks(
        self, store: FakeStore
    ) -> None:
        async with router(store) as one, router(store) as two:
            await one.add(ART, replace=False)
            assert two.get("art") is None
            await two.refresh()
            assert two.get("art") == ART

    async def test_outlives_the_routers(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            await adapters.add(ART, replace=False)
        async with router(store) as adapters:
            await adapters.refresh()
            assert adapters.get("art") == ART

    async def test_that_another_router_has_unloaded_goes_by_itself(
        self, store: FakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "READ_S", 0.005)
        async with router(store) as one, router(store) as two:
            await one.add(ART, replace=False)
            await until(lambda: two.get("art") is not None)
            await one.remove("art")
            assert one.get("art") is None
            await until(lambda: two.get("art") is None)

    async def test_is_loaded_once_unless_it_is_to_be_replaced(self, store: FakeStore) -> None:
        async with router(store) as one, router(store) as two:
            await one.add(ART, replace=False)
            for other in (one, two):  # one knows, and the other is told by the store
                with pytest.raises(BadRequest, match="has been loaded already") as refused:
                    await other.add(ART_2, replace=False)
                assert refused.value.param == "lora_name"
            assert one.get("art") == ART
            await two.add(ART_2, replace=True)
            assert two.get("art") == ART_2

    async def test_of_the_configuration_is_changed_by_nobody(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            changes = (adapters.add(LAW, replace=True), adapters.remove("law"))
            for change in changes:
                with pytest.raises(BadRequest, match="stands in the server's configuration"):
                    await change
            assert not store.values

    async def test_that_is_not_there_cannot_be_unloaded(self, store: FakeStore) -> None:
        for kept in (store, None):
            async with router(kept) as adapters:
                with pytest.raises(ModelNotFound, match="The adapter 'art' does not exist"):
                    await adapters.remove("art")

    async def test_that_may_not_be_served_any_more_is_passed_over(self, store: FakeStore) -> None:
        store.values["art"] = msgspec.json.encode(ART)
        async with router(store, allows=lambda served: served != ART) as adapters:
            await adapters.refresh()
            assert adapters.get("art") is None

    async def test_that_has_been_configured_since_it_was_loaded_is_there_once(
        self, store: FakeStore
    ) -> None:
        store.values["law"] = msgspec.json.encode(Served("base", new_adapter("law", "/x", "1"), 1))
        async with router(store) as adapters:
            await adapters.refresh()
            assert adapters.names == ["law"]
            assert adapters.get("law") == LAW

    async def test_that_the_store_has_taken_or_given_up_is_changed_whatever_comes_then(
        self, store: FakeStore
    ) -> None:
        async with router(store) as adapters:
            store.fails_to_read = True
            await adapters.add(ART, replace=False)
            assert list(store.values) == ["art"]
            await adapters.remove("art")
            assert not store.values

    async def test_of_another_version_is_passed_over(self, store: FakeStore) -> None:
        store.values |= {"x": b"{", "y": b"{}", "z": b'{"base": "b"}'}
        store.values["art"] = msgspec.json.encode(ART)
        async with router(store) as adapters:
            await adapters.refresh()
            assert adapters.names == ["law", "art"]


class TestTheStore:
    async def test_is_read_once_for_all_who_ask_meanwhile(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            store.gate.clear()
            first = asyncio.ensure_future(adapters.refresh())
            await until(lambda: store.reads == 1)
            # What they ask for may have come after that read began.
            others = [asyncio.ensure_future(adapters.refresh()) for _ in range(50)]
            await asyncio.sleep(0)
            store.gate.set()
            await asyncio.gather(first, *others)
            assert store.reads == 2

    async def test_that_fails_is_told_as_no_fault_of_the_clients(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            await adapters.add(ART, replace=False)
            store.error = RuntimeError("no GCS")
            for work in (adapters.refresh(), adapters.add(ART_2, replace=True)):
                with pytest.raises(Overloaded, match="cannot tell at the moment"):
                    await work
            assert adapters.get("art") == ART  # it goes on with what it knows

    async def test_that_hangs_holds_up_nobody_for_long(
        self, store: FakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_ANSWER_S", 0.01)
        async with router(store) as adapters:
            store.gate.clear()
            for _ in range(3):
                with pytest.raises(Overloaded):
                    await adapters.refresh()
            store.gate.set()

    async def test_that_fails_is_asked_once_for_all_who_wait(self, store: FakeStore) -> None:
        async with router(store) as adapters:
            store.gate.clear()
            waiting = [asyncio.ensure_future(adapters.refresh()) for _ in range(20)]
            await until(lambda: store.reads == 1)
            store.error = RuntimeError("no GCS")
            store.gate.set()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {Overloaded}
            assert store.reads == 1
            store.error = None
            await adapters.refresh()
            assert store.reads == 2

    async def test_is_read_again_when_it_answers_again(
        self, store: FakeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "READ_S", 0.005)
        store.error = RuntimeError("no GCS")
        async with router(store) as adapters:
            await until(lambda: store.reads > 2)
            store.error = None
            store.values["art"] = msgspec.json.encode(ART)
            await until(lambda: adapters.get("art") == ART)

    async def test_is_not_needed_for_what_is_configured(self) -> None:
        async with router() as adapters:
            await adapters.refresh()
            assert adapters.get("law") == LAW
