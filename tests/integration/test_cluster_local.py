"""Ray's own autoscaler on this machine: what `make cluster-local` rests on."""

from tests.support import hungry


def test_nodes_come_for_replicas_that_need_a_gpu_and_leave_when_those_have_gone() -> None:
    counts = hungry.ask()
    assert max(counts) == 2
    assert counts[-1] == 0
