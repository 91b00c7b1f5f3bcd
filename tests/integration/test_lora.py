"""Adapters on real engines: two routers, two engines that keep two adapters each, and API keys."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import adapters, models, server
from tests.support.server import Server, eventually
from tests.unit.access_fixtures import PEPPER, bearer, entry

COUNT, MAX_TOKENS = 8, 16
LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
LONG_PROMPT = [7 + i % 2000 for i in range(300)]
"""It fills two blocks of an engine's prefix cache."""


@dataclass(frozen=True)
class Site:
    """The server, and where it may load adapters from."""

    server: Server
    folder: Path

    def post(self, path: str, key: str = "boss", **body: Any) -> httpx.Response:
        return self.server.post(path, body, **bearer(key))

    def load(self, name: str, folder: str, **fields: Any) -> httpx.Response:
        return self.post(LOAD, lora_name=name, lora_path=str(self.folder / folder), **fields)

    def answer(self, model: str, prompt: list[int]) -> list[int]:
        """The token ids of a greedy completion."""
        response = self.post("/v1/completions", **completion(model, prompt))
        assert response.status_code == 200, response.text
        ids: list[int] = response.json()["choices"][0]["token_ids"]
        return ids

    def answers(self, asked: list[tuple[str, list[int]]]) -> list[httpx.Response]:
        """All of them at the same time, each over a connection of its own."""

        async def ask() -> list[httpx.Response]:
            limits = httpx.Limits(max_keepalive_connections=0)
            async with httpx.AsyncClient(
                base_url=self.server.url, headers=bearer("user"), limits=limits, timeout=60
            ) as client:
                posts = (client.post("/v1/completions", json=completion(*one)) for one in asked)
                return list(await asyncio.gather(*posts))

        return asyncio.run(ask())

    def engines(self) -> list[dict[str, Any]]:
        ready = httpx.get(f"{self.server.url}/ready", headers=bearer("user"), timeout=10)
        engines: list[dict[str, Any]] = ready.json()["models"][models.SMALL]["engines"]
        return engines

    def busy_pid(self) -> int:
        """Of the engine that has a sequence; a router that did not send it hears with a beat."""
        busy: list[int] = []

        def found() -> bool:
            busy.extend(engine["pid"] for engine in self.engines() if engine["running"])
            return bool(busy)

        eventually(found, 3, "an engine has it")
        return busy[0]

    def pids(self) -> set[int]:
        """Of the engine replicas."""
        return {engine["pid"] for engine in self.engines()}

    def wait_for_both(self) -> None:
        def both() -> bool:
            engines = self.engines()
            return len(engines) == 2 and all(engine["beats"] for engine in engines)

        eventually(both, 120, "two engines beat")


def completion(model: str, prompt: list[int], **fields: Any) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "return_token_ids": True,
        **fields,
    }


