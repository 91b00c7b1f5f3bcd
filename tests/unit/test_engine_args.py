"""Engine arguments: which there are, and what is chosen for a CPU engine."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from deployments import engine_args
from deployments.engine_args import (
    for_cpu,
    for_model_on_cpu,
    known,
    useful_threads,
    world_size,
)


class TestKnown:
    @pytest.mark.parametrize(
        "name",
        ["model", "max_model_len", "tensor_parallel_size", "enable_prefix_caching", "worker_cls"],
    )
    def test_has_the_arguments_of_vllm(self, name: str) -> None:
        assert name in known()

    def test_has_all_that_is_chosen_for_a_cpu_engine(self) -> None:
        assert for_cpu({}).keys() <= known()

    @pytest.mark.parametrize("name", ["max_model_length", "__class__", "", "from_cli_args"])
    def test_has_nothing_else(self, name: str) -> None:
        assert name not in known()

    def test_is_empty_without_vllm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        assert known.__wrapped__() == frozenset()


class TestWorldSize:
    @pytest.mark.parametrize(
        ("args", "size"),
        [
            ({}, 1),
            ({"tensor_parallel_size": 4}, 4),
            ({"pipeline_parallel_size": 2}, 2),
            ({"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, 8),
        ],
    )
    def test_is_the_product_of_all_that_spans_devices(
        self, args: dict[str, Any], size: int
    ) -> None:
        assert world_size(args) == size


class TestForCpu:
    def test_runs_the_model_in_the_process_of_the_engine_core(self) -> None:
        assert for_cpu({})["distributed_executor_backend"] == engine_args.UNIPROC_EXECUTOR

    def test_leaves_the_executor_of_several_workers_to_vllm(self) -> None:
        assert "distributed_executor_backend" not in for_cpu({"tensor_parallel_size": 2})

    def test_takes_a_kv_cache_of_a_known_size(self) -> None:
        assert for_cpu({})["kv_cache_memory_bytes"] == engine_args.DEFAULT_CPU_KV_CACHE_BYTES

    @pytest.mark.parametrize("name", ["gpu_memory_utilization", "num_gpu_blocks_override"])
    def test_takes_no_other_when_the_user_gave_a_size_in_another_way(self, name: str) -> None:
        chosen = for_cpu({name: 1})
        assert chosen[name] == 1
        assert "kv_cache_memory_bytes" not in chosen

    @pytest.mark.parametrize("given", [{"enforce_eager": True}, {"enable_lora": True}])
    def test_takes_vllms_compiled_norms_where_nothing_is_compiled(
        self, given: dict[str, Any]
    ) -> None:
        norms = for_cpu(given)["ir_op_priority"]
        assert norms == {
            "rms_norm": "vllm_c_cpu,native",
            "fused_add_rms_norm": "vllm_c_cpu,native",
        }
        assert "ir_op_priority" not in for_cpu({})

    def test_leaves_the_choice_of_norms_to_the_user_who_makes_it(self) -> None:
        mine = {"rms_norm": "native"}
        chosen = for_cpu({"enforce_eager": True, "ir_op_priority": mine})
        assert chosen["ir_op_priority"] == mine

    @pytest.mark.parametrize("name", sorted(for_cpu({})))
    def test_the_users_own_choice_wins(self, name: str) -> None:
        assert for_cpu({name: "mine"})[name] == "mine"

    def test_keeps_everything_else_and_changes_nothing_in_place(self) -> None:
        given = {"model": "m", "max_model_len": 128}
        assert for_cpu(given).items() >= given.items()
        assert given == {"model": "m", "max_model_len": 128}

    @pytest.mark.parametrize("path", [engine_args.UNIPROC_EXECUTOR, engine_args.CPU_WORKER])
    def test_names_classes_that_there_are(self, path: str) -> None:
        package, *modules, name = path.split(".")
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).parent.joinpath(*modules).with_suffix(".py")
        assert f"\nclass {name}(" in source.read_text()


class TestResuming:
    def test_is_by_arguments_of_vllm_that_are_not_chosen_otherwise(self) -> None:
        assert engine_args.RESUMING.keys() <= known() - for_cpu({"enforce_eager": True}).keys()

    @pytest.mark.parametrize("path", engine_args.RESUMING.values())
    def test_names_what_there_is(self, path: str) -> None:
        package, module, name = path.split(".")
        source = Path(engine_args.__file__).with_name(f"{module}.py").read_text()
        assert package == "deployments"
        assert f"\nclass {name}:" in source or f"\ndef {name}(" in source


class TestThreads:
    def test_are_told_to_openmp_and_bound_to_no_core(self) -> None:
        environment = engine_args.cpu_environment(3)
        assert environment["OMP_NUM_THREADS"] == "3"
        assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"

    @pytest.mark.parametrize(("engines", "threads"), [(0, 8), (1, 8), (3, 2), (8, 1), (100, 1)])
    def test_share_the_machine(
        self, engines: int, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        assert engine_args.machine_threads(engines) == threads


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A text generator that is just not small."""
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    resize(tmp_path, engine_args.SMALL_MODEL_BYTES)
    return tmp_path


def resize(model: Path, size: int) -> None:
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(size)


class TestUsefulThreads:
    def test_are_all_for_a_model_of_some_size(self, model: Path) -> None:
        assert useful_threads(model, 8) == 8

    def test_are_one_for_a_model_of_a_few_megabytes(self, model: Path) -> None:
        resize(model, engine_args.SMALL_MODEL_BYTES - 1)
        assert useful_threads(model, 8) == 1

    def test_are_all_for_a_model_of_unknown_size(self) -> None:
        assert useful_threads(Path("somebody/something"), 8) == 8


class TestForModelOnCpu:
    def test_takes_small_batches_so_that_no_stream_stands_still(self, model: Path) -> None:
        chosen = for_model_on_cpu({"max_model_len": 9}, model)
        assert chosen == {"max_model_len": 9, "max_num_batched_tokens": 256}

    def test_takes_batches_with_room_for_every_sequence(self, model: Path) -> None:
        assert for_model_on_cpu({"max_num_seqs": 500}, model)["max_num_batched_tokens"] == 500

    @pytest.mark.parametrize(
        "args",
        [{"max_num_batched_tokens": 4096}, {"enable_chunked_prefill": False}, {"runner": "auto"}],
    )
    def test_leaves_to_the_user_what_he_has_decided(
        self, args: dict[str, Any], model: Path
    ) -> None:
        assert for_model_on_cpu(args, model) == args

    @pytest.mark.parametrize("config", ['{"architectures": ["BertModel"]}', "{}", "not JSON"])
    def test_leaves_alone_what_may_not_take_prompts_in_pieces(
        self, config: str, model: Path
    ) -> None:
        (model / "config.json").write_text(config)
        assert for_model_on_cpu({}, model) == {}
