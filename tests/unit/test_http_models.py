import asyncio
from collections.abc import Callable

import pytest
from openai.types import Model

from deployments.pool import EnginePool
from tests.unit.fakes import until
from tests.unit.http_fixtures import MODEL, chat, site


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


async def test_health_says_that_the_process_answers_whatever_the_engines_do() -> None:
    async with site(running=False) as s:
        response = await s.http.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_says_so_and_how_busy_each_engine_is() -> None:
    async with site() as s:
        task = asyncio.ensure_future(s.post("/v1/chat/completions", chat(n=3)))
        await s.submitted(3)
        await s.serving.server.drain(0)  # tells the router of the load, among other things
        await until(lambda: s.router.pools[MODEL].links[0].load.running == 3)
        response = await s.http.get("/ready")
        s.engine.finish_all()
        await task
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "models": {
            MODEL: {
                "ready": True,
                "engines": [
                    {
                        "replica": s.serving.replica.id,
                        "beats": True,
                        "draining": True,
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
    expected = {"status": "not ready", "models": {MODEL: {"ready": False, "engines": []}}}
    assert response.json() == expected


async def test_a_server_is_not_ready_while_one_of_its_models_has_no_engine() -> None:
    async with site() as s:
        s.router.pools["other"] = EnginePool("router")
        response = await s.http.get("/ready")
    models = response.json()["models"]
    assert (models[MODEL]["ready"], models["other"]["ready"]) == (True, False)
    assert (response.status_code, response.json()["status"]) == (503, "not ready")


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
