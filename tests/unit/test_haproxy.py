import os
import subprocess
from pathlib import Path

import pytest
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from serve_app import environment, haproxy

PROGRAM = Path(haproxy.__file__).with_name("haproxy.sh")
NOT_FOUND = 'http-request return status 404 content-type text/plain lf-string "Path'
CONFIG = f"""\
global
    log 127.0.0.1:514 local0 info
    tune.bufsize 16384
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    errorfile 502 /500.http
    errorfile 503 /500.http
    errorfile 504 /500.http
frontend prometheus
    bind :9101
listen stats
  bind *:8404
frontend http_frontend
    bind 127.0.0.1:8000
    default_backend default_backend
backend default_backend
    {NOT_FOUND} \\'%[path]\\' not found."
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIG)
    return file


def start(file: Path, program: str = "/bin/echo", local: bool = False, *options: str) -> str:
    """Run the script as Serve does; what the program said."""
    variables = {
        "SLUICE_HAPROXY": program,
        "SLUICE_HAPROXY_LOCAL": str(int(local)),
        "SLUICE_HAPROXY_DEFAULTS": haproxy.defaults(),
    }
    done = subprocess.run(
        [PROGRAM, "-f", file, *options],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_serves_configuration_has_the_lines_that_are_corrected() -> None:
    assert NOT_FOUND in HAPROXY_CONFIG_TEMPLATE
    for line in (
        "defaults",
        "    log {{ config.log_target }} local0 info",
        "    errorfile 502 {{ config.error_file_path }}",
    ):
        assert line in HAPROXY_CONFIG_TEMPLATE.splitlines()


def test_the_program_gets_serves_arguments_and_one_more(file: Path) -> None:
    assert start(file).split() == ["-dS", "-f", str(file)]


def test_serves_own_words_for_errors_are_replaced(file: Path) -> None:
    start(file)
    text = file.read_text()
    assert "errorfile" not in text
    assert NOT_FOUND not in text
    assert haproxy.defaults() in text
    assert text.index("http-error") > text.index("defaults")


def test_requests_are_not_in_the_systems_log(file: Path) -> None:
    start(file)
    assert "    log 127.0.0.1:514 local0 notice\n" in file.read_text()


def test_a_second_start_corrects_nothing_twice(file: Path) -> None:
    start(file)
    once = file.read_text()
    start(file)
    assert file.read_text() == once


def test_a_head_has_an_end_in_time(file: Path) -> None:
    start(file)
    assert "    timeout http-request 10s\n" in file.read_text()


@pytest.mark.parametrize(("local", "address"), [(True, "127.0.0.1"), (False, "")])
def test_its_own_pages_are_local_when_the_server_is(file: Path, local: bool, address: str) -> None:
    start(file, local=local)
    text = file.read_text()
    assert f"    bind {address}:9101\n" in text
    assert f"  bind {address or '*'}:8404\n" in text
    assert "    bind 127.0.0.1:8000\n" in text


def test_haproxy_takes_the_corrected_configuration(file: Path) -> None:
    start(file, environment._haproxy_program(), False, "-c")
