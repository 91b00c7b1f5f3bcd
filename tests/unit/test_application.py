from pathlib import Path
from typing import Any

import pytest
import ray
from ray.serve import Application

from deployments import directory, engine_args
from deployments.engine import EngineReplica
from serve_app import application
from serve_app.config import Settings
from serve_app.http.ingress import Ingress
from serve_app.model_config import ModelConfig

ENGINES = 1


def model(**fields: Any) -> ModelConfig:
    return ModelConfig.model_validate({"name": "org/a", "source": "org/a", **fields})


def options(*, on_cpu: bool, **fields: Any) -> dict[str, Any]:
    return application.engine_options(model(**fields), on_cpu, ENGINES)


def on_cpu(**fields: Any) -> dict[str, Any]:
    return options(on_cpu=True, **fields)


def on_gpu(**fields: Any) -> dict[str, Any]:
    return options(on_cpu=False, **fields)


def environment_of(engine: dict[str, Any]) -> dict[str, str]:
    environment: dict[str, str] = engine["ray_actor_options"]["runtime_env"]["env_vars"]
    return environment


class TestAnEngineOnCpu:
    def test_reserves_its_cpus_and_no_gpu(self) -> None:
        actor = on_cpu(num_cpus=2)["ray_actor_options"]
        assert (actor["num_cpus"], actor["num_gpus"]) == (2, 0)

    def test_reserves_its_cpus_for_each_rank(self) -> None:
        engine = on_cpu(num_cpus=2, engine_args={"tensor_parallel_size": 2})
        assert engine["ray_actor_options"]["num_cpus"] == 4
        assert "placement_group_bundles" not in engine

    def test_has_the_threads_it_was_given(self) -> None:
        assert environment_of(on_cpu(cpu_threads=3))["OMP_NUM_THREADS"] == "3"

    def test_shares_the_machines_threads_with_the_others(self) -> None:
        engine = application.engine_options(model(), True, 1_000_000)
        assert environment_of(engine)["OMP_NUM_THREADS"] == "1"
        whole = str(engine_args.machine_threads(1))
        assert environment_of(on_cpu())["OMP_NUM_THREADS"] == whole


class TestThreadsToChooseFrom:
    def test_are_the_machines(self) -> None:
        threads = application._threads_to_choose_from(model(), True, 1)
        assert threads == engine_args.machine_threads(1)

    def test_are_none_when_the_user_has_chosen(self) -> None:
        assert application._threads_to_choose_from(model(cpu_threads=2), True, 1) is None

    def test_are_none_on_a_gpu(self) -> None:
        assert application._threads_to_choose_from(model(), False, 1) is None


class TestAnEngineOnGpu:
    def test_reserves_one(self) -> None:
        engine = on_gpu()
        assert engine["ray_actor_options"]["num_gpus"] == 1
        assert "placement_group_bundles" not in engine

    def test_reserves_what_it_was_given(self) -> None:
        assert on_gpu(num_gpus=0.5)["ray_actor_options"]["num_gpus"] == 0.5
        assert on_gpu(num_gpus=0)["ray_actor_options"]["num_gpus"] == 0

    def test_over_several_has_a_bundle_for_each(self) -> None:
        engine = on_gpu(engine_args={"tensor_parallel_size": 2, "pipeline_parallel_size": 3})
        assert engine["placement_group_bundles"] == 6 * [{"CPU": 1, "GPU": 1}]
        assert engine["placement_group_strategy"] == "PACK"
        assert "num_gpus" not in engine["ray_actor_options"]  # the workers', not the replica's

    def test_over_several_shares_out_what_it_was_given(self) -> None:
        engine = on_gpu(engine_args={"tensor_parallel_size": 2}, num_gpus=1, num_cpus=4)
        assert engine["placement_group_bundles"] == 2 * [{"CPU": 4, "GPU": 0.5}]
        assert engine["ray_actor_options"]["num_cpus"] == 4

    def test_is_kept_by_each_of_them_to_nodes_that_have_what_it_asks_for(self) -> None:
        kind = {"accelerator_type:L4": 0.001}
        engine = on_gpu(engine_args={"tensor_parallel_size": 2}, resources=kind)
        assert engine["placement_group_bundles"] == 2 * [{"CPU": 1, "GPU": 1, **kind}]

    def test_leaves_threads_alone(self) -> None:
        assert "OMP_NUM_THREADS" not in environment_of(on_gpu())


@pytest.mark.parametrize("engine", [on_cpu, on_gpu])
class TestAnyEngine:
    def test_tells_routers_of_its_replicas_by_the_directory(self, engine: Any) -> None:
        router = engine()["request_router_config"]
        assert router.request_router_class == directory.ROUTER_CLASS

    def test_is_kept_to_nodes_that_have_what_it_asks_for(self, engine: Any) -> None:
        kind = {"accelerator_type:L4": 0.001}
        assert engine(resources=kind)["ray_actor_options"]["resources"] == kind

    def test_is_left_the_time_to_drain(self, engine: Any) -> None:
        assert engine(drain_timeout_s=7)["graceful_shutdown_timeout_s"] > 7

    def test_is_not_held_back_by_serves_own_count_of_calls(self, engine: Any) -> None:
        assert engine()["max_ongoing_requests"] >= 1_000_000


