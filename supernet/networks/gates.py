"""Gradients of a loss with respect to path gates (Cai, Zhu and Han 2019, *ProxylessNAS*, arXiv 1812.00332, section 3.2).

Each searchable column has one gate per option: 1 for the active option, 0 for the others. Each node of the column
puts out `sum_k g_k o_k(x)`. The gradient of gate k is `sum(o_k(x) * dL/dy)`, summed over the column's nodes. An identity
or zeros are options like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.spaces.codes import Slot
from latlas.spaces.space import Architecture
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Supernet, logits_graph, run_graph

Operator = Callable[..., Tensor]

MODES = ("full", "recompute", "two")


def gate_gradients(
    supernet: Supernet,
    images: Tensor,
    masks: Tensor,
    architecture: Architecture,
    mode: str = "recompute",
    pair: Sequence[Sequence[int]] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = segmentation_loss,
) -> tuple[float, list[FloatArray]]:
    """The loss of an architecture, and its gradient with respect to the gates: one array `(options,)` per column.

    Batch normalisation uses the batch's statistics. The call changes neither the weights, nor their gradients, nor the
    running statistics, nor the supernet's mode.

    `full` keeps the activations of all options until the backward pass. `recompute` gives the same result but keeps only
    the active path: it runs the other options in the backward pass, one at a time. `two` keeps two options per column, and
    the gradients of the others are 0. A column with only one option offers no choice, so its gradient is 0.

    Args:
        supernet: On the same device as the data, and of the same floating type.
        images: `(N, 3, H, W)` in 0..1.
        masks: What `loss` compares the logits with; `(N, 1, H, W)` in 0..1 for the default.
        architecture: Gives the active options. It belongs to the supernet's space and is not a baseline.
        mode: One of `MODES`.
        pair: Only for `two`: two options for each column, one of them the active one. A column that has one option
            repeats it.
        loss: Maps logits and masks to a number.

    Raises:
        UsageError: The mode is unknown, a pair does not fit, the architecture is of another space, or the graphs of the
            space have no common template.

    Example:
        >>> loss, gradients = gate_gradients(supernet, images, masks, space.random(rng))
    """
    if mode not in MODES:
        raise UsageError(f"mode is {mode!r:.40}; known: {', '.join(MODES)}")
    if (pair is not None) != (mode == "two"):
        raise UsageError(
            f"mode {mode} was given pair {pair!r:.80}; `two` takes a pair of options a column, others none"
        )
    space = supernet.space
    slots, sizes = space.template().slots, space.template().sizes
    (active,) = space.encode([architecture]).tolist()
    allowed = [list(range(size)) for size in sizes] if pair is None else _checked(pair, active, sizes)
    gates = []
    for column, options in enumerate(allowed):
        gate = torch.tensor([float(option == active[column]) for option in options], dtype=images.dtype)
        gates.append(gate.to(images.device).requires_grad_())

    def operator(index: int) -> Operator:
        slot = slots[index]
        if slot.column is None:
            return supernet.operator(index, slot.options[0])
        column = slot.column
        operators = [_operator(supernet, index, slot, option) for option in allowed[column]]
        mixture = _one_path if mode == "recompute" else _all_paths
        return mixture(operators, allowed[column].index(active[column]), gates[column])

    with _weights_fixed(supernet), batch_statistics(supernet), torch.enable_grad():
        value = loss(run_graph(logits_graph(architecture.graph()), operator, images), masks)
        found: Sequence[Tensor] = [torch.zeros_like(gate) for gate in gates]
        if value.requires_grad:
            # After a path of zeros, no gate has an effect on the loss.
            found = torch.autograd.grad(value, gates, allow_unused=True, materialize_grads=True)
    gradients = [np.zeros(size) for size in sizes]
    for gradient, options, one in zip(gradients, allowed, found, strict=True):
        gradient[options] = one.double().cpu().numpy()
    return float(value.item()), gradients


def _checked(pair: Sequence[Sequence[int]], active: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """The different options of each column's pair, in ascending order."""
    if len(pair) != len(sizes):
        raise UsageError(f"pairs of {len(pair)} columns were given; the space has {len(sizes)}")
    allowed = []
    for column, (options, code, size) in enumerate(zip(pair, active, sizes, strict=True)):
        different = sorted({int(option) for option in options})
        fits = len(different) == min(2, size) and different[0] >= 0 and different[-1] < size
        if not fits or code not in different:
            raise UsageError(
                f"the pair of column {column} is {tuple(options)}; it must be two of its {size} options, {code} one of them"
            )
        allowed.append(different)
    return allowed


def _operator(supernet: Supernet, index: int, slot: Slot, option: int) -> nn.Module:
    return supernet.operator(index, slot.options[option])


def _all_paths(operators: Sequence[Operator], active: int, gates: Tensor) -> Operator:
    """`sum_k g_k o_k(x)`. Autograd keeps what each option needs."""

    def mixed(*inputs: Tensor) -> Tensor:
        total = gates[0] * operators[0](*inputs)
        for gate, operator in zip(gates[1:], operators[1:], strict=True):
            total = total + gate * operator(*inputs)
        return total

    return mixed


def _one_path(operators: Sequence[Operator], active: int, gates: Tensor) -> Operator:
    """The active option's output, with the same gradient for the gates as `_all_paths`."""

    def chosen(*inputs: Tensor) -> Tensor:
        output = operators[active](*inputs)
        return cast(Tensor, _Gates.apply(gates, operators, active, output, *inputs))  # type: ignore[no-untyped-call]

    return chosen


class _Gates(torch.autograd.Function):
    """Passes the active option's output on. The backward pass runs the other options on the saved inputs."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, operators: Sequence[Operator], active: int, output: Tensor, *inputs: Tensor
    ) -> Tensor:
        ctx.save_for_backward(output, *inputs)
        ctx.gates, ctx.operators, ctx.active = gates.detach(), operators, active
        return output.view_as(output)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        output, *inputs = ctx.saved_tensors
        found = torch.empty_like(ctx.gates)
        for option, operator in enumerate(ctx.operators):
            other = output if option == ctx.active else operator(*inputs)
            found[option] = (other * gradient).sum()
            del other  # before the next option runs
        return found, None, None, gradient, *[None] * len(inputs)


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let batch normalisation use the batch's statistics inside the block, without updating the running statistics."""
    layers = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    before = [(layer.training, layer.track_running_stats) for layer in layers]
    try:
        for layer in layers:
            # In training mode, a layer that does not track statistics does not update its running ones.
            layer.training, layer.track_running_stats = True, False
        yield
    finally:
        for layer, (training, tracks) in zip(layers, before, strict=True):
            layer.training, layer.track_running_stats = training, tracks


@contextmanager
def _weights_fixed(network: nn.Module) -> Iterator[None]:
    """Switch the parameters' gradients off inside the block, so that autograd keeps no activations for them."""
    asking = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
