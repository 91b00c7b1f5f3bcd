"""cluster.yaml as Ray and AWS would read it; neither is asked."""

import logging
import os
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.providers import _get_node_provider_cls
from ray.autoscaler.node_launch_exception import NodeLaunchException

from serve_app import config, environment
from serve_app.model_config import ModelConfig
from serve_app.spot import SpotFirst
from tests.support.server import ROOT
from tests.unit.autoscaling_fixtures import bundles_of, loaded, nodes_for
from tests.unit.deploy_doc import models_of

CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
TYPES: dict[str, Any] = CLUSTER["available_node_types"]
GPU_TYPES = [name for name in TYPES if name != CLUSTER["head_node_type"]]
REMOTE = "/home/ubuntu/sluice"
MOUNTS = {
    Path(remote).relative_to(REMOTE): ROOT / local
    for remote, local in CLUSTER["file_mounts"].items()
}


@pytest.fixture(autouse=True)
def quiet_autoscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("ray.autoscaler"), "disabled", True)


class TestRaysAutoscaler:
    def test_takes_it(self) -> None:
        types = loaded(CLUSTER).get_node_type_configs()
        assert set(types) == set(TYPES)

    def test_rents_no_gpu_before_an_engine_needs_one(self) -> None:
        types = loaded(CLUSTER).get_node_type_configs()
        assert {types[name].min_worker_nodes for name in GPU_TYPES} == {0}
        assert nodes_for(loaded(CLUSTER)) == {}

    def test_gives_idle_nodes_back_and_the_dearest_soonest(self) -> None:
        types = loaded(CLUSTER).get_node_type_configs()
        assert loaded(CLUSTER).get_idle_timeout_s() == 600
        assert types["h100-8"].idle_timeout_s == 300

    def test_knows_one_type_with_one_gpu_and_one_with_eight(self) -> None:
        assert {1, 8} <= {TYPES[name]["resources"]["GPU"] for name in GPU_TYPES}

    @pytest.mark.parametrize("example", models_of("docs/deploy.md"), ids=lambda model: model.name)
    def test_rents_the_kind_of_node_that_an_example_of_the_documents_names(
        self, example: ModelConfig
    ) -> None:
        [(name, count)] = nodes_for(loaded(CLUSTER), bundles_of(example)).items()
        assert count == 1
        assert example.resources.keys() <= TYPES[name]["resources"].keys()

    def test_has_use_for_every_kind_of_node(self) -> None:
        engines = map(bundles_of, models_of("docs/deploy.md"))
        assert set(nodes_for(loaded(CLUSTER), *engines)) == set(GPU_TYPES)

    def test_rents_a_node_for_the_model_that_it_is_shipped_with(self) -> None:
        served = yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())
        [model] = config.load(served["applications"][0]["args"]).models
        assert nodes_for(loaded(CLUSTER), bundles_of(model)) == {"l4": 1}


@pytest.fixture(scope="module")
def run_instances() -> Any:
    """What AWS's interface says a request for instances looks like."""
    model = botocore.session.get_session().get_service_model("ec2")
    return model.operation_model("RunInstances").input_shape


class TestAws:
    @pytest.mark.parametrize("name", TYPES)
    def test_would_understand_what_is_asked_of_it(self, name: str, run_instances: Any) -> None:
        request = {**TYPES[name]["node_config"], "MinCount": 1, "MaxCount": 1}
        report = ParamValidator().validate(request, run_instances)
        assert not report.has_errors(), report.generate_report()

    @pytest.mark.parametrize("name", TYPES)
    def test_gives_its_credentials_to_no_forged_request(self, name: str) -> None:
        options = TYPES[name]["node_config"]["MetadataOptions"]
        assert options["HttpTokens"] == "required"
        assert options["HttpPutResponseHopLimit"] == 1

    @pytest.mark.parametrize("name", TYPES)
    def test_encrypts_every_disk(self, name: str) -> None:
        disks = TYPES[name]["node_config"]["BlockDeviceMappings"]
        assert all(disk["Ebs"]["Encrypted"] for disk in disks)

    def test_rents_the_node_that_holds_the_streams_on_demand_and_the_others_on_the_spot(
        self,
    ) -> None:
        spot = [name for name in TYPES if "InstanceMarketOptions" in TYPES[name]["node_config"]]
        assert spot == GPU_TYPES


