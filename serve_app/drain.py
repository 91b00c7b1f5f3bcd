"""Take a node out of service before it goes: `python -m serve_app.drain --within 90`.

For whoever knows that a node will go: Kubernetes before it deletes a pod, a cloud that takes a spot
instance back (preemption.py), a person. Ray then puts nothing new there, Serve starts the node's
replicas elsewhere and stops those here, and their streams end or move.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

_LOOK_S = 1.0
_AGE_S = 5.0
"""For so long a node may look idle before Serve has noticed anything."""


def main(argv: Sequence[str]) -> None:
    """Drain a node and return once it is empty, or when its time is over."""
    parser = argparse.ArgumentParser(prog="python -m serve_app.drain", description=__doc__)
    parser.add_argument(
        "--within", type=float, default=90, metavar="S", help="seconds that the node has left"
    )
    parser.add_argument("--address", default="auto", help="the cluster's; default: this node's")
    parser.add_argument("--node", help="the node's id; default: this node")
    options = parser.parse_args(argv)
    import ray

    ray.init(address=options.address, log_to_driver=False, logging_level="ERROR")
    try:
        node = options.node or ray.get_runtime_context().get_node_id()
        drain(node, options.within)
    finally:
        ray.shutdown()


def drain(node: str, within_s: float) -> None:
    """Tell Ray that the node goes in `within_s`, and wait until nothing of it is in use."""
    deadline = time.time() + within_s
    refusal = _announce(node, deadline)
    if refusal:
        sys.exit(f"sluice: the node cannot be drained: {refusal}")
    begin = time.time()
    while time.time() < deadline:
        if time.time() > begin + _AGE_S and is_idle(node):
            return
        time.sleep(min(_LOOK_S, max(0.0, deadline - time.time())))


def _announce(node: str, deadline: float) -> str | None:
    """Why Ray will not have it, if so."""
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # left out of its stub
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    accepted, refusal = GcsClient(address=ray.get_runtime_context().gcs_address).drain_node(
        node,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "The node is about to go.",
        int(deadline * 1000),
    )
    return None if accepted else str(refusal)


def is_idle(node: str) -> bool:
    """Whether no CPU and no GPU of the node is reserved, or the node is no more."""
    from ray._private.state import available_resources_per_node, total_resources_per_node

    total: dict[str, Any] = total_resources_per_node().get(node, {})
    free: dict[str, Any] = available_resources_per_node().get(node, {})
    return all(free.get(kind, 0) >= total.get(kind, 0) for kind in ("CPU", "GPU"))


if __name__ == "__main__":
    main(sys.argv[1:])
