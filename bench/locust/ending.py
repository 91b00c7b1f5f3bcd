"""What a test ends with: verdicts, an exit code, and the figures of tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locust.env import Environment

from bench.locust import server_side, slo, summary
from bench.locust.entries import by_label
from bench.locust.server_side import ServerSide
from bench.locust.slo import Objective, Verdict
from bench.table import table


class Ending:
    """Judges before Locust chooses its exit code, and tells after Locust has told its figures."""

    def __init__(
        self,
        environment: Environment,
        objectives: Sequence[Objective],
        csv_prefix: str | None,
        server: ServerSide | None,
    ) -> None:
        self._environment, self._objectives = environment, objectives
        self._csv_prefix, self._server = csv_prefix, server
        self._verdicts: list[Verdict] = []

    def begin(self, **_: Any) -> None:
        """A test starts, maybe another one, from Locust's page."""
        if self._server is not None:
            self._server.begin()

    def judge(self, **_: Any) -> None:
        """Set the exit code, where there are objectives."""
        environment, runner = self._environment, self._environment.runner
        if not self._objectives or runner is None:
            return
        self._verdicts = slo.judge(self._objectives, by_label(environment.stats))
        held = all(verdict.held for verdict in self._verdicts)
        # Failed requests are for the objectives to judge; a fault in a user's own code is not.
        environment.process_exit_code = 0 if held and not runner.exceptions else 1

    def tell(self, **_: Any) -> None:
        """Print the figures and the verdicts, and write the figures beside Locust's CSV files."""
        stats = self._environment.stats
        print(summary.text(stats))
        if self._csv_prefix:
            summary.write(stats, Path(f"{self._csv_prefix}_tokens.csv"))
        if self._server is not None:
            self._tell_of_server(self._server)
        for verdict in self._verdicts:
            print(verdict, flush=True)

    def _tell_of_server(self, server: ServerSide) -> None:
        try:
            rows = server.rows(self._environment.stats.entries)
        except (OSError, ValueError) as exc:
            print(f"--server-metrics: not known, as they cannot be read any more: {exc}")
            return
        print(table(rows))
        if self._csv_prefix:
            server_side.write(rows, Path(f"{self._csv_prefix}_server.csv"))
