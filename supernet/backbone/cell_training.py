"""The proxy task: it trains the head of a network, a cell with its decoder, on a frozen backbone's features.

Dense Prediction Cells are compared this way (Chen et al. 2018, arXiv 1809.04184, section 3.3): the backbone's features are
cached, and the training stops early. Loss, optimiser and schedule are the same as for whole networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latlas.errors import UsageError
from latlas.spaces.graph import Graph, graph_hash
from latlas.supernet.backbone.features import Features
from latlas.supernet.backbone.split import Backbone, BackboneSplit, NetworkHead
from latlas.supernet.data.batches import chosen_samples
from latlas.supernet.data.fitting import require_person_or_not
from latlas.supernet.networks.loss import segmentation_loss
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.recalibrate import renew_statistics
from latlas.supernet.training.quality import Confusion
from latlas.supernet.training.steps import adamw, training_step
from latlas.supernet.training.train import TrainConfig, training_device

SCORED_AT_ONCE = 32
CALIBRATED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ProxyData:
    """The features that cells are trained on, those they are scored on, and those that give their batch statistics."""

    split: BackboneSplit
    training: Features
    scored: Features
    calibration: Features


class CellTraining:
    """The training of one head. `advance` trains further, `miou` scores the current weights.

    The same graph, data and config give the same weights at a step, whatever was called before. The crop size of `config`
    is not used (the features have a size), nor are its checkpoints: the training is short enough to be repeated.

    Raises `UsageError` for a graph that does not fit the split, or that has several classes.
    """

    def __init__(self, graph: Graph, data: ProxyData, config: TrainConfig) -> None:
        require_person_or_not(graph)
        self.data, self.config, self.step = data, config, 0
        self.device = training_device(config.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.head = NetworkHead(graph, data.split)
        self.head.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self._optimizer = adamw(self.head, config.learning_rate, config.weight_decay)
        self._name = f"cell {graph_hash(graph)}"

    def advance(self, step: int, before_each: Callable[[], None] = lambda: None) -> CellTraining:
        """Train until `step`, counted from the start, and return itself. `before_each` runs before each step; it may raise.

        Raises `DivergedError` if the training diverges, and `UsageError` for a step that is already past.
        """
        config, training = self.config, self.data.training
        if not self.step <= step <= config.steps:
            raise UsageError(f"{self._name} is at step {self.step} of {config.steps}; it does not go on to {step}")
        self.head.train()
        while self.step < step:
            before_each()
            chosen, epoch = chosen_samples(training.count, config.batch_size, config.seed, self.step)
            features, masks = training.batch(chosen + epoch % training.copies * training.count, self.device)

            def loss_of(features: list[Tensor] = features, masks: Tensor = masks) -> Tensor:
                return segmentation_loss(self.head.logits(features), masks)

            training_step(
                self.head,
                self._optimizer,
                loss_of,
                config.learning_rate_at(self.step, self.step / config.steps),
                config.clip_norm,
                (config.seed, 2, self.step),
                f"{self._name}: at step {self.step}",
            )
            self.step += 1
        return self

    def miou(self) -> float:
        """mIoU, 0..1, on the `scored` features, with batch statistics from the `calibration` features.

        This does not change the training, which does not use running statistics.
        """

        def passes() -> Iterator[int]:
            for features, masks in self.data.calibration.batches(CALIBRATED_AT_ONCE, self.device):
                self.head.logits(features)
                yield len(masks)

        renew_statistics(self.head, passes())
        found = Confusion()
        with torch.inference_mode():
            for features, masks in self.data.scored.batches(SCORED_AT_ONCE, self.device):
                seen = self.head.logits(features) > 0
                truth = np.asarray(masks.cpu())
                found.add(np.asarray(seen.cpu()), truth > 0.5, boundary=False, void=truth < 0)
        return found.miou

    def network(self, backbone: Backbone) -> Subnet:
        """The whole network with the current weights, in inference mode: the backbone and the head."""
        found = backbone.network(self.head.graph)
        for index, module in self.head.nodes.items():
            found.nodes[int(index)].load_state_dict(module.state_dict())
        return found.eval()
