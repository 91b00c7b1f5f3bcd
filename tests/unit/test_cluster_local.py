import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)
from ray.autoscaler._private.providers import _get_node_provider_cls

from serve_app import cluster_local, launch
from serve_app.cluster_local import LocalCluster
from serve_app.config import Settings
from serve_app.scaling_config import ScalingConfig
from tests.unit.autoscaling_fixtures import loaded, nodes_for

pytestmark = pytest.mark.usefixtures("variables")


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    return LocalCluster(tmp_path, max_nodes=3, idle_timeout_s=30)


def settings(*models: dict[str, Any], **router: Any) -> Settings:
    named = [{"name": str(i), "source": "org/a", **fields} for i, fields in enumerate(models)]
    return Settings.model_validate({"models": named, "router": router})


class TestRaysAutoscaler:
    @pytest.fixture
    def config(self, cluster: LocalCluster) -> dict[str, Any]:
        return cluster.autoscaling_config(2, {"CPU": 1, "GPU": 1})

    def test_takes_what_it_is_told(self, config: dict[str, Any]) -> None:
        told = loaded(config)
        assert told.get_idle_timeout_s() == 30
        assert told.get_max_num_worker_nodes() == 3

    def test_starts_a_node_for_each_engine_and_none_without(self, config: dict[str, Any]) -> None:
        engine = [{"CPU": 1, "GPU": 1}]
        assert nodes_for(loaded(config)) == {}
        assert nodes_for(loaded(config), engine, engine) == {cluster_local.GPU_TYPE: 2}

    def test_finds_rays_own_provider_and_the_names_that_it_has_for_the_head(
        self, config: dict[str, Any]
    ) -> None:
        assert _get_node_provider_cls(config["provider"]) is FakeMultiNodeProvider
        assert cluster_local.HEAD_NODE_ID == FAKE_HEAD_NODE_ID
        assert config["head_node_type"] == FAKE_HEAD_NODE_TYPE


class TestSettings:
    def test_give_every_engine_a_gpu_unless_they_say_how_many(self, cluster: LocalCluster) -> None:
        fitted = cluster.fitted(settings({}, {"num_gpus": 0}, {"num_gpus": 2}))
        assert [model.num_gpus for model in fitted.models] == [1, 0, 2]

    def test_let_a_model_follow_its_load_unless_they_say_how_many_replicas_it_has(
        self, cluster: LocalCluster
    ) -> None:
        own = {"min_replicas": 0, "max_replicas": 2}
        fitted = cluster.fitted(settings({}, {"num_replicas": 1}, {"autoscaling": own}))
        scaling = [model.autoscaling for model in fitted.models]
        assert scaling[0] == ScalingConfig(max_replicas=3)
        assert scaling[1] is None
        assert scaling[2] == ScalingConfig(min_replicas=0, max_replicas=2)

    def test_keep_routers_on_the_head(self, cluster: LocalCluster) -> None:
        fitted = cluster.fitted(settings({}, resources={"mine": 1}))
        assert fitted.router.resources.keys() == {"node:__internal_head__", "mine"}

    def test_make_a_node_that_holds_any_engine(self) -> None:
        wide = {"num_cpus": 1.5, "engine_args": {"tensor_parallel_size": 2}}
        models = settings({"num_gpus": 3}, wide)
        assert cluster_local.node_of(models) == {"CPU": 3, "GPU": 3}


class TestItsFiles:
    def test_are_its_own(
        self, cluster: LocalCluster, tmp_path: Path, variables: dict[str, str]
    ) -> None:
        kept = [name for name, value in variables.items() if str(tmp_path) in value]
        assert len([name for name in kept if "HAPROXY" in name]) == 5

    def test_have_a_token_that_nobody_else_can_read(
        self, cluster: LocalCluster, tmp_path: Path, variables: dict[str, str]
    ) -> None:
        assert variables["RAY_AUTH_MODE"] == "token"
        token = Path(variables["RAY_AUTH_TOKEN_PATH"])
        assert token.parent == tmp_path
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert len(token.read_text()) == 64


def test_a_head_that_does_not_start_says_why_in_one_line(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 1, "", "a stack\nValueError: no room\n")

    monkeypatch.setattr(subprocess, "run", fail)
    starting = cluster.started(1, {"GPU": 1})
    with pytest.raises(SystemExit, match=r"sluice: Ray did not start: ValueError: no room"):
        starting.__enter__()


def test_its_own_options_are_its_own_and_the_others_are_the_launchers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launched: list[tuple[list[str], LocalCluster]] = []
    monkeypatch.setattr(launch, "main", lambda rest, cluster: launched.append((rest, cluster)))
    cluster_local.main(["--max-nodes", "7", "--http.port", "9000", "--idle-timeout=1"])
    [(rest, cluster)] = launched
    assert rest == ["--http.port", "9000"]
    config = cluster.autoscaling_config(1, {"GPU": 1})
    assert config["max_workers"] == 7
    assert config["idle_timeout_minutes"] == 1 / 60
    assert f"RAY_ADDRESS={cluster.address} ray status" in capsys.readouterr().out
