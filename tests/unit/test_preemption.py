import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serve_app import preemption
from serve_app.preemption import CLOUDS, Cloud


class Metadata(HTTPServer):
    """What a cloud tells its instances, at an address of this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, str]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers))
        status, body = self.server.answers.get(self.path, (404, "none"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_PUT = _answer  # noqa: N815  names of the standard library

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield server
        server.shutdown()
        serving.join()


def here(name: str, metadata: Metadata) -> Cloud:
    """A cloud whose metadata are here."""
    return replace(CLOUDS[name], host=f"127.0.0.1:{metadata.server_port}")


def test_aws_says_nothing_until_it_takes_an_instance_back(metadata: Metadata) -> None:
    cloud = here("aws", metadata)
    metadata.answers["/latest/api/token"] = (200, "a-token")
    assert not preemption.is_noticed(cloud)
    metadata.answers[cloud.path] = (200, '{"action": "terminate"}')
    assert preemption.is_noticed(cloud)


def test_aws_is_asked_by_the_second_version_of_its_protocol(metadata: Metadata) -> None:
    metadata.answers["/latest/api/token"] = (200, "a-token")
    preemption.is_noticed(here("aws", metadata))
    (first, _, _), (second, _, headers) = metadata.asked
    assert (first, second) == ("PUT", "GET")
    assert headers["x-aws-ec2-metadata-token"] == "a-token"


def test_gcp_says_true_once_it_takes_an_instance_back(metadata: Metadata) -> None:
    cloud = here("gcp", metadata)
    metadata.answers[cloud.path] = (200, "FALSE")
    assert not preemption.is_noticed(cloud)
    metadata.answers[cloud.path] = (200, "TRUE\n")
    assert preemption.is_noticed(cloud)
    assert all(headers["metadata-flavor"] == "Google" for _, _, headers in metadata.asked)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_that_does_not_answer_has_said_nothing(name: str, metadata: Metadata) -> None:
    cloud = here(name, metadata)
    metadata.server_close()
    assert not preemption.is_noticed(cloud)


def test_a_notice_drains_this_node_in_the_time_that_is_left(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = here("gcp", metadata)
    metadata.answers[cloud.path] = (200, "TRUE")
    commands: list[list[str]] = []
    monkeypatch.setitem(CLOUDS, "gcp", cloud)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    preemption.main("gcp")
    assert [command[1:] for command in commands] == [["-m", "serve_app.drain", "--within", "25"]]
    assert "draining" in capsys.readouterr().out
