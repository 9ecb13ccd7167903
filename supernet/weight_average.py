"""Averaged weights, which a short training ends better with."""

from __future__ import annotations

import torch
from torch import nn


class WeightAverage:
    """An exponential moving average of the parameters; batch statistics are not averaged but have to be taken anew.

    Bias-corrected: after n updates the weights of the n states are those of the plain average, scaled to sum to 1, so
    that the random start does not linger.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.decay = decay
        live = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self.live = list(live.values()) if decay is not None else []
        self.state = {name: tensor.clone() for name, tensor in live.items()} if decay is not None else {}

    @torch.no_grad()
    def update(self, count: int) -> None:
        """Take in the model's state after update `count`, counted from 1."""
        if self.decay is not None:
            share = (1.0 - self.decay) / (1.0 - self.decay**count)
            torch._foreach_lerp_(list(self.state.values()), self.live, share)

    @torch.no_grad()
    def apply(self) -> None:
        """Give the model the averaged state."""
        for live, averaged in zip(self.live, self.state.values(), strict=True):
            live.copy_(averaged)
