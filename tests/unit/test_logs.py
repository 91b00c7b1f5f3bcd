"""What a line of the log has, and what it never has."""

import io
import json
import logging
import logging.config
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from deployments import logs
from deployments.log_format import exception_text
from deployments.logs import VLLM_CONFIG, LogOptions
from tests.unit.kept_log import KeptLog

SECRET = "hunter2"


class Log(KeptLog):
    """A log that is kept."""

    def __init__(self, options: LogOptions) -> None:
        super().__init__()
        self.handler = logging.StreamHandler(self.file)
        self.handler.setFormatter(logs.formatter(options))
        self.logger = logging.getLogger("deployments.x")

    def of(self, name: str = "deployments.x") -> logging.Logger:
        """A logger that writes here and nowhere else."""
        logger = logging.Logger(name)
        logger.addHandler(self.handler)
        return logger


@pytest.fixture
def whose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_whose", {"replica": "r1"})


@pytest.fixture
def as_before() -> Iterator[None]:
    """Logging is afterwards what it was."""
    names = [None, "ray", "ray.serve", "vllm", "deployments", "serve_app", "sluice"]
    before = []
    for name in names:
        logger = logging.getLogger(name)
        before.append((logger, list(logger.handlers), logger.level, logger.propagate))
    hooks = threading.excepthook, sys.unraisablehook
    yield
    threading.excepthook, sys.unraisablehook = hooks
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def failed() -> BaseException:
    """An error that quotes what a client sent, because of another that does."""
    try:
        try:
            int(SECRET)
        except ValueError as exc:
            raise RuntimeError(f"no number: {SECRET}") from exc
    except RuntimeError as exc:
        failure = exc
    return failure


class TestALineOfJson:
    @pytest.mark.usefixtures("whose")
    def test_says_when_how_grave_what_and_whose(self) -> None:
        log = Log(LogOptions())
        log.of().warning("Engine %s is silent.", "a")
        line = log.line
        assert list(line) == ["timestamp", "level", "event", "logger", "replica"]
        assert line["timestamp"].endswith("Z")
        assert (line["level"], line["event"]) == ("warning", "Engine a is silent.")
        assert (line["logger"], line["replica"]) == ("deployments.x", "r1")

    def test_is_one_whatever_is_in_it(self) -> None:
        log = Log(LogOptions())
        log.of().error("two\nlines", exc_info=failed())
        assert log.line["event"] == "two\nlines"


class TestALineForPeople:
    def test_begins_with_the_time_and_has_no_more_than_it_needs(self) -> None:
        log = Log(LogOptions(format="console"))
        log.of().info("Started.")
        time, what = log.text.rstrip().split(" ")
        assert (time.count(":"), what) == (2, "Started.")

    def test_says_what_is_wrong_and_who_else_says_so(self) -> None:
        log = Log(LogOptions(format="console"))
        log.of("vllm.core").warning("Slow.")
        assert log.text.endswith(" warning: vllm: Slow.\n")

    def test_has_colors_only_at_a_terminal(self) -> None:
        plain, colored = (Log(LogOptions(format="console", colors=on)) for on in (False, True))
        for log in plain, colored:
            log.of().error("No.")
        assert "\x1b" not in plain.text
        assert "\x1b[31merror: No.\x1b[0m" in colored.text


@pytest.mark.parametrize("form", ["json", "console"])
class TestAnException:
    def test_is_told_by_type_and_place_without_what_it_quotes(self, form: str) -> None:
        log = Log(LogOptions(format=form))
        log.of().error("It failed", exc_info=failed())
        assert "ValueError" in log.text
        assert "RuntimeError" in log.text
        assert "in failed" in log.text
        assert SECRET not in log.text

    def test_may_be_told_whole(self, form: str) -> None:
        log = Log(LogOptions(format=form, exception_messages=True))
        log.of().error("It failed", exc_info=failed())
        assert log.text.count(SECRET) == 2

    def test_of_a_task_is_not_quoted_by_asyncio(self, form: str) -> None:
        log = Log(LogOptions(format=form))
        message = f"Task exception was never retrieved\nfuture: <Task exception={SECRET}>"
        log.of("asyncio").error(message, exc_info=failed())
        assert "never retrieved" in log.text
        assert SECRET not in log.text

    def test_that_is_a_warning_is_told_by_kind_and_place(self, form: str) -> None:
        log = Log(LogOptions(format=form))
        log.of("py.warnings").warning(
            "%s", warnings.formatwarning(SECRET, UserWarning, "a.py", 3, SECRET)
        )
        assert "a.py:3: UserWarning" in log.text
        assert SECRET not in log.text