class TestASource:
    def test_that_is_a_directory_becomes_a_path_that_any_process_finds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mine").mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for written in ("mine", "./mine", "~/mine", str(tmp_path / "mine")):
            assert application.source(model(source=written)) == str(tmp_path / "mine")

    @pytest.mark.parametrize("written", ["org/model", "embedded:sluice-small"])
    def test_that_is_none_stays_as_it_is(
        self, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert application.source(model(source=written)) == written


def test_a_models_name_becomes_part_of_a_deployments_name() -> None:
    assert application.slug("org/a b:c_1.5-x") == "org-a-b-c_1.5-x"


def deployment(app: Application) -> Any:
    return app._bound_deployment


class TestAnApplication:
    @pytest.fixture(autouse=True)
    def ray_stays_asleep(self) -> Any:
        assert not ray.is_initialized()
        yield
        assert not ray.is_initialized()

    def test_is_routers_over_the_engines_of_every_model(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
        one = model(
            revision="main",
            engine_args={"max_model_len": 64},
            drain_timeout_s=7,
            stall_timeout_s=9,
            cpu_threads=2,
        )
        two = model(name="b", source="embedded:sluice-small")
        settings = Settings.model_validate(
            {
                "models": [one, two],
                "router": {"num_replicas": 2, "num_cpus": 0.25, "resources": {"head": 1}},
            }
        )
        routers = deployment(application.application(settings))
        assert routers.func_or_class.__name__ == Ingress.__name__
        assert routers.num_replicas == 2
        assert routers.ray_actor_options == {
            "num_cpus": 0.25,
            "resources": {"head": 1},
            "runtime_env": {"env_vars": settings.log.options.environment()},
        }
        told, sources, engines = routers.init_args
        assert Settings.model_validate(told).model_dump() == settings.model_dump()
        assert sources == {"org/a": ("org/a", "main"), "b": ("embedded:sluice-small", None)}
        first, second = (deployment(engine) for engine in engines.values())
        assert (first.name, second.name) == ("engine-0-org-a", "engine-1-b")
        assert first.func_or_class is EngineReplica
        [args] = first.init_args
        expected = {"model": "org/a", "revision": "main", "max_model_len": 64}
        assert expected.items() <= args.items()
        assert first.init_kwargs == {
            "on_cpu": True,
            "max_cpu_threads": None,
            "drain_timeout_s": 7,
            "stall_timeout_s": 9,
            "adapters": [],
            "tracing": {},
        }

    def test_hands_tracings_variables_on_where_nobody_sees_them(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret",
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        routers = deployment(application.application(Settings(models=[model()])))
        [engine] = map(deployment, routers.init_args[2].values())
        for each in (routers, engine):
            assert each.init_kwargs["tracing"] == given
            assert "s3cret" not in str(each.ray_actor_options)

    def test_tells_engines_of_their_adapters(self, tmp_path: Path) -> None:
        (tmp_path / "adapter_config.json").write_text('{"r": 20}')
        adapters = [{"name": "law", "source": str(tmp_path)}]
        one = model(adapters=adapters, engine_args={"max_loras": 3})
        two = model(name="b", adapter_dirs=[str(tmp_path)])
        three = model(name="c")
        settings = Settings.model_validate({"models": [one, two, three]})
        engines = deployment(application.application(settings)).init_args[2].values()
        first, second, third = map(deployment, engines)
        [adapter] = first.init_kwargs["adapters"]
        assert (adapter.name, adapter.path) == ("law", str(tmp_path))
        args = [dict(engine.init_args[0]) for engine in (first, second, third)]
        assert [each.get("enable_lora") for each in args] == [True, True, None]
        assert (args[0]["max_lora_rank"], args[0]["max_loras"]) == (32, 3)
        assert second.init_kwargs["adapters"] == []

    @pytest.mark.parametrize(
        ("limit", "own", "given"), [(20, {}, None), (30, {}, 30), (30, {"max_logprobs": 40}, 40)]
    )
    def test_lets_engines_report_as_many_alternatives_as_clients_may_ask_for(
        self, limit: int, own: dict[str, Any], given: int | None
    ) -> None:
        limits = {"top_logprobs": limit}
        args = self.engine_args_of(model(engine_args=own), limits=limits)
        assert args.get("max_logprobs") == given

    def test_on_cpu_chooses_what_the_user_has_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: True)
        args = self.engine_args_of(model(engine_args={"kv_cache_memory_bytes": 7}))
        assert args == engine_args.for_cpu({"model": "org/a", "kv_cache_memory_bytes": 7})

    @pytest.mark.parametrize(
        ("given", "backend"),
        [
            ({}, None),
            ({"tensor_parallel_size": 2}, "ray"),
            ({"pipeline_parallel_size": 2}, "ray"),
            ({"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}, "mp"),
        ],
    )
    def test_on_several_gpus_lets_ray_place_the_workers(
        self, given: dict[str, Any], backend: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_args, "is_cpu_build", lambda: False)
        args = self.engine_args_of(model(engine_args=given))
        assert args.get("distributed_executor_backend") == backend

    @staticmethod
    def engine_args_of(only: ModelConfig, **sections: Any) -> dict[str, Any]:
        settings = Settings.model_validate({"models": [only], **sections})
        routers = deployment(application.application(settings))
        [engine] = routers.init_args[2].values()
        args: dict[str, Any] = deployment(engine).init_args[0]
        return args
