import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.serve import Application

import serve_app
from deployments import engine_args, logs
from deployments.logs import LogOptions
from serve_app import environment, launch
from serve_app.config import ConfigError, Settings
from serve_app.environment import any_free_port
from tests.unit.access_fixtures import PEPPER, entry


@pytest.fixture(autouse=True)
def no_setting_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.upper().startswith("SLUICE_"):
            monkeypatch.delenv(variable)


class Started:
    """What `main` would have started."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.prepared: dict[str, bool] = {}
        self.swept = 0
        self.scheduled: list[tuple[int, int]] = []
        self.log: LogOptions | None = None

    def serve(self, settings: Settings, _: launch.Cluster) -> None:
        self.settings = settings

    def prepare(self, **how: bool) -> None:
        self.prepared = how

    def install(self, options: LogOptions) -> None:
        self.log = options

    def sweep(self) -> None:
        self.swept += 1

    def schedule(self, process: int, policy: int, _: os.sched_param) -> None:
        self.scheduled.append((process, policy))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr(launch, "_serve", started.serve)
    monkeypatch.setattr(launch, "Reaper", lambda: started)
    monkeypatch.setattr(environment, "prepare", started.prepare)
    monkeypatch.setattr(logs, "install", started.install)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "sched_setscheduler", started.schedule)
    return started


@pytest.fixture
def port() -> str:
    return str(any_free_port())


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has one."""
    monkeypatch.setenv("SLUICE_AUTH__PEPPER", PEPPER)
    monkeypatch.setenv("SLUICE_AUTH__KEYS", json.dumps([entry("acme")]))


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def refusal(*arguments: str) -> str:
    """The one line with which the start ends."""
    with pytest.raises(SystemExit) as end:
        launch.main(arguments)
    line = str(end.value.code)
    assert line.startswith("sluice: ")
    assert line.splitlines() == [line]
    return line.removeprefix("sluice: ")


def misuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command line's own help says of these arguments."""
    with pytest.raises(SystemExit) as end:
        launch.main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].partition("error: ")[2]