def token_ids(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    ids: list[int] = response.json()["choices"][0]["token_ids"]
    return ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapters: `law` is in the configuration, `art` is loaded, the others are tried."""
    folder = tmp_path_factory.mktemp("adapters")
    adapters.make(folder / "law", seed=1)
    adapters.make(folder / "art", seed=2, rank=8)
    adapters.make(folder / "large", models.LARGE, seed=3)
    adapters.make(folder / "wide", seed=3, rank=32)
    adapters.make(folder / "dora", seed=3, use_dora=True)
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, list[list[int]]]:
    """What transformers makes of it, by model."""
    paths = {models.SMALL: None, "law": folder / "law", "art": folder / "art"}
    prompts = models.prompts(COUNT)
    return {name: adapters.answers(path, prompts, MAX_TOKENS) for name, path in paths.items()}


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    """The server, with `art` loaded."""
    model = models.CONFIG["models"][0]
    kept = {"max_loras": 2, "max_cpu_loras": 2}
    running = server.start(
        {
            "models": [
                {
                    **model,
                    "num_replicas": 2,
                    "engine_args": {**model["engine_args"], **kept},
                    "adapters": [{"name": "law", "source": str(folder / "law")}],
                    "adapter_dirs": [str(folder)],
                }
            ],
            "router": {"num_replicas": 2},
            "auth": {"pepper": PEPPER, "keys": [entry("boss", admin=True), entry("user")]},
        }
    )
    try:
        running.wait_until_ready()
        site = Site(running, folder)
        site.wait_for_both()
        loaded = site.load("art", "art")
        assert loaded.status_code == 200, loaded.text
        yield site
    finally:
        running.kill()  # the last tests leave it in pieces: to stop in order would take long


def test_greedy_token_ids_are_those_of_each_adapter_and_of_the_model_beside_it(
    site: Site, expected: dict[str, list[list[int]]]
) -> None:
    assert len({str(answers) for answers in expected.values()}) == 3
    asked = [(name, prompt) for prompt in models.prompts(COUNT) for name in expected]
    got = iter(map(token_ids, site.answers(asked)))
    for number in range(COUNT):
        for name, answers in expected.items():
            assert next(got) == answers[number], (name, number)


def test_adapters_are_models_with_a_parent(site: Site) -> None:
    listed = httpx.get(f"{site.server.url}/v1/models", headers=bearer("user")).json()["data"]
    assert {(model["id"], model["parent"]) for model in listed} == {
        (models.SMALL, None),
        ("law", models.SMALL),
        ("art", models.SMALL),
    }


def test_who_is_no_admin_loads_nothing(site: Site) -> None:
    response = site.post(LOAD, "user", lora_name="x", lora_path=str(site.folder / "art"))
    assert (response.status_code, response.json()["error"]["code"]) == (403, "admin_required")


def test_more_adapters_than_an_engine_keeps_are_served_in_turns(
    site: Site, expected: dict[str, list[list[int]]]
) -> None:
    names = [f"seed-{seed}" for seed in range(10, 13)]
    for seed, name in enumerate(names, 10):
        adapters.make(site.folder / name, seed=seed)
        assert site.load(name, name).status_code == 200
    prompts = models.prompts(3)
    alone = {name: [site.answer(name, prompt) for prompt in prompts] for name in names}
    asked = [(name, prompt) for prompt in prompts for name in [*names, "law", models.SMALL]]
    got = iter(map(token_ids, site.answers(asked)))
    alone |= {name: expected[name] for name in ("law", models.SMALL)}
    for number in range(len(prompts)):
        assert [next(got) for _ in alone] == [answers[number] for answers in alone.values()]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("large", "as a matrix of"),
        ("wide", "LoRA rank 32 is greater than max_lora_rank 16"),
        ("dora", "DoRA"),
        ("nothing", "adapter_config.json: No such file"),
    ],
)
def test_an_adapter_that_cannot_be_used_is_refused_with_the_reason(
    source: str, reason: str, site: Site
) -> None:
    before = site.pids()
    response = site.load("bad", source)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "lora_path")
    assert reason in error["message"]
    assert site.post("/v1/completions", **completion("bad", [7])).status_code == 404
    assert site.pids() == before
    assert site.answer("law", [7])


def test_another_adapter_in_ones_place_shares_nothing_that_was_cached(site: Site) -> None:
    adapters.make(site.folder / "new", seed=20)
    assert site.load("new", "new").status_code == 200
    first = [site.answer("new", LONG_PROMPT) for _ in range(2)]
    adapters.make(site.folder / "new", seed=21)
    assert site.load("new", "new", load_inplace=True).status_code == 200
    # What one router does, the other learns of within a second.
    eventually(lambda: site.answer("new", LONG_PROMPT) != first[0], 5, "it is the other one")
    assert site.load("new-2", "new").status_code == 200
    assert site.answer("new", LONG_PROMPT) == site.answer("new-2", LONG_PROMPT)
    assert first[0] == first[1]


def test_an_adapter_whose_files_have_gone_costs_its_own_requests_only(
    site: Site, expected: dict[str, list[list[int]]]
) -> None:
    before = site.pids()
    adapters.make(site.folder / "gone", seed=30)
    assert site.load("gone", "gone").status_code == 200
    shutil.rmtree(site.folder / "gone")
    prompt = models.prompts(1)[0]
    responses = site.answers([("gone", prompt), ("law", prompt)] * 12)  # on both engines
    assert {response.status_code for response in responses[::2]} <= {200, 400}
    refused = [r.json()["error"] for r in responses[::2] if r.status_code == 400]
    assert refused
    assert all("could not be loaded" in error["message"] for error in refused)
    assert all(token_ids(response) == expected["law"][0] for response in responses[1::2])
    assert site.pids() == before


def test_an_unloaded_adapter_is_no_model_any_more(site: Site) -> None:
    assert site.load("short", "art").status_code == 200
    assert site.post(UNLOAD, lora_name="short").status_code == 200

    def nowhere() -> bool:
        responses = site.answers([("short", [7])] * 8)
        return all(response.status_code == 404 for response in responses)

    eventually(nowhere, 5, "both routers know")
    assert site.post(UNLOAD, lora_name="short").status_code == 404


def test_an_adapters_stream_goes_on_when_its_engine_is_killed(site: Site) -> None:
    body = completion("art", [100, 200, 300], max_tokens=400, ignore_eos=True)
    undisturbed = token_ids(site.post("/v1/completions", **body))
    before = site.pids()
    with httpx.Client(base_url=site.server.url, headers=bearer("user"), timeout=60) as client:
        client.get("/ready")  # connects
        killed = False
        got: list[int] = []
        with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    choices = httpx.Response(200, content=line[6:]).json()["choices"]
                    got += choices[0]["token_ids"]
                if got and not killed:
                    killed = True
                    os.kill(site.busy_pid(), signal.SIGKILL)
    assert got == undisturbed
    eventually(lambda: before - site.pids() != set(), 10, "one has gone")


def test_a_loaded_adapter_outlives_a_killed_router(
    site: Site, expected: dict[str, list[list[int]]]
) -> None:
    routers = [p for p in map(psutil.Process, site.server.processes()) if _is_router(p)]
    assert len(routers) == 2
    for router in routers:
        router.kill()
    prompt = models.prompts(1)[0]

    def answers() -> bool:
        try:
            response = site.post("/v1/completions", **completion("art", prompt))
        except httpx.TransportError:
            return False
        assert response.status_code != 404
        return response.status_code == 200 and token_ids(response) == expected["art"][0]

    eventually(answers, 60, "a new router knows of it")


def _is_router(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith("ray::ServeReplica:sluice:router")
    except psutil.Error:
        return False
