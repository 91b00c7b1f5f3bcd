"""Which adapters an engine core is told to load and to drop, whatever is asked of it."""

import asyncio
import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.adapters import new_adapter
from deployments.errors import BadRequest
from deployments.messages import Adapter, Sampling, Sequence
from tests.unit.fakes import until
from tests.unit.test_adapter_files import adapter as files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own


class FakeCore:
    """What vLLM's engine core is to `LoadedAdapters`."""

    def __init__(self) -> None:
        self.loaded: list[int] = []
        self.requests: list[Any] = []
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def add_lora(self, lora_request: Any) -> bool:
        await self.go.wait()
        self.requests.append(lora_request)
        self.loaded.append(lora_request.lora_int_id)
        if self.error is not None:
            raise self.error
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        await self.go.wait()
        self.loaded.remove(lora_id)
        return True

    async def abort_requests_async(self, request_ids: list[str]) -> None:
        assert not request_ids


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture(scope="module")
def module() -> Any:
    """Imported here, as it takes seconds."""
    return importlib.import_module("deployments.vllm_adapters")


@pytest.fixture
def adapters(tmp_path: Path) -> list[Adapter]:
    """Some adapters, which are all the same."""
    return [new_adapter(name, str(files(tmp_path))) for name in "abcd"]


@pytest.fixture
def loaded(module: Any, core: FakeCore) -> Any:
    """Those of an engine that may have two."""
    return module.LoadedAdapters(core, 2, None)


