"""Serve's seam for the autoscaler: what its controller asks for each deployment.

Nothing is kept here, see deployments.autoscaler. What goes wrong must stay here: Serve's controller
would look after no application any more.
"""

import logging
from typing import Any

from deployments import autoscaler
from deployments.autoscaler import Context, Plan

logger = logging.getLogger("ray.serve")

Answer = tuple[int, dict[str, Any]]


class RouterPolicy:
    """For the routers, whose number stays: takes in what they tell."""

    def __call__(self, context: Context) -> Answer:
        try:
            autoscaler.of(context.app_name).hear(context)
        except Exception:
            logger.exception("What the routers tell could not be taken in")
        return context.target_num_replicas, {}


class EnginePolicy:
    """For the engines of one model."""

    def __init__(self, **options: Any) -> None:
        self._plan = Plan.of(options)

    def __call__(self, context: Context) -> Answer:
        try:
            return autoscaler.of(context.app_name).decide(context, self._plan).replicas, {}
        except Exception:
            logger.exception("No decision on %s; it stays as it is", context.deployment_name)
            return context.target_num_replicas, {}
