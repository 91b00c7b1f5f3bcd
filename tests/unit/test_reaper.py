"""Nothing outlives its owner, however the owner ends and whatever its processes do."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments import reaper
from deployments.reaper import MARK_PREFIX, marked

ROOT = Path(__file__).parents[2]

# Starts the commands of its argument, prints its reaper's pid, its mark and the first line of each
# command, and then does what it is told.
OWNER = """
import json, signal, subprocess, sys
from deployments.reaper import Reaper
reaper = Reaper()
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
children = [subprocess.Popen(command, **pipes) for command in json.loads(sys.argv[1])]
said = [json.loads(child.stdout.readline()) for child in children]
print(json.dumps([reaper._process.pid, reaper.mark, said]), flush=True)
while order := sys.stdin.readline().strip():
    if order == "exit":
        sys.exit()
    if order == "sweep":
        reaper.sweep()
        print("swept", flush=True)
while True:
    signal.pause()
"""

Command = list[str]


def shell(script: str) -> Command:
    return ["sh", "-c", script]


def owner(*commands: Command) -> Command:
    return [sys.executable, "-S", "-c", OWNER, json.dumps(commands)]


SLEEPER = shell("echo $$; exec sleep 1000")
DEAF = shell("trap '' TERM HUP INT; echo $$; while :; do sleep 1000; done")
STOPPED = shell("echo $$; kill -STOP $$")
ORPHAN_IN_ITS_OWN_SESSION = shell("setsid sleep 1000 & echo $!")
RENAME = """
import os, setproctitle, time
setproctitle.setproctitle("VLLM::EngineCore")
print(os.getpid(), flush=True)
time.sleep(1000)
"""
RENAMED = [sys.executable, "-c", RENAME]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, f"not within 5 s: {what}"
        time.sleep(0.005)


class Owner:
    """A process that owns others."""

    def __init__(self, *commands: Command) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            owner(*commands), cwd=ROOT, stdin=pipe, stdout=pipe, text=True
        )
        self.reaper: int
        self.mark: str
        self.said: list[Any]
        self.reaper, self.mark, self.said = json.loads(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def order(self, order: str) -> None:
        assert self.process.stdin is not None
        print(order, file=self.process.stdin, flush=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def leaves_nothing(self) -> None:
        eventually(lambda: not any(map(is_alive, self.said)), "its processes are dead")
        eventually(lambda: not is_alive(self.reaper), "its reaper has gone")
        assert marked(self.mark) == []

    def __enter__(self) -> "Owner":
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()
        for pid in marked(self.mark):
            os.kill(pid, signal.SIGKILL)


class TestWhatItsOwnerStarted:
    @pytest.mark.parametrize(
        "command",
        [SLEEPER, DEAF, STOPPED, ORPHAN_IN_ITS_OWN_SESSION, RENAMED],
        ids=["sleeper", "deaf", "stopped", "orphan in its own session", "renamed"],
    )
    def test_dies_when_the_owner_is_killed(self, command: Command) -> None:
        with Owner(command) as it:
            assert all(map(is_alive, it.said))
            it.kill()
            it.leaves_nothing()

    def test_dies_when_the_owner_exits(self) -> None:
        with Owner(SLEEPER, DEAF) as it:
            it.order("exit")
            it.process.wait()
            it.leaves_nothing()

    def test_is_dead_when_the_owner_has_swept(self) -> None:
        with Owner(SLEEPER, DEAF, STOPPED, ORPHAN_IN_ITS_OWN_SESSION) as it:
            it.order("sweep")
            assert it.line() == "swept\n"
            assert not any(map(is_alive, it.said))
            assert is_alive(it.process.pid)
            it.order("sweep")
            assert it.line() == "swept\n"

    def test_is_dead_after_a_sweep_even_if_the_reaper_was_killed(self) -> None:
        with Owner(SLEEPER) as it:
            os.kill(it.reaper, signal.SIGKILL)
            it.order("sweep")
            assert it.line() == "swept\n"
            assert not any(map(is_alive, it.said))

    def test_lives_on_while_the_owner_does(self) -> None:
        with Owner(SLEEPER) as it, Owner(SLEEPER) as other:
            other.kill()
            other.leaves_nothing()
            assert all(map(is_alive, [it.process.pid, it.reaper, *it.said]))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_dies_even_if_the_reaper_was_told_to_stop(self, number: signal.Signals) -> None:
        with Owner(SLEEPER) as it:
            os.kill(it.reaper, number)
            it.kill()
            it.leaves_nothing()


class TestNestedOwners:
    def test_an_inner_owner_takes_only_its_own_with_it(self) -> None:
        with Owner(SLEEPER, owner(SLEEPER)) as outer:
            sleeper, (inner_reaper, inner_mark, inner_said) = outer.said
            [inner] = [pid for pid in psutil.Process(outer.process.pid).children() if _owns(pid)]
            inner.kill()
            eventually(lambda: not any(map(is_alive, inner_said)), "the inner ones are dead")
            eventually(lambda: not is_alive(inner_reaper), "the inner reaper has gone")
            assert marked(inner_mark) == []
            assert is_alive(sleeper)
            outer.said = [sleeper]
            outer.kill()
            outer.leaves_nothing()

    def test_an_outer_owner_takes_everything_with_it(self) -> None:
        with Owner(SLEEPER, owner(SLEEPER, owner(SLEEPER))) as outer:
            sleeper, (reaper_1, _, (sleeper_1, (reaper_2, _, (sleeper_2,)))) = outer.said
            outer.said = [sleeper, reaper_1, sleeper_1, reaper_2, sleeper_2]
            outer.kill()
            outer.leaves_nothing()


class TestMarks:
    @pytest.fixture
    def mark(self) -> str:
        return MARK_PREFIX + "test"

    @pytest.fixture
    def sleeper(self, mark: str) -> Iterator[subprocess.Popen[bytes]]:
        with ExitStack() as stack:
            environment = {**os.environ, mark: "1"}
            sleeper = stack.enter_context(subprocess.Popen(["sleep", "1000"], env=environment))
            stack.callback(sleeper.kill)
            yield sleeper

    def test_are_found_on_living_processes(
        self, mark: str, sleeper: subprocess.Popen[bytes]
    ) -> None:
        eventually(lambda: marked(mark) == [sleeper.pid], "it is found")
        assert marked(mark + "2") == []
        sleeper.kill()
        eventually(lambda: not is_alive(sleeper.pid), "it is dead")
        assert marked(mark) == []  # although its parent has not asked for its status yet

    def test_are_not_found_on_the_process_that_looks(self, mark: str) -> None:
        script = f"from deployments.reaper import marked; print(marked({mark!r}))"
        found = subprocess.run(
            [sys.executable, "-S", "-c", script],
            cwd=ROOT,
            env={**os.environ, mark: "1"},
            stdout=subprocess.PIPE,
            check=True,
        )
        assert found.stdout == b"[]\n"

    def test_a_process_that_is_just_becoming_another_program_is_not_missed(
        self, mark: str, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel shows no environment for a moment then, so one look proves nothing."""
        looks: list[list[int]] = [[], [sleeper.pid], []]
        monkeypatch.setattr(reaper, "marked", lambda _: looks.pop(0) if looks else [])
        reaper.kill_all(mark)
        eventually(lambda: not is_alive(sleeper.pid), "it is dead")


def _owns(process: psutil.Process) -> bool:
    return any("Reaper()" in argument for argument in process.cmdline())
