"""What KubeRay's custom resource definition has in it, as far as deploy/kubernetes uses it.

Written by hand from the reference of KubeRay 1.6 (ray.io/v1): no package carries the definition
itself. Pod templates are Kubernetes' own, and are checked by its own schemas.
"""

from typing import Any, Literal

import msgspec


class _Known(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    pass


class AutoscalerOptions(_Known):
    version: Literal["v1", "v2"]
    idle_timeout_seconds: int
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"]
    resources: dict[str, Any]
    env: list[dict[str, str]] = []


class AuthOptions(_Known):
    mode: Literal["disabled", "token"]
    secret_name: str | None = None


class HeadGroup(_Known):
    template: dict[str, Any]
    ray_start_params: dict[str, str]
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    resources: dict[str, str] = {}


class WorkerGroup(_Known):
    group_name: str
    template: dict[str, Any]
    ray_start_params: dict[str, str]
    replicas: int
    min_replicas: int
    max_replicas: int
    num_of_hosts: int = 1
    idle_timeout_seconds: int | None = None
    resources: dict[str, str] = {}


class RayCluster(_Known):
    ray_version: str
    enable_in_tree_autoscaling: bool
    autoscaler_options: AutoscalerOptions
    auth_options: AuthOptions
    head_group_spec: HeadGroup
    worker_group_specs: list[WorkerGroup]


class RayServiceSpec(_Known):
    serve_config_v2: str = msgspec.field(name="serveConfigV2")
    ray_cluster_config: RayCluster


class RayService(_Known):
    api_version: Literal["ray.io/v1"]
    kind: Literal["RayService"]
    metadata: dict[str, str]
    spec: RayServiceSpec
