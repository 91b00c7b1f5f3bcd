"""Which adapters an engine core is told to load and to drop, whatever is asked of it."""

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from deployments.adapters import new_adapter
from deployments.errors import BadRequest
from deployments.messages import Adapter
from tests.unit.fakes import until
from tests.unit.test_adapter_files import adapter as files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own


class FakeCore:
    """What vLLM's engine core is to `LoadedAdapters`."""

    def __init__(self) -> None:
        self.loaded: list[int] = []
        self.requests: list[Any] = []
        self.error: Exception | None = None

    async def add_lora(self, lora_request: Any) -> bool:
        await asyncio.sleep(0)
        self.requests.append(lora_request)
        self.loaded.append(lora_request.lora_int_id)
        if self.error is not None:
            raise self.error
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        await asyncio.sleep(0)
        self.loaded.remove(lora_id)
        return True


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
