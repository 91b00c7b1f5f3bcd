"""What our provider of vLLM's norms computes is what vLLM's own definition of them says."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from deployments import engine_args

pytestmark = [
    pytest.mark.skipif(
        not engine_args.is_cpu_build(), reason="the kernels are those of vLLM's CPU build"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own
]


@pytest.fixture(scope="module")
def ops() -> Any:
    """vLLM's operators with our provider; imported here, as it takes seconds."""
    importlib.import_module("vllm.platforms").current_platform.import_kernels()
    importlib.import_module("deployments.vllm_cpu")
    return importlib.import_module("vllm.ir").ops


Tensors = Callable[..., Any]


@pytest.fixture(params=["bfloat16", "float32"])
def random_tensor(request: pytest.FixtureRequest) -> Tensors:
    torch = importlib.import_module("torch")
    generator = torch.Generator().manual_seed(0)

    def make(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator).to(getattr(torch, request.param))

    return make


def close(torch_values: Any, expected: Any) -> bool:
    """Within two units in the last place of a bfloat16, the coarsest type served."""
    difference = (torch_values.float() - expected.float()).abs()
    return bool((difference <= 2**-6 * expected.float().abs().clamp(min=1)).all())


@pytest.mark.parametrize("shape", [(1, 256), (7, 64), (3, 5, 32)])
def test_rms_norm_is_that_of_vllm(ops: Any, random_tensor: Tensors, shape: tuple[int, ...]) -> None:
    x, weight = random_tensor(*shape), random_tensor(shape[-1])
    impls = ops.rms_norm.impls
    assert impls["vllm_c_cpu"].supports_args(x, weight, 1e-5)
    expected = impls["native"].impl_fn(x, weight, 1e-5)
    assert close(impls["vllm_c_cpu"].impl_fn(x, weight, 1e-5), expected)


def test_rms_norm_with_a_residual_is_that_of_vllm(ops: Any, random_tensor: Tensors) -> None:
    x, residual, weight = random_tensor(9, 256), random_tensor(9, 256), random_tensor(256)
    impls = ops.fused_add_rms_norm.impls
    expected = impls["native"].impl_fn(x.clone(), residual.clone(), weight, 1e-5)
    assert impls["vllm_c_cpu"].supports_args(x, residual, weight, 1e-5)
    normed, added = impls["vllm_c_cpu"].impl_fn(x, residual, weight, 1e-5)
    assert close(normed, expected[0])
    assert close(added, expected[1])


def test_what_the_kernels_cannot_take_is_left_to_vllm(ops: Any, random_tensor: Tensors) -> None:
    x, weight = random_tensor(4, 64), random_tensor(64)
    takes = ops.rms_norm.impls["vllm_c_cpu"].supports_args
    assert not takes(x[:, ::2], weight[::2], 1e-5), "a strided input"
    assert not takes(x, None, 1e-5), "no weight"
    assert not takes(x, weight.double(), 1e-5), "a weight of another type"
    assert not takes(x, weight, 1e-5, 32), "the variance of a part"
    assert not takes(random_tensor(4, 40), random_tensor(40), 1e-5), "half a vector"
    both = ops.fused_add_rms_norm.impls["vllm_c_cpu"].supports_args
    assert not both(x, random_tensor(64, 4).T, weight, 1e-5), "a strided residual"