async def test_one_is_loaded_once_for_all_its_sequences(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a = adapters[0]
    requests = await asyncio.gather(*(loaded.hold(str(i), a) for i in range(3)))
    assert core.loaded == [a.id]
    [request] = {id(request): request for request in requests}.values()
    assert (request.lora_int_id, request.lora_path) == (a.id, a.path)


async def test_cached_prefixes_go_by_the_very_weights(loaded: Any, adapters: list[Adapter]) -> None:
    path = adapters[0].path
    names = {
        (await loaded.hold(generation, new_adapter("a", path, generation))).lora_name
        for generation in ("1", "2")
    }
    assert len(names) == 2


async def test_the_least_recently_used_one_is_dropped_for_another(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a, b, c, _ = adapters
    await loaded.load([a, b, a, c])
    assert core.loaded == [a.id, c.id]


async def test_one_that_is_needed_is_kept_and_others_wait_in_their_order(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a, b, c, d = adapters
    for sequence, adapter in (("1", a), ("2", b), ("3", b)):
        await loaded.hold(sequence, adapter)
    waiting = [asyncio.ensure_future(loaded.hold(name, x)) for name, x in (("4", c), ("5", a))]
    loaded.release("2")
    for _ in range(5):
        await asyncio.sleep(0)
    assert core.loaded == [a.id, b.id]  # one of b's sequences goes on
    assert not any(task.done() for task in waiting)  # also a's next, lest c wait for ever
    loaded.release("3")
    await asyncio.gather(*waiting)
    assert core.loaded == [a.id, c.id]
    later = asyncio.ensure_future(loaded.hold("6", d))
    for sequence in ("1", "5"):
        assert d.id not in core.loaded
        loaded.release(sequence)
    await later
    assert core.loaded == [c.id, d.id]


async def test_one_that_cannot_be_loaded_is_an_error_and_leaves_no_part_of_it(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    core.error = Exception("Call to add_lora method failed: no\n  way")
    with pytest.raises(BadRequest, match=r"^The adapter 'a' could not be loaded: no way$"):
        await loaded.hold("1", adapters[0])
    assert core.loaded == []
    loaded.release("1")
    core.error = None
    await loaded.hold("1", adapters[0])


async def test_one_with_bad_files_does_not_reach_the_engine_core(
    loaded: Any, core: FakeCore, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 0}))
    with pytest.raises(BadRequest, match=r"'a' could not be loaded: .*has a rank"):
        await loaded.hold("1", new_adapter("a", str(tmp_path)))
    assert core.requests == []


async def test_a_dead_engine_core_is_no_fault_of_the_adapter(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    dead: type[Exception] = importlib.import_module("vllm.v1.engine.exceptions").EngineDeadError
    core.error = dead()
    with pytest.raises(dead):
        await loaded.hold("1", adapters[0])


async def test_an_engine_without_room_takes_none(
    module: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    with pytest.raises(BadRequest, match="takes no adapters"):
        await module.LoadedAdapters(core, 0, None).hold("1", adapters[0])


async def test_what_holds_nothing_releases_nothing(loaded: Any, adapters: list[Adapter]) -> None:
    loaded.release("1")
    await loaded.hold("1", adapters[0])
    loaded.release("1")
    loaded.release("1")


async def test_waiting_for_room_can_be_given_up(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a, b, c, d = adapters
    await loaded.hold("1", a)
    await loaded.hold("2", b)
    given_up = asyncio.ensure_future(loaded.hold("3", c))
    other = asyncio.ensure_future(loaded.hold("4", d))
    await until(lambda: loaded._turn.locked())
    given_up.cancel()
    loaded.release("1")
    await other
    assert core.loaded == [b.id, d.id]


async def test_a_sequence_that_ends_while_it_waits_holds_up_nobody(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a, b, c, d = adapters
    await loaded.hold("1", a)
    await loaded.hold("2", b)
    for_room = asyncio.ensure_future(loaded.hold("3", c))
    await until(lambda: loaded._wants_room)
    for_a_turn = asyncio.ensure_future(loaded.hold("4", d))
    next_one = asyncio.ensure_future(loaded.hold("5", a))
    await until(lambda: "5" in loaded._waiting)
    loaded.release("4")
    loaded.release("3")
    await asyncio.wait_for(next_one, 5)
    assert for_room.cancelled()
    assert for_a_turn.cancelled()
    assert core.loaded == [a.id, b.id]
    assert not loaded._waiting


async def test_a_sequence_that_ends_while_its_adapter_is_loaded_leaves_it_to_others(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    core.go.clear()
    first = asyncio.ensure_future(loaded.hold("1", adapters[0]))
    await until(lambda: loaded._turn.locked() and not loaded._waiting)
    loaded.release("1")
    core.go.set()
    await first
    loaded.release("1")
    await loaded.hold("2", adapters[0])
    assert core.loaded == [adapters[0].id]


async def test_one_that_is_loaded_is_had_while_another_is_being_loaded(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    a, b, c, _ = adapters
    await loaded.hold("1", a)
    core.go.clear()
    other = asyncio.ensure_future(loaded.hold("2", b))
    await until(loaded._turn.locked)
    await asyncio.wait_for(loaded.hold("3", a), 5)
    core.go.set()
    await other
    loaded.release("2")
    core.go.clear()
    taking_its_place = asyncio.ensure_future(loaded.hold("4", c))
    await until(loaded._turn.locked)
    again = asyncio.ensure_future(loaded.hold("5", b))  # it is on its way out
    core.go.set()
    await taking_its_place
    assert core.loaded == [a.id, c.id]
    loaded.release("4")
    await again
    assert core.loaded == [a.id, b.id]


async def test_a_hub_that_fails_is_told_as_the_adapters_fault(
    module: Any, loaded: Any, adapters: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> str:
        raise RuntimeError("no hub")

    monkeypatch.setattr(module, "get_adapter_absolute_path", fail)
    with pytest.raises(BadRequest, match=r"'a' could not be loaded: no hub$"):
        await loaded.hold("1", adapters[0])


async def test_a_sequence_that_ends_before_it_has_begun_asks_for_none(
    loaded: Any, core: FakeCore, adapters: list[Adapter]
) -> None:
    kind = importlib.import_module("deployments.vllm_engine").VllmEngine
    engine = kind.__new__(kind)
    engine._names, engine._sequences, engine._submitted = {}, {}, 0
    engine.traces = None
    engine.adapters, engine._llm = loaded, SimpleNamespace(engine_core=core)
    starting = engine.submit(
        "router", Sequence(7, [1], Sampling(max_tokens=1), adapter=adapters[0])
    )
    await engine.abort("router", [7])
    await starting
    assert core.requests == []
