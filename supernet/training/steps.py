"""One training step and its optimiser, for a supernet, a network, or a cell on the features of a frozen backbone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from latlas.errors import DivergedError


class WeightAverage:
    """An exponential moving average of the parameters. Batch statistics are not averaged; estimate them anew afterwards.

    The average is bias-corrected: after n updates, the weights of the n states sum to 1 and the random start has none.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.decay = decay
        live = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.live = list(live.values()) if decay is not None else []
        self.state = {name: tensor.clone() for name, tensor in live.items()} if decay is not None else {}

    @torch.no_grad()
    def update(self, count: int) -> None:
        """Add the model's state after update `count`, counted from 1."""
        if self.decay is not None:
            share = (1.0 - self.decay) / (1.0 - self.decay**count)
            torch._foreach_lerp_(list(self.state.values()), self.live, share)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the model the averaged state."""
        for live, averaged in zip(self.live, self.state.values(), strict=True):
            live.copy_(averaged)


def adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over a model's parameters. Vectors (biases, batch normalisation) have no weight decay."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # Parameters off the sampled path have no gradient, so AdamW skips them: no step, no decay, no change of moments.
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    learning_rate: float,
    clip_norm: float,
    seeds: Sequence[int],
    what: str,
) -> float:
    """Do one optimiser step and return the loss before it. The gradient's norm is clipped to `clip_norm`.

    `seeds` seed the randomness of the forward pass (dropout), so that a resumed training computes the same.
    Raises `DivergedError` if the loss or the gradient is not finite; `what` names the network in the message.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad(set_to_none=True)
    with _seeded(next(model.parameters()).device, seeds):
        loss = loss_of()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    value = float(loss.item())
    if not (math.isfinite(value) and math.isfinite(norm.item())):
        raise DivergedError(
            f"{what} the loss is {value} and its gradient's norm {norm.item()}; "
            f"use a lower learning_rate than {optimizer.defaults['lr']}, or a lower clip_norm"
        )
    optimizer.step()
    return value


@contextmanager
def _seeded(device: torch.device, seeds: Sequence[int]) -> Iterator[None]:
    """Seed torch's generators inside the block; afterwards they are as before it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence(list(seeds)).generate_state(1, np.uint64)[0] >> 1))
        yield
