"""What Ray's own autoscaler makes of a cluster's configuration, without any cloud."""

from collections.abc import Mapping, Sequence
from typing import Any

from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from serve_app import application
from serve_app.model_config import ModelConfig

Bundles = Sequence[Mapping[str, float]]


def loaded(config: Mapping[str, Any]) -> AutoscalingConfig:
    """`config` with Ray's defaults; raises what Ray would stop with."""
    return AutoscalingConfig(dict(config), skip_content_hash=True)


def bundles_of(model: ModelConfig) -> Bundles:
    """What one GPU engine of `model` asks of Ray, one bundle for each of its devices."""
    options = application.engine_options(model, on_cpu=False, engines=1)
    if "placement_group_bundles" in options:
        bundles: Bundles = options["placement_group_bundles"]
        return bundles
    actor = options["ray_actor_options"]
    return [{"CPU": actor["num_cpus"], "GPU": actor["num_gpus"], **actor["resources"]}]


def nodes_for(config: AutoscalingConfig, *engines: Bundles) -> dict[str, int]:
    """How many nodes of which type Ray would start for `engines`, when there are none yet."""
    gangs = [GangResourceRequest(requests=map(ResourceRequestUtil.make, e)) for e in engines]
    reply = ResourceDemandScheduler(event_logger=None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_worker_nodes(),
            gang_resource_requests=gangs,
        )
    )
    assert not reply.infeasible_gang_resource_requests
    return {launch.instance_type: launch.count for launch in reply.to_launch}
