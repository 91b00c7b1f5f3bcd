import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import peers, stacks
from bench.client import Load
from bench.driving import ClientFailed
from bench.launching import Launch, flags
from bench.server import Server
from bench.stacks import STACKS, Setup, StackFailed, running
from deployments import engine_args
from serve_app import config
from serve_app.application import engine_options
from serve_app.model_config import ModelConfig

ARGS = {"enforce_eager": True, "max_model_len": 512}
LOAD = Load(url="", model="m", num_requests=3)

ANSWERING = """
import dataclasses, json, sys
from bench.client import Load, Tally
from bench.stats import to_json
for line in sys.stdin:
    load = Load(**json.loads(line))
    tally = Tally(load)
    for _ in range(load.num_requests):
        tally.add(load.output_len, 1, 0.0, 1.0, [1.0])
    print(to_json(dataclasses.asdict(tally.result(1.0, 0.0, 0.0))), flush=True)
"""
ENDING_AFTER_THE_FIRST = ANSWERING + "    break\n"
UNABLE = ANSWERING.replace("tally.add(load.output_len, 1, 0.0, 1.0, [1.0])", "tally.fail('no')")


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(peers, "ensure", lambda: Path("peers-python"))
    monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Setup("m", tmp_path, ARGS)


def launch(name: str, setup: Setup) -> Launch:
    return STACKS[name](setup, 8123, setup.directory)


class TestLaunch:
    def test_engine_arguments_become_vllm_s_flags(self) -> None:
        args = {"enforce_eager": True, "enable_x": False, "dtype": "auto", "n": 2, "none": None}
        assert flags(args) == ["--enforce-eager", "--no-enable-x", "--dtype", "auto", "--n", "2"]

    def test_vllm_is_its_own_command_line_in_the_peers_environment(self, setup: Setup) -> None:
        command = launch("vllm", setup).command
        assert command[:4] == ["peers-python", "-m", "vllm.entrypoints.cli.main", "serve"]
        assert command[-3:] == flags(ARGS)

    def test_another_executor_is_the_only_difference(self, setup: Setup) -> None:
        plain, other = launch("vllm", setup).command, launch("vllm-uniproc", setup).command
        assert other[: len(plain)] == plain
        assert other[len(plain)] == "--distributed-executor-backend"

    def test_rayllm_is_given_the_same_engine_arguments(self, setup: Setup) -> None:
        program, *module, given = launch("rayllm", setup).command
        assert (program, module) == ("peers-python", ["-m", "bench.rayllm"])
        assert json.loads(given)["engine_args"] == ARGS
        assert json.loads(given)["port"] == 8123

    def test_direct_streaming_differs_in_the_environment_only(self, setup: Setup) -> None:
        plain, direct = launch("rayllm", setup), launch("rayllm-direct", setup)
        first, second = json.loads(plain.command[-1]), json.loads(direct.command[-1])
        assert first.pop("temp_dir") != second.pop("temp_dir")
        assert first == second
        assert direct.environment["RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING"] == "1"
        assert plain.environment.items() < direct.environment.items()

    def test_sluice_is_given_the_same_engine_arguments(self, setup: Setup) -> None:
        command = launch("sluice", setup).command
        settings = config.load({"config": command[-1]})
        assert settings.http.port == 8123
        assert settings.models[0].name == "m"
        assert settings.models[0].engine_args == ARGS

    def test_alone_has_the_arguments_of_sluice_s_engine(self, setup: Setup) -> None:
        given = json.loads(launch("alone", setup).command[-1])
        assert given == engine_args.for_cpu({"model": str(setup.directory), **ARGS})

    def test_alone_has_the_environment_of_sluice_s_engine(self, setup: Setup) -> None:
        model = ModelConfig(name="m", source=str(setup.directory), engine_args=ARGS)
        actor = engine_options(model, on_cpu=True, engines=1)["ray_actor_options"]
        of_sluice = {**actor["runtime_env"]["env_vars"]}
        for of_the_log in ("VLLM_LOGGING_LEVEL", "PYTHONWARNINGS", "TORCH_CPP_LOG_LEVEL"):
            del of_sluice[of_the_log]
        assert launch("alone", setup).environment == of_sluice


