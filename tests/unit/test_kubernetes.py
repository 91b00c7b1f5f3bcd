"""deploy/kubernetes as Kubernetes, KubeRay and Ray would read it; none of them runs."""

from typing import Any

import kubernetes_validate
import msgspec
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.serve.schema import ServeDeploySchema

from serve_app import config
from serve_app.config import Settings
from tests.support.server import ROOT
from tests.unit.autoscaling_fixtures import bundles_of, loaded, nodes_for
from tests.unit.kuberay import RayService

VERSION = "1.34"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for file in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
[SERVICE] = [document for document in DOCUMENTS if document["kind"] == "RayService"]
CLUSTER: dict[str, Any] = SERVICE["spec"]["rayClusterConfig"]
GROUPS = {"head": CLUSTER["headGroupSpec"]} | {
    group["groupName"]: group for group in CLUSTER["workerGroupSpecs"]
}
PODS = {name: group["template"]["spec"] for name, group in GROUPS.items()}


def settings() -> Settings:
    """What Sluice makes of its configuration there."""
    [application] = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])["applications"]
    return config.load(application["args"])


def container(name: str) -> dict[str, Any]:
    """The one of a group's pods, in which Ray runs."""
    [only] = PODS[name]["containers"]
    assert isinstance(only, dict)
    return only


class TestKubernetes:
    @pytest.mark.parametrize(
        "document", [d for d in DOCUMENTS if d is not SERVICE], ids=lambda d: str(d["kind"])
    )
    def test_knows_every_field(self, document: dict[str, Any]) -> None:
        kubernetes_validate.validate(document, VERSION, strict=True)

    @pytest.mark.parametrize("name", GROUPS)
    def test_knows_every_field_of_a_pod(self, name: str) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", **GROUPS[name]["template"]}
        kubernetes_validate.validate(pod, VERSION, strict=True)

    def test_is_told_no_secret_by_these_files(self) -> None:
        assert "Secret" not in {document["kind"] for document in DOCUMENTS}
        for name in PODS:
            assert container(name)["envFrom"] == [{"secretRef": {"name": "sluice"}}]

    @pytest.mark.parametrize("name", PODS)
    def test_runs_a_pod_that_is_not_root_and_cannot_become_it(self, name: str) -> None:
        assert PODS[name]["securityContext"]["runAsNonRoot"] is True
        assert PODS[name]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }

    def test_finds_its_budgets_pods(self) -> None:
        budgets = [d for d in DOCUMENTS if d["kind"] == "PodDisruptionBudget"]
        wanted = [budget["spec"]["selector"]["matchLabels"] for budget in budgets]
        assert wanted == [group["template"]["metadata"]["labels"] for group in GROUPS.values()]

    def test_lets_nobody_in_but_the_pods_themselves_on_rays_ports(self) -> None:
        policies = [d["spec"] for d in DOCUMENTS if d["kind"] == "NetworkPolicy"]
        outside = [rule for policy in policies for rule in policy["ingress"] if "ports" in rule]
        ports = [{port["port"] for port in rule["ports"]} for rule in outside]
        assert ports == [{8000}, {8265, 8000}]

    def test_waits_for_an_engine_that_drains(self) -> None:
        command = container("l4")["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:3] == ["python", "-m", "serve_app.drain"]
        within = float(command[-1])
        drains = max(model.drain_timeout_s for model in settings().models)
        assert drains + 10 < within < PODS["l4"]["terminationGracePeriodSeconds"]


class TestKubeRay:
    def test_knows_every_field_of_the_service(self) -> None:
        msgspec.convert(SERVICE, RayService)

    def test_starts_no_gpu_pod_before_an_engine_needs_one(self) -> None:
        service = msgspec.convert(SERVICE, RayService)
        for group in service.spec.ray_cluster_config.worker_group_specs:
            assert group.replicas == group.min_replicas == 0

    def test_runs_the_version_of_ray_that_is_installed(self) -> None:
        assert CLUSTER["rayVersion"] == ray.__version__

    def test_does_not_ask_gpu_pods_for_the_proxy_that_only_the_head_has(self) -> None:
        assert "readinessProbe" in container("l4")
        assert "readinessProbe" not in container("head")  # it knows best what Ray's head needs


class TestRay:
    def test_starts_a_pod_for_each_engine(self) -> None:
        resource = {"metadata": {"name": "sluice", "namespace": "default"}, "spec": CLUSTER}
        autoscaling = loaded(_derive_autoscaling_config_from_ray_cr(resource))
        [model] = settings().models
        assert nodes_for(autoscaling, bundles_of(model)) == {"l4": 1}
        assert nodes_for(autoscaling, *3 * [bundles_of(model)]) == {"l4": 3}

    def test_has_its_routers_where_no_pod_comes_or_goes(self) -> None:
        assert "node:__internal_head__" in settings().router.resources

    @pytest.mark.parametrize(
        "text",
        [SERVICE["spec"]["serveConfigV2"], (ROOT / "deploy/serve.yaml").read_text()],
        ids=["kubernetes", "launcher"],
    )
    def test_takes_the_application(self, text: str) -> None:
        deployed = ServeDeploySchema.model_validate(yaml.safe_load(text))
        [application] = deployed.applications
        assert application.import_path == "serve_app:build"
        assert deployed.proxy_location == "HeadOnly"
