"""Serve's seam for the directory: a request router that passes on whom Serve says is running.

A module of its own, because Serve copies a request router's module into each process by value;
what it imports stays one per process.
"""

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from deployments import directory


class DirectoryRouter(RequestRouter):  # type: ignore[misc]
    """Publishes the running replicas. Calls by handle may go to any of them."""

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        super().update_replicas(replicas)
        running = [(r.replica_id.unique_id, r.replica_metadata) for r in replicas]
        directory.publish(self._deployment_id.name, running)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        return [candidate_replicas]
