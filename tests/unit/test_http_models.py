import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from openai.types import Model

from deployments.pool import EnginePool
from deployments.scheduling.terms import Level
from serve_app.http.app import create_app
from tests.unit.access_fixtures import bearer, entry, ring
from tests.unit.fakes import until
from tests.unit.http_fixtures import MODEL, Site, chat, site

KEYS = ring(entry("all"), entry("one", models=[MODEL]), entry("other", models=["other"]))

NOBODY_WAITS = {
    "waiting": {level.name.lower(): {"sequences": 0, "cost": 0} for level in Level},
    "prediction_error_ms": None,
    "moves": 0,
}


@asynccontextmanager
async def with_keys() -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    """A site of two models, one without an engine, and a server with `KEYS` over it."""
    async with site() as s:
        s.router.pools["other"] = EnginePool("router")
        behind: Any = s.app
        transport = httpx.ASGITransport(create_app(behind.state.service, KEYS))
        async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as http:
            yield s, http


async def test_every_model_is_listed_in_openais_shape() -> None:
    async with site(max_model_len=77) as s:
        response = await s.http.get("/v1/models")
    assert response.status_code == 200
    content = response.json()
    assert content["object"] == "list"
    [model] = [Model.model_validate(entry) for entry in content["data"]]
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "sluice")
    assert content["data"][0]["max_model_len"] == 77


@pytest.mark.parametrize("path", ["/v1/models/org/model", "/v1/models/org%2Fmodel"])
async def test_a_model_is_found_by_its_name_slashes_and_all(path: str) -> None:
    async with site() as s:
        response = await s.http.get(path)
        listed = await s.http.get("/v1/models")
    assert response.status_code == 200
    assert response.json() == listed.json()["data"][0]


@pytest.mark.parametrize("name", ["org", "model", "org/model/", "org/model/more"])
async def test_another_model_is_a_404(name: str) -> None:
    async with site() as s:
        response = await s.http.get(f"/v1/models/{name}")
    error = response.json()["error"]
    assert response.status_code == 404
    assert (error["code"], error["message"]) == (
        "model_not_found",
        f"The model '{name}' does not exist.",
    )


async def test_a_models_context_is_unknown_until_an_engine_runs() -> None:
    async with site(running=False) as s:
        response = await s.http.get(f"/v1/models/{MODEL}")
    assert (response.status_code, response.json()["max_model_len"]) == (200, None)


@pytest.mark.parametrize(
    ("name", "models"), [("all", [MODEL, "other"]), ("one", [MODEL]), ("other", ["other"])]
)
async def test_a_key_is_told_of_its_models_only(name: str, models: list[str]) -> None:
    async with with_keys() as (_, http):
        listed = await http.get("/v1/models", headers=bearer(name))
        found = {
            model: (await http.get(f"/v1/models/{model}", headers=bearer(name))).status_code
            for model in (MODEL, "other")
        }
    assert [model["id"] for model in listed.json()["data"]] == models
    assert found == {model: 200 if model in models else 404 for model in (MODEL, "other")}


async def test_a_model_of_others_is_not_told_from_one_that_is_not() -> None:
    async with with_keys() as (_, http):
        of_others = await http.get(f"/v1/models/{MODEL}", headers=bearer("other"))
        missing = await http.get("/v1/models/nope", headers=bearer("other"))
    assert of_others.text.replace(MODEL, "nope") == missing.text
    assert of_others.headers.keys() == missing.headers.keys()


async def test_health_says_that_the_process_answers_whatever_the_engines_do() -> None:
    async with site(running=False) as s:
        response = await s.http.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_says_so_and_how_busy_each_engine_is() -> None:
    async with site() as s:
        task = asyncio.ensure_future(s.post("/v1/chat/completions", chat(n=3)))
        await s.submitted(3)
        await s.serving.server.drain(0)  # tells the router of the load, among other things
        await until(lambda: s.router.pools[MODEL].links[0].report.running == 3)
        response = await s.http.get("/ready")
        s.engine.finish_all()
        await task
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "models": {
            MODEL: {
                "ready": True,
                "queue": NOBODY_WAITS,
                "engines": [
                    {
                        "replica": s.serving.replica.id,
                        "host": "127.0.0.1",
                        "pid": None,
                        "start_s": {},
                        "beats": True,
                        "breaker": "closed",
                        "draining": True,
                        "in_flight": 3,
                        "running": 3,
                        "waiting": 0,
                        "kv_cache_usage": 0.0,
                        "step_time_ms": 0.0,
                    }
                ],
            }
        },
    }


async def test_a_server_without_an_engine_is_not_ready() -> None:
    async with site(running=False) as s:
        response = await s.http.get("/ready")
    assert response.status_code == 503
    model = {"ready": False, "queue": NOBODY_WAITS, "engines": []}
    assert response.json() == {"status": "not ready", "models": {MODEL: model}}


async def test_a_server_is_not_ready_while_one_of_its_models_has_no_engine() -> None:
    async with site() as s:
        s.router.pools["other"] = EnginePool("router")
        response = await s.http.get("/ready")
    models = response.json()["models"]
    assert (models[MODEL]["ready"], models["other"]["ready"]) == (True, False)
    assert (response.status_code, response.json()["status"]) == (503, "not ready")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}])
async def test_ready_tells_nobody_without_a_key_more_than_whether(headers: dict[str, str]) -> None:
    async with with_keys() as (s, http):
        unready = await http.get("/ready", headers=headers)
        await s.router.pools.pop("other").close()
        ready = await http.get("/ready", headers=headers)
    assert (unready.status_code, unready.json()) == (503, {"status": "not ready"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_ready_tells_a_key_of_its_models() -> None:
    async with with_keys() as (_, http):
        told = await http.get("/ready", headers=bearer("one"))
    assert told.status_code == 503  # the other model has no engine
    assert told.json()["models"].keys() == {MODEL}
    assert told.json()["models"][MODEL]["ready"] is True


async def test_readiness_follows_the_engine() -> None:
    async with site() as s:
        pool = s.router.pools[MODEL]

        async def status_when(condition: Callable[[], bool]) -> int:
            await until(condition)
            return (await s.http.get("/ready")).status_code

        assert await status_when(lambda: pool.ready) == 200
        s.handle.publish()
        assert await status_when(lambda: not pool.links) == 503
        s.handle.publish(s.serving.replica)
        assert await status_when(lambda: pool.ready) == 200
        await s.serving.server.close()
        assert await status_when(lambda: not pool.ready) == 503