class TestOurCommandLine:
    def test_gives_any_key_a_value(self, started: Started, port: str) -> None:
        launch.main(["--http.port", port, "--router.max_sequences=7"])
        assert started.settings is not None
        assert started.settings.http.port == int(port)
        assert started.settings.router.max_sequences == 7
        assert started.swept == 1

    def test_names_a_file(self, started: Started, port: str, tmp_path: Path) -> None:
        file = tmp_path / "my.yaml"
        file.write_text(f"http: {{port: {port}}}")
        launch.main(["--config", str(file)])
        assert started.settings is not None
        assert started.settings.http.port == int(port)

    @pytest.mark.parametrize(
        ("arguments", "prepared"),
        [
            ([], {"haproxy": True, "local": True}),
            (["--proxy", "serve"], {"haproxy": False, "local": True}),
            (["--http.host", "0.0.0.0"], {"haproxy": True, "local": False}),
        ],
    )
    @pytest.mark.usefixtures("keys")
    def test_says_what_stands_in_front(
        self, arguments: list[str], prepared: dict[str, bool], started: Started, port: str
    ) -> None:
        launch.main([*arguments, "--http.port", port])
        assert started.prepared == prepared

    @pytest.mark.parametrize(("cpu", "yields"), [(True, [(0, os.SCHED_BATCH)]), (False, [])])
    def test_serves_without_interrupting_an_engine_that_computes_on_the_same_cores(
        self,
        cpu: bool,
        yields: list[tuple[int, int]],
        started: Started,
        port: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: cpu)
        launch.main(["--http.port", port])
        assert started.scheduled == yields

    def test_keeps_a_scheduling_policy_that_somebody_gave_it(
        self, started: Started, port: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
        monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_RR)
        launch.main(["--http.port", port])
        assert started.scheduled == []

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["serve"], "unexpected 'serve': a key begins with --"),
            (["--http.port", "1", "2"], "unexpected '2': a key begins with --"),
            (["-x"], "unexpected '-x': a key begins with --"),
            (["--http.port"], "--http.port needs a value"),
            (["--http.port", "--http.host", "::1"], "--http.port needs a value"),
        ],
    )
    def test_that_makes_no_sense_is_answered_with_its_usage(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert misuse(capsys, *arguments) == message

    def test_knows_two_proxies(self, capsys: pytest.CaptureFixture[str]) -> None:
        message = misuse(capsys, "--proxy", "nginx")
        assert "'nginx'" in message
        assert "haproxy" in message
        assert "serve" in message

    def test_takes_no_short_form_for_another_key(self) -> None:
        assert refusal("--conf", "my.yaml").startswith("conf: there is no such key")

    def test_takes_an_empty_value_for_what_it_is(self) -> None:
        assert refusal("--http.port=", "--http.host=::1").startswith("http.port: ")


class TestAStartThatCannotBe:
    def test_for_its_configuration_says_so_in_one_line(self) -> None:
        line = "http.prot: there is no such key; remove it or correct its name"
        assert refusal("--http.prot", "9000") == line

    def test_for_its_file_says_so_in_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "my.yaml"
        file.write_text("http: [")
        assert refusal("--config", str(file)).startswith(f"{file}: line 1 is not YAML: ")

    def test_for_an_occupied_port_says_so_in_one_line(self, busy_port: int) -> None:
        assert refusal("--http.port", str(busy_port)) == (
            f"http.port: cannot open 127.0.0.1:{busy_port} (Address already in use)"
        )

    @pytest.mark.usefixtures("keys")
    @pytest.mark.parametrize("host", ["192.0.2.1", "..", "no such host", "[::1]"])
    def test_for_a_host_that_is_not_this_one_says_so_in_one_line(
        self, host: str, port: str
    ) -> None:
        assert refusal("--http.host", host, "--http.port", port).startswith(
            f"http.port: cannot open {host}:{port} ("
        )

    def test_for_want_of_haproxy_says_so_in_one_line(
        self, port: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def prepare(**_: bool) -> None:
            raise ModuleNotFoundError("there is no HAProxy")

        monkeypatch.setattr(environment, "prepare", prepare)
        assert refusal("--http.port", port) == "there is no HAProxy"


class TestAServerWithoutKeys:
    def test_says_that_it_is_open_to_this_machine_only(
        self, started: Started, port: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        launch.main(["--http.port", port])
        assert started.settings is not None
        assert capsys.readouterr().out == (
            "Sluice has no API keys: it is open to this machine, and to nobody else. "
            "To make keys: python -m serve_app.keys new\n"
        )

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "127.0.0.1.example.com", ""])
    def test_does_not_start_for_any_other(self, host: str, started: Started, port: str) -> None:
        assert refusal("--http.host", host, "--http.port", port) == (
            "auth.keys: without keys a server is for its own machine only, not for "
            f"{host}; make one: python -m serve_app.keys new"
        )
        assert started.settings is None

    @pytest.mark.usefixtures("keys")
    def test_is_another_that_says_nothing_of_it(
        self, started: Started, port: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        launch.main(["--http.port", port, "--http.host", "0.0.0.0"])
        assert started.settings is not None
        assert capsys.readouterr().out == ""


class TestReservedCpus:
    """Ray must find room for all of them, and for one replica that replaces another."""

    @staticmethod
    def total(*models: Mapping[str, Any], routers: int = 1) -> int:
        named = [{"name": str(i), "source": "org/a", **fields} for i, fields in enumerate(models)]
        router = {"num_replicas": routers, "num_cpus": 10}
        return launch.logical_cpus(Settings.model_validate({"models": named, "router": router}))

    @pytest.fixture(autouse=True)
    def one_core(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 1)

    def test_are_those_of_every_replica(self) -> None:
        assert self.total({"num_cpus": 3, "num_replicas": 2}, {"num_cpus": 5}, routers=2) == 32

    def test_are_those_of_every_device(self) -> None:
        parallel = {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}
        assert self.total({"num_cpus": 2, "engine_args": parallel}) == 2 * 6 + 10 + 1

    def test_are_at_least_the_machines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        assert self.total({}) == 64


class TestServesOwnCommandLine:
    @pytest.fixture(autouse=True)
    def ray_stays_asleep(self, started: Started) -> Iterator[None]:
        assert not ray.is_initialized()
        yield
        assert not ray.is_initialized()
        assert started.settings is None

    def test_builds_the_default_application(self, started: Started) -> None:
        assert isinstance(serve_app.app, Application)
        assert started.prepared == {"haproxy": False}

    def test_builds_an_application_from_a_file_and_keys(self, tmp_path: Path) -> None:
        file = tmp_path / "my.yaml"
        file.write_text("router: {num_replicas: 2}")
        app: Any = serve_app.build({"config": str(file), "http.max_body_bytes": "7"})
        settings = app._bound_deployment.init_args[0]
        assert settings["router"]["num_replicas"] == 2
        assert settings["http"]["max_body_bytes"] == 7

    @pytest.mark.parametrize(
        ("key", "value"), [("host", "0.0.0.0"), ("port", "9000"), ("keep_alive_timeout_s", "1")]
    )
    def test_refuses_what_only_serve_can_set(self, key: str, value: str) -> None:
        with pytest.raises(SystemExit) as end:
            serve_app.build({f"http.{key}": value})
        assert end.value.code == (
            f"sluice: http.{key}: Serve opens the port here; set it in Serve's http_options, "
            "or start with python -m serve_app"
        )

    def test_says_that_a_server_without_keys_is_open_to_this_machine_only(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        serve_app.build({})
        out, err = capsys.readouterr()
        assert out == ""  # Serve's own command line may print the configuration there
        assert "open to this machine, and to nobody else" in err

    @pytest.mark.usefixtures("keys")
    def test_says_nothing_of_it_where_there_are_keys(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        serve_app.build({})
        assert capsys.readouterr().err == ""

    def test_refuses_haproxy_without_keys_as_it_hides_who_asks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
        with pytest.raises(SystemExit) as end:
            serve_app.build({})
        assert str(end.value.code).startswith("sluice: auth.keys: behind HAProxy nobody sees ")

    @pytest.mark.usefixtures("keys")
    def test_takes_haproxy_with_keys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
        assert isinstance(serve_app.build({}), Application)

    def test_reports_a_bad_configuration_in_one_line(self) -> None:
        with pytest.raises(SystemExit) as end:
            serve_app.build({"http.prot": "9000"})
        line = "sluice: http.prot: there is no such key; remove it or correct its name"
        assert end.value.code == line

    def test_leaves_a_bad_configuration_to_serve_in_a_cluster(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as cluster:
            cluster.setattr(ray, "is_initialized", lambda: True)
            with pytest.raises(ConfigError):
                serve_app.build({"http.prot": "9000"})


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'application_'"):
        serve_app.application_  # noqa: B018


@pytest.mark.parametrize("module", ["serve_app", "serve_app.launch", "serve_app.http.edge"])
def test_nothing_heavy_is_imported_before_the_environment_is_set(module: str) -> None:
    heavy = {"ray", "vllm", "torch", "transformers"}
    program = f"import sys, {module}; sys.exit(str({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == "set()\n"
