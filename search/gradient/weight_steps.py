"""Trains the shared weights between architecture steps, in turns, as in ProxylessNAS (arXiv 1812.00332)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from latlas.errors import UsageError
from latlas.spaces.space import Architecture
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.batches import training_batch
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Supernet
from latlas.supernet.training.checkpoint import load_training, save_training
from latlas.supernet.training.steps import training_step


@dataclass
class WeightSteps:
    """SGD with Nesterov momentum. Each step trains the path of one architecture; the learning rate falls as a cosine.

    `dataset` has none of the images of the architecture steps. Weights off the path neither move nor change their momentum.
    `clip_norm` bounds the gradient's norm. With a `checkpoint`, a run that is started again with the same arguments continues
    from the file. The file is written every `checkpoint_every_s` seconds and at the end, and is replaced whole.
    """

    dataset: Dataset
    batch_size: int = 16
    learning_rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 4e-5
    clip_norm: float = 5.0
    augmentation: Augmentation | None = None
    seed: int = 0
    checkpoint: Path | None = None
    checkpoint_every_s: float = 60.0
    _run: tuple[Supernet, torch.optim.SGD, int, torch.device] | None = field(default=None, init=False, repr=False)
    _done: int = field(default=0, init=False, repr=False)
    _kept: tuple[int, float] = field(default=(0, 0.0), init=False, repr=False)

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
        """Start a training of `steps` steps, or continue from the checkpoint. The supernet is already on the device.

        Raises what `load_training` raises.
        """
        optimizer = torch.optim.SGD(
            supernet.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=True,
        )
        supernet.zero_grad(set_to_none=True)
        self._run, self._done = (supernet, optimizer, steps, device), 0
        if self.checkpoint is not None and self.checkpoint.exists():
            self._done = load_training(self.checkpoint, supernet, optimizer, {}, self._identity()).step
        self._kept = self._done, time.monotonic()

    @property
    def done(self) -> int:
        """How many steps the weights have taken, including the steps in the checkpoint."""
        return self._done

    def step(self, architecture: Architecture, step: int, size: tuple[int, int]) -> float | None:
        """Do step number `step` (from 0) on images of `size`, and return the loss before it; None if the checkpoint has it.

        Raises `DivergedError` if the loss is not finite, and `UsageError` if the checkpoint cannot be written.
        """
        assert self._run is not None
        if step < self._done:
            return None
        supernet, optimizer, steps, device = self._run
        # Save before a step, not after one: by now the caller has saved the result of the last step's weights.
        if time.monotonic() - self._kept[1] > self.checkpoint_every_s:
            self._keep()
        rng = np.random.default_rng([self.seed, 4, step])
        images, masks = training_batch(
            self.dataset, self.batch_size, self.seed, step, size, self.augmentation, rng, device
        )
        supernet.train()
        loss = training_step(
            supernet,
            optimizer,
            lambda: segmentation_loss(supernet.logits(images, architecture), masks),
            0.5 * self.learning_rate * (1.0 + math.cos(math.pi * step / steps)),
            self.clip_norm,
            (self.seed, 5, step),
            f"the supernet's weights: at step {step}",
        )
        self._done = step + 1
        return loss

    def end(self) -> None:
        """Save the checkpoint, and leave the supernet in inference mode, without gradients."""
        assert self._run is not None
        self._keep()
        supernet, self._run = self._run[0], None
        supernet.zero_grad(set_to_none=True)
        supernet.eval()

    def _keep(self) -> None:
        assert self._run is not None
        if self.checkpoint is not None and self._done > self._kept[0]:
            supernet, optimizer = self._run[:2]
            save_training(self.checkpoint, supernet, optimizer, {}, self._identity(), self._done, 0.0)
        self._kept = self._done, time.monotonic()

    def _identity(self) -> dict[str, object]:
        """The settings that must be the same when a training continues. The caller must keep data and architectures the same."""
        assert self._run is not None
        names = ("batch_size", "learning_rate", "momentum", "weight_decay", "clip_norm", "seed")
        return {"weight steps": self._run[2], **{name: getattr(self, name) for name in names}}
