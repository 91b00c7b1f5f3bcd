"""The operators by which vLLM's CPU engine computes with adapters: one product for each of them.

With the other modules named vllm_*, all that touches vLLM; written against 0.32.0.

vLLM's own copy the matrices of its adapter for every single token, and take the place of tokens
without an adapter, -1, for the last place there is: whichever adapter is in it has a share in what
the model itself answers in the same batch. (Its GPU kernels do neither.)

`weights` are those of all places, of which `places` has one for each token.
"""

from collections.abc import Iterator
from typing import TypeAlias

from torch import Tensor
from vllm.lora.ops.torch_ops import lora_ops
from vllm.lora.punica_wrapper import punica_cpu

Rows: TypeAlias = Tensor | slice


def bgmv_shrink(
    inputs: Tensor, weights: Tensor, output: Tensor, places: Tensor, scaling: float = 1.0
) -> None:
    """Put the product of each token with its adapter's first matrix into `output`."""
    for place, rows in _by_place(places):
        matrix = _matrix(weights, place).to(output.dtype)
        output[rows, : len(matrix)] = scaling * (inputs[rows].to(output.dtype) @ matrix.T)


def bgmv_expand(
    inputs: Tensor, weights: Tensor, output: Tensor, places: Tensor, add_inputs: bool = True
) -> None:
    """Add the product of each token with its adapter's second matrix to `output`."""
    size = min(weights.shape[-2], output.shape[1])  # either may be padded
    bgmv_expand_slice(inputs, weights, output, places, 0, size, add_inputs)


def bgmv_expand_slice(
    inputs: Tensor,
    weights: Tensor,
    output: Tensor,
    places: Tensor,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """The same for some columns of `output`."""
    columns = output[:, slice_offset : slice_offset + slice_size]
    for place, rows in _by_place(places):
        matrix = _matrix(weights, place)[:slice_size].to(output.dtype)
        product = inputs[rows].to(output.dtype) @ matrix.T
        columns[rows] = columns[rows] + product if add_inputs else product


def _by_place(places: Tensor) -> Iterator[tuple[int, Rows]]:
    """Each place that is one, and the tokens that have it."""
    found = set(places.tolist())
    for place in found - {-1}:
        alone = len(found) == 1
        yield place, slice(len(places)) if alone else (places == place).nonzero().squeeze(1)


def _matrix(weights: Tensor, place: int) -> Tensor:
    return weights[place].reshape(-1, weights.shape[-1])


for _operator in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
    for _module in (lora_ops, punica_cpu):
        setattr(_module, _operator.__name__, _operator)
