"""Watches for the notice that a cloud takes this spot instance back, and drains the node then.

    python -m serve_app.preemption aws &

cluster.yaml and gcp.yaml start it beside Ray on every GPU node. AWS says two minutes ahead that an
instance goes, GCP half a minute.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_LOOK_S = 2.0
_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Cloud:
    """Where a cloud says it to its instances, and how long they have then."""

    host: str
    path: str
    headers: Mapping[str, str]
    is_notice: Callable[[int, str], bool]
    within_s: float
    token_path: str | None = None


CLOUDS = {
    "aws": Cloud(
        host="169.254.169.254",
        path="/latest/meta-data/spot/instance-action",
        headers={},
        is_notice=lambda status, _: status == 200,  # 404 as long as there is none
        within_s=110,
        token_path="/latest/api/token",  # noqa: S106  IMDSv2: one asks for a token first
    ),
    "gcp": Cloud(
        host="metadata.google.internal",
        path="/computeMetadata/v1/instance/preempted",
        headers={"Metadata-Flavor": "Google"},
        is_notice=lambda status, body: status == 200 and body.strip() == "TRUE",
        within_s=25,
    ),
}


def is_noticed(cloud: Cloud) -> bool:
    """Whether this instance has been told that it goes; False if nobody answers."""
    try:
        headers = {**cloud.headers, **_token(cloud)}
        return cloud.is_notice(*_ask(cloud, "GET", cloud.path, headers))
    except (OSError, http.client.HTTPException):
        return False


def _token(cloud: Cloud) -> dict[str, str]:
    if cloud.token_path is None:
        return {}
    life = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    _, token = _ask(cloud, "PUT", cloud.token_path, life)
    return {"X-aws-ec2-metadata-token": token}


def _ask(cloud: Cloud, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(cloud.host, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    finally:
        connection.close()


def main(name: str) -> None:
    """Watch until the notice comes; then drain this node."""
    cloud = CLOUDS[name]
    while not is_noticed(cloud):
        time.sleep(_LOOK_S)
    print("The cloud takes this node back: draining it.", flush=True)  # noqa: T201  into its log
    command = [sys.executable, "-m", "serve_app.drain", "--within", str(cloud.within_s)]
    subprocess.run(command, check=False)  # noqa: S603  our own module; Ray is not needed till now


if __name__ == "__main__":
    main(sys.argv[1])