class TestSpotFirst:
    """The provider that cluster.yaml names."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        """What AWS is asked for; it has no spot instances, and of one kind none at all."""
        asked: list[dict[str, Any]] = []

        def create(_: Any, node_config: dict[str, Any], *__: Any) -> dict[str, Any]:
            asked.append(node_config)
            if "InstanceMarketOptions" in node_config or node_config["InstanceType"] == "none":
                raise NodeLaunchException("InsufficientInstanceCapacity", "no", None)
            return {"i-1": node_config}

        monkeypatch.setattr(AWSNodeProvider, "_create_node", create)
        return asked

    @staticmethod
    def provider() -> Any:
        return SpotFirst.__new__(SpotFirst)  # its constructor would ask AWS

    def test_is_what_ray_starts(self) -> None:
        assert _get_node_provider_cls(CLUSTER["provider"]) is SpotFirst

    def test_asks_on_demand_where_there_is_no_spot(self, asked: list[dict[str, Any]]) -> None:
        node = TYPES["l4"]["node_config"]
        assert self.provider()._create_node(node, {}, 1).keys() == {"i-1"}
        assert asked == [
            node,
            {key: value for key, value in node.items() if key != "InstanceMarketOptions"},
        ]

    def test_reports_where_there_is_neither(self, asked: list[dict[str, Any]]) -> None:
        node = {"InstanceType": "none", "InstanceMarketOptions": {"MarketType": "spot"}}
        with pytest.raises(NodeLaunchException):
            self.provider()._create_node(node, {}, 1)
        assert len(asked) == 2

    def test_asks_once_for_what_is_on_demand_anyway(self, asked: list[dict[str, Any]]) -> None:
        with pytest.raises(NodeLaunchException):
            self.provider()._create_node({"InstanceType": "none"}, {}, 1)
        assert len(asked) == 1

    def test_leaves_other_failures_as_they_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        refused = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "RunInstances")

        def refuse(*_: Any) -> None:
            raise refused

        monkeypatch.setattr(AWSNodeProvider, "_create_node", refuse)
        with pytest.raises(ClientError):
            self.provider()._create_node(TYPES["l4"]["node_config"], {}, 1)


class TestANode:
    def test_gets_what_the_project_is_installed_from(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
        needed = {"Makefile", ".ci", "constraints.txt", "pyproject.toml", "deploy"}
        needed |= {project["project"]["readme"], *(name.rstrip("*") for name in packages)}
        assert {str(path) for path in MOUNTS} == needed

    @pytest.mark.parametrize("path", MOUNTS.values(), ids=str)
    def test_gets_nothing_that_is_not_there(self, path: Path) -> None:
        assert path.exists()

    @pytest.mark.parametrize(
        "command", [*CLUSTER["head_start_ray_commands"], *CLUSTER["worker_start_ray_commands"]]
    )
    def test_has_its_environment_before_ray_starts(self, command: str) -> None:
        assert command.startswith(". ~/sluice/deploy/node.sh && ")

    def test_installs_the_project_by_its_own_command(self) -> None:
        assert "cd ~/sluice && EXTRA=gpu WITH='' make setup" in CLUSTER["setup_commands"]

    def test_finds_everything_that_ray_and_serve_must_find(self, tmp_path: Path) -> None:
        project = fake_project(tmp_path / "sluice")
        done = on_a_node(tmp_path, "env -0")
        assert done.returncode == 0, done.stderr
        pairs = done.stdout.strip("\0").split("\0")
        found = dict(pair.split("=", 1) for pair in pairs)
        here = environment.of_a_node()
        there = {name: value.replace(str(ROOT), str(project)) for name, value in here.items()}
        assert there.items() <= found.items()
        assert found["RAY_AUTH_MODE"] == "token"
        assert found["RAY_AUTH_TOKEN"] == "a token"
        assert found["SLUICE_AUTH__PEPPER"] == "a pepper"

    def test_does_not_start_without_its_secrets(self, tmp_path: Path) -> None:
        (fake_project(tmp_path / "sluice") / "deploy/secrets.env").unlink()
        done = on_a_node(tmp_path, "echo started")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("sluice: there is no deploy/secrets.env")


def on_a_node(home: Path, command: str) -> "subprocess.CompletedProcess[str]":
    """What `command` says behind deploy/node.sh."""
    return subprocess.run(
        ["bash", "-c", f". ~/sluice/deploy/node.sh && {command}"],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_project(folder: Path) -> Path:
    """This project with secrets, as a node has it."""
    (folder / "deploy").mkdir(parents=True)
    for name in (".venv", "serve_app", "deployments"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "deploy/node.sh").write_bytes((ROOT / "deploy/node.sh").read_bytes())
    secrets = "RAY_AUTH_TOKEN='a token'\nSLUICE_AUTH__PEPPER='a pepper'\n"
    (folder / "deploy/secrets.env").write_text(secrets)
    return folder


class TestGcp:
    """deploy/gcp.yaml, which is the same but for what GCP calls it."""

    cluster: Mapping[str, Any] = yaml.safe_load((ROOT / "deploy/gcp.yaml").read_text())

    def test_has_nodes_that_ray_knows_how_to_use(self) -> None:
        [small, _, large] = models_of("docs/deploy.md")
        assert nodes_for(loaded(self.cluster)) == {}
        assert nodes_for(loaded(self.cluster), bundles_of(small)) == {"l4": 1}
        assert nodes_for(loaded(self.cluster), bundles_of(large)) == {"h100-8": 1}

    @pytest.mark.parametrize(
        "key", ["file_mounts", "setup_commands", "head_start_ray_commands", "max_workers"]
    )
    def test_does_on_every_node_what_is_done_on_aws(self, key: str) -> None:
        assert self.cluster[key] == CLUSTER[key]

    def test_watches_for_its_own_clouds_notice(self) -> None:
        ours = [
            command.replace("preemption aws", "preemption gcp")
            for command in CLUSTER["worker_start_ray_commands"]
        ]
        assert self.cluster["worker_start_ray_commands"] == ours