class TestAnotherCheckout:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        (tmp_path / "older" / "serve_app").mkdir(parents=True)
        return tmp_path / "older"

    def test_is_started_like_this_one_but_from_its_own_directory(
        self, setup: Setup, checkout: Path
    ) -> None:
        found = stacks.launcher(f"sluice@{checkout}")(setup, 8123, setup.directory)
        plain = launch("sluice", setup)
        assert found.command == [
            *["env", "--chdir", str(checkout), f"PYTHONPATH={checkout}"],
            *plain.command,
        ]

    def test_is_no_stack_where_there_is_no_sluice(self, checkout: Path) -> None:
        assert stacks.exists(f"sluice@{checkout}")
        assert not stacks.exists(f"sluice@{checkout.parent}")
        assert not stacks.exists(str(checkout))

    def test_keeps_its_log_below_the_given_directory(
        self, setup: Setup, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def launcher(*_: object) -> Launch:
            return Launch([sys.executable, "-c", "import sys; sys.exit('no port')"])

        monkeypatch.setattr(stacks, "launcher", lambda _: launcher)
        with (
            pytest.raises(StackFailed, match=r"exited with 1 while starting(.|\n)*no port"),
            running(f"sluice@{checkout}", setup, setup.directory / "logs"),
        ):
            pass


@contextmanager
def piped(program: str, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The stack "alone" with another program in its place."""
    scratch = setup.directory / "scratch"
    scratch.mkdir()
    to_launch = Launch([sys.executable, "-c", program], {}, scratch)
    monkeypatch.setattr(stacks, "STACKS", {"alone": lambda *_: to_launch})
    with running("alone", setup, setup.directory / "logs") as server:
        yield server


class TestServerOverPipes:
    def test_answers_one_load_after_the_other(
        self, setup: Setup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with piped(ANSWERING, setup, monkeypatch) as server:
            assert server.url is None
            assert server.run(LOAD).requests == 3
            assert server.run(LOAD).output_tokens == 3 * LOAD.output_len
            assert server.tree.members()
        assert not server.tree.members()
        assert server.leftovers == []
        assert not (setup.directory / "scratch").exists()

    def test_that_ends_fails_the_load(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        with (
            piped(ENDING_AFTER_THE_FIRST, setup, monkeypatch) as server,
            pytest.raises(ClientFailed, match="alone is gone"),
        ):
            server.run(LOAD)

    def test_that_cannot_start_says_how_its_log_ends(
        self, setup: Setup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            pytest.raises(StackFailed, match=r"exited with 1 while starting(.|\n)*no memory"),
            piped("import sys; sys.exit('no memory')", setup, monkeypatch),
        ):
            pass

    def test_that_cannot_generate_never_becomes_ready(
        self, setup: Setup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            pytest.raises(StackFailed, match=r"cannot generate: \{'no': 1\}"),
            piped(UNABLE, setup, monkeypatch),
        ):
            pass


class TestPeers:
    @pytest.fixture
    def venv(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(peers, "VENV", tmp_path / "venv")
        return tmp_path / "venv"

    def test_are_installed_once(self, venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []

        def make(where: Path) -> None:
            where.mkdir(exist_ok=True)
            made.append(where)

        monkeypatch.setattr(peers, "_make", make)
        assert peers.ensure() == peers.ensure() == venv / "bin" / "python"
        assert made == [venv]

    def test_are_installed_again_when_their_list_changes(
        self, venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Path] = []
        venv.mkdir()
        monkeypatch.setattr(peers, "_make", made.append)
        peers.ensure()
        monkeypatch.setattr(peers, "_PINS", tmp_path / "peers.txt")
        (tmp_path / "peers.txt").write_text("another==1\n")
        peers.ensure()
        assert made == [venv, venv]

    def test_that_cannot_be_installed_say_why_and_are_tried_again(
        self, venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done = SimpleNamespace(returncode=1, stderr="ERROR: no matching distribution\n")
        monkeypatch.setattr(peers, "venv", SimpleNamespace(create=lambda *_, **__: venv.mkdir()))
        monkeypatch.setattr(peers, "subprocess", SimpleNamespace(run=lambda *_, **__: done))
        with (
            pytest.raises(StackFailed, match=r"vllm did not start: .*no matching distribution"),
            running("vllm", Setup("m", tmp_path, ARGS), tmp_path),
        ):
            pass
        assert not list(venv.iterdir())

    def test_find_the_packages_below_and_vllm_s_version(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
        monkeypatch.setattr(peers, "_vllm_version", lambda: "1.2+cpu")
        peers.lay_over(tmp_path, "/below")
        assert [file.read_text() for file in tmp_path.glob("*.pth")] == ["/below\n"]
        metadata = (tmp_path / "vllm-1.2+cpu.dist-info" / "METADATA").read_text()
        assert "Name: vllm\nVersion: 1.2+cpu\n" in metadata

    def test_have_no_second_vllm_where_it_has_its_own_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: False)
        peers.lay_over(tmp_path, "/below")
        assert len(list(tmp_path.iterdir())) == 1
