import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.adapter_files import AdapterError, check, rank

QUERY = "model.layers.0.self_attn.q_proj"
MATRICES = {f"{QUERY}.lora_A.weight": (2, 8), f"{QUERY}.lora_B.weight": (4, 2)}
MODEL = {f"{QUERY}.weight": (4, 8), "model.norm.weight": (8,), "model.embed_tokens.weight": (9, 8)}

Shapes = Mapping[str, tuple[int, ...]]


def header(shapes: Shapes, kind: str = "F32") -> bytes:
    """A safetensors file without its data, which nobody here reads."""
    entries = {n: {"dtype": kind, "shape": s, "data_offsets": [0, 0]} for n, s in shapes.items()}
    content = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    return struct.pack("<Q", len(content)) + content


def adapter(folder: Path, matrices: Shapes | None = None, **config: Any) -> Path:
    """An adapter's directory."""
    shapes = MATRICES if matrices is None else matrices
    named = {f"base_model.model.{name}": shape for name, shape in shapes.items()}
    (folder / "adapter_model.safetensors").write_bytes(header(named))
    (folder / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 2, **config}))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The base model's directory."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(header(MODEL, "BF16"))
    return folder


class TestItsRank:
    def test_is_the_largest_of_any_module(self, tmp_path: Path) -> None:
        assert rank(adapter(tmp_path)) == 2
        assert rank(adapter(tmp_path, r=8, rank_pattern={"q_proj": 32, "v_proj": 1})) == 32
        assert rank(adapter(tmp_path, r=8, rank_pattern=None)) == 8

    @pytest.mark.parametrize("r", [None, 0, -1, 1.5, "8", True, [8]])
    def test_that_is_no_rank_is_told(self, tmp_path: Path, r: Any) -> None:
        with pytest.raises(AdapterError, match=r"adapter_config\.json has a rank \(r\) that is no"):
            rank(adapter(tmp_path, r=r))

    @pytest.mark.parametrize("pattern", [[1], {"q_proj": "x"}])
    def test_pattern_that_is_none_is_told(self, tmp_path: Path, pattern: Any) -> None:
        with pytest.raises(AdapterError):
            rank(adapter(tmp_path, rank_pattern=pattern))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("{", "is not JSON"),
            ("[" * 100_000, "is not JSON"),
            ("[]", "is no JSON object"),
            ("\udc80", "JSON"),
        ],
        ids=lambda text: text[:9],
    )
    def test_is_not_found_in_what_is_no_configuration(
        self, tmp_path: Path, content: str, told: str
    ) -> None:
        file = adapter(tmp_path) / "adapter_config.json"
        file.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(AdapterError, match=told):
            rank(tmp_path)

    def test_is_not_found_where_nothing_is(self, tmp_path: Path) -> None:
        with pytest.raises(AdapterError, match=r"adapter_config\.json: No such file"):
            rank(tmp_path)


class TestAnAdapter:
    def test_that_is_for_the_model_passes(self, tmp_path: Path, model: Path) -> None:
        check(adapter(tmp_path), model)

    @pytest.mark.parametrize(
        "matrices",
        [
            {f"{QUERY}.lora_A.weight": (2, 7), f"{QUERY}.lora_B.weight": (4, 2)},
            {f"{QUERY}.lora_A.weight": (2, 8), f"{QUERY}.lora_B.weight": (3, 2)},
        ],
    )
    def test_of_other_sizes_is_told_by_its_module(
        self, tmp_path: Path, model: Path, matrices: Shapes
    ) -> None:
        with pytest.raises(AdapterError, match=f"{QUERY} as a matrix of . x ., and the model"):
            check(adapter(tmp_path, matrices), model)

    def test_of_a_model_with_more_layers_is_told(self, tmp_path: Path, model: Path) -> None:
        more = {name.replace("layers.0", "layers.1"): size for name, size in MATRICES.items()}
        with pytest.raises(AdapterError, match=r"is for a model with model\.layers\.1\."):
            check(adapter(tmp_path, MATRICES | more), model)

    @pytest.mark.parametrize(
        "matrices",
        [
            {f"{QUERY}.lora_A.weight": (2, 8)},
            {f"{QUERY}.lora_A.weight": (2, 8), f"{QUERY}.lora_B.weight": (4, 3)},
            {f"{QUERY}.lora_A.weight": (2,), f"{QUERY}.lora_B.weight": (4, 2)},
        ],
    )
    def test_of_which_a_half_is_missing_is_told(self, tmp_path: Path, matrices: Shapes) -> None:
        with pytest.raises(AdapterError, match="do not go together"):
            check(adapter(tmp_path, matrices), None)

    def test_without_matrices_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(AdapterError, match="has no LoRA matrices"):
            check(adapter(tmp_path, {}), None)

    def test_whose_output_matrix_the_model_shares_passes(self, tmp_path: Path, model: Path) -> None:
        head = {"lm_head.lora_A.weight": (2, 8), "lm_head.lora_B.weight": (9, 2)}
        check(adapter(tmp_path, MATRICES | head), model)

    def test_of_a_packed_model_is_held_against_its_names_only(
        self, tmp_path: Path, model: Path
    ) -> None:
        (model / "model.safetensors").write_bytes(header({f"{QUERY}.qweight": (1, 1)}, "I32"))
        check(adapter(tmp_path), model)
        (model / "model.safetensors").write_bytes(header({f"{QUERY}.weight": (4, 1)}, "U8"))
        check(adapter(tmp_path), model)

    def test_of_a_model_with_other_names_is_left_to_vllm(self, tmp_path: Path, model: Path) -> None:
        (model / "model.safetensors").write_bytes(header({"transformer.h.0.attn.weight": (1, 1)}))
        check(adapter(tmp_path), model)

    def test_of_a_model_without_safetensors_is_left_to_vllm(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        check(adapter(tmp_path), empty)

    def test_without_weights_is_told(self, tmp_path: Path) -> None:
        (adapter(tmp_path) / "adapter_model.safetensors").unlink()
        with pytest.raises(AdapterError, match=r"adapter_model\.safetensors: No such file"):
            check(tmp_path, None)

    @settings(deadline=None)  # it writes files
    @given(content=st.binary(max_size=64))
    def test_that_is_no_safetensors_file_is_told_whatever_it_is(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        folder = adapter(tmp_path_factory.mktemp("adapter"))
        (folder / "adapter_model.safetensors").write_bytes(content)
        with pytest.raises(AdapterError):
            check(folder, None)

    @pytest.mark.parametrize(
        "content",
        [
            b"[]",
            b"null",
            b'{"a": 1}',
            b'{"a": {}}',
            b'{"a": {"dtype": 1, "shape": 2}}',
            b"[" * 100_000,
        ],
        ids=lambda content: str(content[:9]),
    )
    def test_with_another_header_is_told(self, tmp_path: Path, content: bytes) -> None:
        file = adapter(tmp_path) / "adapter_model.safetensors"
        file.write_bytes(struct.pack("<Q", len(content)) + content)
        with pytest.raises(AdapterError, match="is no safetensors file"):
            check(tmp_path, None)
