"""AWS nodes for Ray's cluster launcher: spot where there is any, on demand where there is none.

cluster.yaml names this class as its provider. Ray's own asks for exactly what a node type says, and
when AWS has none of it, Ray's autoscaler (2.60) asks for the same again: a second node type, on
demand, gets no turn, as only nodes that came and then never joined count against a type.
"""

import logging
from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException

_MARKET = "InstanceMarketOptions"

logger = logging.getLogger(__name__)


class SpotFirst(AWSNodeProvider):  # type: ignore[misc]
    """Ray's AWS provider, which tries a spot request that failed once more, on demand."""

    def _create_node(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int
    ) -> dict[str, Any]:
        try:
            return super()._create_node(node_config, tags, count)  # type: ignore[no-any-return]
        except NodeLaunchException as exc:
            if _MARKET not in node_config:
                raise
            kind = node_config.get("InstanceType")
            logger.warning("No spot %s (%s): asking for it on demand.", kind, exc.category)
            on_demand = {key: value for key, value in node_config.items() if key != _MARKET}
            return super()._create_node(on_demand, tags, count)  # type: ignore[no-any-return]