def test_of_the_operating_system_one_says_what_it_says() -> None:
    try:
        open(f"/{SECRET}")  # noqa: SIM115  it is not there
    except OSError as exc:
        text = exception_text(exc)
    assert text.endswith("\nFileNotFoundError: No such file or directory")
    assert SECRET not in text


@pytest.mark.usefixtures("as_before", "whose")
class TestInstalled:
    def install(
        self, monkeypatch: pytest.MonkeyPatch, options: LogOptions, **context: str
    ) -> io.StringIO:
        file = io.StringIO()
        monkeypatch.setattr(sys, "__stderr__", file)
        logs.install(options, **context)
        return file

    def test_everybody_writes_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        file = self.install(monkeypatch, LogOptions(), deployment="router")
        for name in ("deployments.pool", "serve_app.http.errors", "other"):
            logging.getLogger(name).warning("careful")
        lines = [json.loads(line) for line in file.getvalue().splitlines()]
        assert [line["event"] for line in lines] == ["careful"] * 3
        assert {line["deployment"] for line in lines} == {"router"}

    def test_serves_own_line_for_a_request_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        serve = logging.getLogger("ray.serve")
        serve.addHandler(logging.StreamHandler(file := io.StringIO()))
        ours = self.install(monkeypatch, LogOptions())
        serve.info(f"GET /{SECRET} 200", extra={"serve_access_log": True})
        assert (file.getvalue(), ours.getvalue()) == ("", "")
        assert not serve.isEnabledFor(logging.INFO)

    @pytest.mark.parametrize(
        ("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
    )
    def test_what_matters_less_than_the_level_is_left_out(
        self, level: str, count: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self.install(monkeypatch, LogOptions(level=level))
        logger = logging.getLogger("deployments.pool")
        for log in (logger.debug, logger.info, logger.warning, logger.error):
            log("x")
        assert len(file.getvalue().splitlines()) == count

    def test_what_nobody_catches_in_a_thread_is_logged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self.install(monkeypatch, LogOptions())
        thread = threading.Thread(target=int, args=(SECRET,))
        thread.start()
        thread.join()
        assert "ValueError" in file.getvalue()
        assert SECRET not in file.getvalue()

    def test_warnings_are_logged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        file = self.install(monkeypatch, LogOptions())
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn(SECRET, UserWarning, stacklevel=1)
            logging.captureWarnings(capture=False)
        assert "UserWarning" in file.getvalue()
        assert SECRET not in file.getvalue()

    def test_vllm_finds_it_by_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        options = LogOptions(format="console")
        for name, value in options.environment().items():
            monkeypatch.setenv(name, value)
        file = io.StringIO()
        monkeypatch.setattr(sys, "__stderr__", file)
        logging.config.dictConfig(json.loads(VLLM_CONFIG.read_text()))
        logging.getLogger("vllm.core").warning("Slow.")
        logging.getLogger("vllm.core").warning("Triton is not installed. It is not.")
        logging.getLogger("vllm.core").warning("%s is not found in LD_PRELOAD.", "libiomp")
        assert file.getvalue().endswith(" warning: vllm: Slow.\n")
        assert len(file.getvalue().splitlines()) == 1


def test_options_cross_to_other_processes_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    options = LogOptions("error", "console", colors=True, exception_messages=True)
    for name, value in options.environment().items():
        monkeypatch.setenv(name, value)
    assert LogOptions.of_environment() == options
    monkeypatch.delenv(logs.OPTIONS_VARIABLE)
    assert LogOptions.of_environment() == LogOptions()
