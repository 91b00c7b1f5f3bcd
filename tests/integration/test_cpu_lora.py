"""What our operators for adapters compute is what their matrices say, for each token its own."""

import importlib
from typing import Any

import pytest

from deployments import engine_args

pytestmark = [
    pytest.mark.skipif(
        not engine_args.is_cpu_build(), reason="the operators are those of vLLM's CPU build"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's own
]

TOKENS, INPUTS, RANK, OUTPUTS, PLACES = 6, 5, 3, 4, 2
MIXED = [-1, 0, 1, -1, 1, 0]


@pytest.fixture(scope="module")
def torch() -> Any:
    """Imported here with our operators, as it takes seconds."""
    importlib.import_module("deployments.vllm_cpu_lora")
    return importlib.import_module("torch")


@pytest.fixture(params=["lora_ops", "punica_cpu"])
def module(torch: Any, request: pytest.FixtureRequest) -> Any:
    """Where vLLM looks them up."""
    homes = {
        "lora_ops": "vllm.lora.ops.torch_ops.lora_ops",
        "punica_cpu": "vllm.lora.punica_wrapper.punica_cpu",
    }
    return importlib.import_module(homes[request.param])


@pytest.fixture
def random(torch: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("places", [MIXED, [1] * TOKENS, [-1] * TOKENS])
@pytest.mark.parametrize("depth", [(1,), ()])
def test_each_token_is_shrunk_by_its_own_adapter(
    module: Any, torch: Any, random: Any, places: list[int], depth: tuple[int, ...]
) -> None:
    inputs, weights = random(TOKENS, INPUTS), random(PLACES, *depth, RANK, INPUTS)
    output = torch.zeros(TOKENS, RANK + 1)
    module.bgmv_shrink(inputs, weights, output, torch.tensor(places), 0.5)
    for token, place in enumerate(places):
        matrix = weights[place].view(RANK, INPUTS)
        expected = 0.5 * matrix @ inputs[token] if place >= 0 else torch.zeros(RANK)
        assert torch.allclose(output[token, :RANK], expected, atol=1e-6)
    assert not output[:, RANK].any()


@pytest.mark.parametrize("places", [MIXED, [0] * TOKENS, [-1] * TOKENS])
def test_each_token_is_expanded_by_its_own_adapter_and_those_without_stay_as_they_are(
    module: Any, torch: Any, random: Any, places: list[int]
) -> None:
    inputs, weights = random(TOKENS, RANK), random(PLACES, 1, OUTPUTS, RANK)
    before = random(TOKENS, 2 + OUTPUTS)
    whole, part = before.clone(), before.clone()
    module.bgmv_expand(inputs, weights, whole, torch.tensor(places), add_inputs=True)
    module.bgmv_expand_slice(inputs, weights, part, torch.tensor(places), 2, OUTPUTS, True)
    for token, place in enumerate(places):
        if place < 0:
            assert torch.equal(whole[token], before[token])
            assert torch.equal(part[token], before[token])
            continue
        product = weights[place, 0] @ inputs[token]
        assert torch.allclose(whole[token, :OUTPUTS] - before[token, :OUTPUTS], product, atol=1e-5)
        assert torch.allclose(part[token, 2:] - before[token, 2:], product, atol=1e-5)
        assert torch.equal(whole[token, OUTPUTS:], before[token, OUTPUTS:])
        assert torch.equal(part[token, :2], before[token, :2])


def test_a_product_takes_the_place_of_what_was_there_where_it_is_to(
    module: Any, torch: Any, random: Any
) -> None:
    inputs, weights = random(TOKENS, RANK), random(PLACES, 1, OUTPUTS, RANK)
    output = random(TOKENS, OUTPUTS)
    module.bgmv_expand(inputs, weights, output, torch.tensor([1] * TOKENS), add_inputs=False)
    assert torch.allclose(output, inputs @ weights[1, 0].T, atol=1e-6)


def test_an_output_that_is_narrower_than_the_adapter_gets_what_fits(
    module: Any, torch: Any, random: Any
) -> None:
    inputs, weights = random(TOKENS, RANK), random(PLACES, 1, OUTPUTS, RANK)
    output = torch.zeros(TOKENS, OUTPUTS - 1)
    module.bgmv_expand(inputs, weights, output, torch.tensor(MIXED))
    assert torch.allclose(output[1], weights[0, 0, :-1] @ inputs[1], atol=1e-6)
