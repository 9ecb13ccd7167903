"""Steps of the shared weights between architecture steps, as ProxylessNAS alternates them (arXiv 1812.00332)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from latlas.latency.errors import LatlasError, UsageError
from latlas.supernet.augment import Augmentation
from latlas.supernet.data import Dataset
from latlas.supernet.network import Supernet
from latlas.supernet.space import Architecture
from latlas.supernet.train import segmentation_loss, training_batch


@dataclass
class WeightSteps:
    """SGD with Nesterov momentum on the path of one architecture a step; the learning rate falls as a cosine.

    `dataset` has none of the architecture steps' images. Weights off the path neither move nor change their momentum.
    `clip_norm` bounds the gradient's norm.
    """

    dataset: Dataset
    batch_size: int = 16
    learning_rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 4e-5
    clip_norm: float = 5.0
    augmentation: Augmentation | None = None
    seed: int = 0
    _run: tuple[Supernet, torch.optim.SGD, int, torch.device] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.dataset):
            raise UsageError("the data set of the weights has no images; training needs at least one")
        for name in ("learning_rate", "momentum", "clip_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.batch_size < 2 or self.weight_decay < 0 or self.seed < 0:
            raise UsageError(
                f"batch_size is {self.batch_size}, weight_decay {self.weight_decay}, seed {self.seed}; "
                "at least 2, 0 and 0"
            )

    def start(self, supernet: Supernet, steps: int, device: torch.device) -> None:
        """Begin a training of so many steps of the supernet, which is on the device."""
        optimizer = torch.optim.SGD(
            supernet.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=True,
        )
        supernet.zero_grad(set_to_none=True)
        self._run = supernet, optimizer, steps, device

    def step(self, architecture: Architecture, step: int, size: tuple[int, int]) -> float:
        """The loss before the step, counted from 0, on images of `size`; raises `LatlasError` where it is not finite."""
        assert self._run is not None
        supernet, optimizer, steps, device = self._run
        rng = np.random.default_rng([self.seed, 4, step])
        images, masks = training_batch(
            self.dataset, self.batch_size, self.seed, step, size, self.augmentation, rng, device
        )
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * self.learning_rate * (1.0 + math.cos(math.pi * step / steps))
        supernet.train()
        optimizer.zero_grad(set_to_none=True)
        loss = segmentation_loss(supernet.logits(images, architecture), masks)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(supernet.parameters(), self.clip_norm)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            raise LatlasError(
                f"at step {step} the loss of the weights is {loss.item()} and its gradient's norm {norm.item()}; "
                f"use a lower learning_rate than {self.learning_rate}, or a lower clip_norm"
            )
        optimizer.step()
        return float(loss.item())

    def end(self) -> None:
        """Leave the supernet in inference mode, without gradients."""
        assert self._run is not None
        supernet, self._run = self._run[0], None
        supernet.zero_grad(set_to_none=True)
        supernet.eval()
