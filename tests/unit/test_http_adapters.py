import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types import Model

from deployments.adapters import Adapters, Served, new_adapter
from deployments.errors import BadRequest
from deployments.messages import Sequence
from deployments.pool import EnginePool
from deployments.scheduling.terms import Level
from serve_app.http.app import create_app
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import FACTS, until
from tests.unit.http_fixtures import CHAT, COMPLETIONS, MODEL, Site, chat, completion, say, site
from tests.unit.stores import FakeStore

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
LAW = new_adapter("law", "/adapters/law")
KEYS = ring(
    entry("boss", admin=True),
    entry("user"),
    entry("lawyer", models=["law"]),
    entry("plain", models=[MODEL]),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where adapters may be loaded from; it has one, `art`."""
    (tmp_path / "allowed" / "art").mkdir(parents=True)
    return (tmp_path / "allowed").resolve()


@asynccontextmanager
async def served(
    *folders: Path, store: FakeStore | None = None, echo: int | None = 1, **options: Any
) -> AsyncIterator[Site]:
    """A site with `LAW` in its configuration, that may load more from `folders`."""
    adapters = Adapters([Served(MODEL, LAW)], (store or FakeStore()) if folders else None)
    async with site(adapters=adapters, adapter_dirs=folders, echo=echo, **options) as s:
        yield s


def art(folder: Path, **fields: Any) -> dict[str, Any]:
    """The body of a request to load it."""
    return {"lora_name": "art", "lora_path": str(folder / "art"), **fields}


def refused(response: httpx.Response) -> tuple[int, str | None, str | None]:
    """Status, parameter and code of an error."""
    error = response.json()["error"]
    return response.status_code, error["param"], error["code"]


class TestAnAdapter:
    @pytest.mark.parametrize(("path", "body"), [(CHAT, chat), (COMPLETIONS, completion)])
    async def test_is_a_model_to_ask(self, path: str, body: Callable[..., dict[str, Any]]) -> None:
        async with served() as s:
            response = await s.post(path, {**body(n=2), "model": "law"})
            sequences = await s.submitted(2)
        assert response.status_code == 200
        assert response.json()["model"] == "law"
        assert [sequence.adapter for sequence in sequences] == [LAW, LAW]

    async def test_is_used_by_streams_that_name_it_and_by_no_others(self) -> None:
        async with served(echo=None) as s:
            exchanges = [
                s.open(CHAT, chat(model=model, stream=True)) for model in ("law", MODEL, "law")
            ]
            sequences = await s.submitted(3)
            for number in range(3):
                s.step(number, say("x", finish_reason="stop"))
            await asyncio.gather(*(exchange.task for exchange in exchanges))
        assert sorted(s.adapter is not None for s in sequences) == [False, True, True]
        assert b'"model":"law"' in exchanges[0].content

    async def test_is_listed_with_its_model_as_its_parent(self) -> None:
        async with served(max_model_len=77) as s:
            listed = (await s.http.get("/v1/models")).json()["data"]
            found = (await s.http.get("/v1/models/law")).json()
        assert [Model.model_validate(model).id for model in listed] == [MODEL, "law"]
        assert listed[1] == found
        assert [model["parent"] for model in listed] == [None, MODEL]
        assert [model["root"] for model in listed] == [MODEL, "/adapters/law"]
        assert found["max_model_len"] == 77

    async def test_is_listed_as_it_was_last_known_while_the_store_does_not_answer(
        self, folder: Path
    ) -> None:
        store = FakeStore()
        async with served(folder, store=store) as s:
            await s.post(LOAD, art(folder))
            store.error = RuntimeError("no GCS")
            response = await s.http.get("/v1/models")
        assert response.status_code == 200
        assert [model["id"] for model in response.json()["data"]] == [MODEL, "law", "art"]

    async def test_is_tokenized_for_as_its_model_is(self) -> None:
        async with served() as s:
            answers = [
                (await s.post("/tokenize", {"model": model, "prompt": "Hi"})).json()
                for model in (MODEL, "law")
            ]
        assert answers[0] == answers[1]

    async def test_that_is_none_is_a_404(self) -> None:
        async with served() as s:
            responses = [
                await s.post(CHAT, chat(model="art")),
                await s.http.get("/v1/models/art"),
                await s.post("/tokenize", {"model": "art", "prompt": "Hi"}),
            ]
        for response in responses:
            assert refused(response) == (404, "model", "model_not_found")

    async def test_that_the_engine_cannot_load_is_that_requests_error(self) -> None:
        async with served() as s:
            s.engine.refuse = lambda sequence: BadRequest("gone") if sequence.adapter else None
            broken, fine = await asyncio.gather(
                s.post(CHAT, chat(model="law")), s.post(CHAT, chat())
            )
        assert (broken.status_code, broken.json()["error"]["message"]) == (400, "gone")
        assert fine.status_code == 200


class TestAKey:
    async def test_may_use_the_adapters_that_it_names_and_no_others(self) -> None:
        async with served(keys=KEYS) as s:
            status = {
                name: [
                    (await s.post(CHAT, chat(model=model), bearer(name))).status_code
                    for model in (MODEL, "law")
                ]
                for name in ("user", "lawyer", "plain")
            }
            listed = await s.http.get("/v1/models", headers=bearer("lawyer"))
        assert status == {"user": [200, 200], "lawyer": [404, 200], "plain": [200, 404]}
        assert [model["id"] for model in listed.json()["data"]] == ["law"]

    @pytest.mark.parametrize("path", [LOAD, UNLOAD])
    async def test_that_is_no_admins_changes_nothing(self, path: str, folder: Path) -> None:
        store = FakeStore()
        async with served(folder, store=store, keys=KEYS) as s:
            for body in (art(folder), {}):  # before anybody looks at the body
                response = await s.post(path, body, bearer("user"))
                assert refused(response) == (403, None, "admin_required")
                assert response.json()["error"]["type"] == "permission_error"
            assert (await s.post(path, art(folder))).status_code == 401
        assert not store.values
        assert not s.engine.submitted

    async def test_of_an_admin_loads_and_unloads(self, folder: Path) -> None:
        async with served(folder, keys=KEYS) as s:
            loaded = await s.post(LOAD, art(folder), bearer("boss"))
            used = await s.post(CHAT, chat(model="art"), bearer("user"))
            unloaded = await s.post(UNLOAD, {"lora_name": "art"}, bearer("boss"))
        assert [r.status_code for r in (loaded, used, unloaded)] == [200, 200, 200]


class TestLoading:
    async def test_makes_a_model_that_can_be_used_at_once(self, folder: Path) -> None:
        async with served(folder) as s:
            loaded = await s.post(LOAD, art(folder))
            used = await s.post(CHAT, chat(model="art"))
            found = (await s.http.get("/v1/models/art")).json()
            tried, sequence = await s.submitted(2)
        assert (loaded.status_code, loaded.text) == (
            200,
            "Success: LoRA adapter 'art' added successfully.",
        )
        assert used.status_code == 200
        assert (found["parent"], found["root"]) == (MODEL, str(folder / "art"))
        assert tried.adapter == sequence.adapter
        assert tried.sampling.max_tokens == 1

    async def test_is_seen_by_another_router_with_its_first_request(self, folder: Path) -> None:
        store = FakeStore()
        async with served(folder, store=store) as one, served(folder, store=store) as two:
            assert (await one.post(LOAD, art(folder))).status_code == 200
            assert (await two.post(CHAT, chat(model="art"))).status_code == 200
            names = [m["id"] for m in (await two.http.get("/v1/models")).json()["data"]]
        assert names == [MODEL, "law", "art"]

    async def test_is_refused_in_the_engines_own_words(self, folder: Path) -> None:
        def refuse(sequence: Sequence) -> BadRequest | None:
            name = sequence.adapter and sequence.adapter.name
            return BadRequest("The adapter 'art' could not be loaded: no") if name else None

        async with served(folder) as s:
            s.engine.refuse = refuse
            response = await s.post(LOAD, art(folder))
            listed = (await s.http.get("/v1/models")).json()["data"]
        assert refused(response) == (400, "lora_path", "invalid_value")
        assert response.json()["error"]["message"].endswith("could not be loaded: no")
        assert [model["id"] for model in listed] == [MODEL, "law"]

    async def test_twice_is_refused_unless_it_is_to_replace(self, folder: Path) -> None:
        async with served(folder) as s:
            statuses = [
                (await s.post(LOAD, art(folder, **fields))).status_code
                for fields in ({}, {}, {"load_inplace": True})
            ]
            first, again = [sequence.adapter for sequence in await s.submitted(2)]
        assert statuses == [200, 400, 200]
        assert first is not None
        assert again is not None
        assert first.id != again.id  # nothing that is cached of the first is the second's

    @pytest.mark.parametrize(
        ("name", "param"), [("law", "lora_name"), (MODEL, "lora_name"), ("a b", "lora_name")]
    )
    async def test_under_a_name_that_is_taken_or_none_is_refused(
        self, name: str, param: str, folder: Path
    ) -> None:
        async with served(folder) as s:
            body = art(folder, lora_name=name, load_inplace=True)
            assert refused(await s.post(LOAD, body)) == (400, param, "invalid_value")
        assert not s.engine.submitted

    @pytest.mark.parametrize("path", ["", "..", "../other", "art/../../other", "link", "/", "art"])
    async def test_from_elsewhere_than_where_it_may_is_refused(
        self, path: str, folder: Path
    ) -> None:
        (folder.parent / "other").mkdir()
        (folder / "link").symlink_to(folder.parent / "other")
        elsewhere = str(folder / path) if path not in ("", "art") else path or "/etc"
        async with served(folder) as s:
            response = await s.post(LOAD, art(folder, lora_path=elsewhere))
        assert refused(response) == (400, "lora_path", "invalid_value")
        assert "adapter_dirs" in response.json()["error"]["message"]
        assert not s.engine.submitted

    @pytest.mark.parametrize("path", ["x" * 3000, "a\0b", "", 7])
    async def test_from_what_is_no_path_is_refused(self, path: Any, folder: Path) -> None:
        async with served(folder) as s:
            response = await s.post(LOAD, art(folder, lora_path=path))
        assert refused(response)[:2] == (400, "lora_path")

    async def test_is_refused_by_a_server_that_allows_none(self, folder: Path) -> None:
        async with served() as s:
            response = await s.post(LOAD, art(folder))
        assert refused(response) == (403, None, "adapter_dirs_missing")
        assert "'adapter_dirs'" in response.json()["error"]["message"]

    async def test_names_its_model_where_several_might_be_meant(self, folder: Path) -> None:
        async with served(folder) as s:
            behind: Any = s.app
            service = behind.state.service
            service.router.pools["other"] = EnginePool("router")
            service.adapter_dirs["other"] = [folder]
            unclear = await s.post(LOAD, art(folder))
            unknown = await s.post(LOAD, art(folder, base_model_name="nope"))
            clear = await s.post(LOAD, art(folder, base_model_name=MODEL))
        assert refused(unclear) == (400, "base_model_name", "missing_required_parameter")
        assert refused(unknown) == (404, "base_model_name", "model_not_found")
        assert clear.status_code == 200

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"is_3d_lora_weight": True}, "is_3d_lora_weight"),
            ({"load_inplace": "yes"}, "load_inplace"),
            ({"other": 1}, "other"),
            ({"lora_name": None}, "lora_name"),
        ],
    )
    async def test_with_what_is_not_honoured_is_refused_by_its_name(
        self, fields: dict[str, Any], param: str, folder: Path
    ) -> None:
        async with served(folder) as s:
            assert refused(await s.post(LOAD, art(folder, **fields)))[:2] == (400, param)

    async def test_is_held_to_no_class_deadline_while_the_model_sleeps(self, folder: Path) -> None:
        async with served(folder, sleeps=True) as s:
            pool = s.router.pools[MODEL]
            s.handle.publish()
            await until(lambda: pool.asleep)
            behind: Any = s.app
            deadlines = dict.fromkeys(Level, 1e-9)
            behind.state.service = replace(behind.state.service, deadlines=deadlines)
            loading = asyncio.ensure_future(s.post(LOAD, art(folder)))
            await until(lambda: any(pool.queued.values()) or loading.done())
            s.handle.publish(replace(s.serving.replica, facts=dict(FACTS)))
            assert (await loading).status_code == 200

    async def test_waits_for_no_engine_where_there_is_none(self, folder: Path) -> None:
        async with served(folder, running=False, now=lambda: 0.0) as s:
            pool = s.router.pools[MODEL]
            pool.dispatcher._no_engine_since = float("-inf")
            response = await s.post(LOAD, art(folder))
        assert refused(response) == (503, None, "engine_unavailable")

    async def test_that_the_store_cannot_keep_is_told(self, folder: Path) -> None:
        store = FakeStore()
        async with served(folder, store=store) as s:
            store.error = RuntimeError("no GCS")
            response = await s.post(LOAD, art(folder))
        assert refused(response) == (503, None, "overloaded")


class TestUnloading:
    async def test_ends_the_model(self, folder: Path) -> None:
        async with served(folder) as s:
            await s.post(LOAD, art(folder))
            unloaded = await s.post(UNLOAD, {"lora_name": "art"})
            used = await s.post(CHAT, chat(model="art"))
        assert (unloaded.status_code, unloaded.text) == (
            200,
            "Success: LoRA adapter 'art' removed successfully.",
        )
        assert refused(used) == (404, "model", "model_not_found")

    async def test_lets_finish_what_is_under_way(self, folder: Path) -> None:
        async with served(folder, echo=None) as s:
            loading = asyncio.ensure_future(s.post(LOAD, art(folder)))
            await s.submitted(1)
            s.step(0, say("x", finish_reason="length"))
            await loading
            exchange = s.open(CHAT, chat(model="art", stream=True))
            await s.submitted(2)
            s.step(1, say("so"))
            await exchange.until_says("so")
            assert (await s.post(UNLOAD, {"lora_name": "art"})).status_code == 200
            s.step(1, say(" far", finish_reason="stop"))
            await exchange.task
        assert exchange.content.endswith(b"data: [DONE]\n\n")

    async def test_of_what_is_not_there_is_a_404(self, folder: Path) -> None:
        async with served(folder) as s:
            response = await s.post(UNLOAD, {"lora_name": "art"})
        assert refused(response) == (404, "lora_name", "model_not_found")

    async def test_of_what_the_configuration_has_is_refused(self, folder: Path) -> None:
        async with served(folder) as s:
            response = await s.post(UNLOAD, {"lora_name": "law"})
        assert refused(response) == (400, "lora_name", "invalid_value")

    async def test_by_a_number_is_refused(self, folder: Path) -> None:
        async with served(folder) as s:
            response = await s.post(UNLOAD, {"lora_name": "art", "lora_int_id": 1})
        assert refused(response) == (400, "lora_int_id", "unsupported_parameter")


async def test_an_open_server_takes_whoever_asks_from_its_own_machine_for_an_admin(
    folder: Path,
) -> None:
    async with served(folder) as s:
        assert (await s.post(LOAD, art(folder))).status_code == 200
        behind: Any = s.app
        app = create_app(behind.state.service)
        transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as http:
            response = await http.post(UNLOAD, json={"lora_name": "art"})
    assert refused(response) == (401, None, "local_only")
