"""The proxy task: the rest of a network, a cell with its decoder, trained on a frozen backbone's features.

What Dense Prediction Cells are compared by (Chen et al. 2018, arXiv 1809.04184, section 3.3): a backbone whose features are
kept, and a training that is stopped early. Loss, optimiser and schedule are those of whole networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from latlas.errors import UsageError
from latlas.spaces.graph import Graph, graph_hash
from latlas.supernet.backbone.cut import Backbone, Cut, Rest
from latlas.supernet.backbone.features import Features
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
    """What cells are trained on, what their quality is of, and what their batch statistics are taken from."""

    cut: Cut
    training: Features
    scored: Features
    calibration: Features


class CellTraining:
    """A rest under training; `advance` goes on with it, `miou` says what it has reached.

    The same graph, data and config give the same weights at a step, whatever was asked before. `config` says all but the
    crops' size, which is the features', and checkpoints: a training is short enough to be done again.

    Raises `UsageError` for a graph that is not of the cut, or that has several classes.
    """

    def __init__(self, graph: Graph, data: ProxyData, config: TrainConfig) -> None:
        require_person_or_not(graph)
        self.data, self.config, self.step = data, config, 0
        self.device = training_device(config.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.rest = Rest(graph, data.cut)
        self.rest.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self._optimizer = adamw(self.rest, config.learning_rate, config.weight_decay)
        self._name = f"cell {graph_hash(graph)}"

    def advance(self, step: int, before_each: Callable[[], None] = lambda: None) -> CellTraining:
        """The same, after `step` steps in all of the config's; `before_each` may raise to end it.

        Raises `DivergedError`, and `UsageError` for a step behind.
        """
        config, training = self.config, self.data.training
        if not self.step <= step <= config.steps:
            raise UsageError(f"{self._name} is at step {self.step} of {config.steps}; it does not go on to {step}")
        self.rest.train()
        while self.step < step:
            before_each()
            chosen, epoch = chosen_samples(training.count, config.batch_size, config.seed, self.step)
            features, masks = training.batch(chosen + epoch % training.copies * training.count, self.device)

            def loss_of(features: list[Tensor] = features, masks: Tensor = masks) -> Tensor:
                return segmentation_loss(self.rest.logits(features), masks)

            training_step(
                self.rest,
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
        """mIoU, 0..1, on the features that are scored, with batch statistics of those for calibration.

        Training goes on afterwards as if nobody had asked: it does not use running statistics.
        """

        def passes() -> Iterator[int]:
            for features, masks in self.data.calibration.batches(CALIBRATED_AT_ONCE, self.device):
                self.rest.logits(features)
                yield len(masks)

        renew_statistics(self.rest, passes())
        found = Confusion()
        with torch.inference_mode():
            for features, masks in self.data.scored.batches(SCORED_AT_ONCE, self.device):
                seen = self.rest.logits(features) > 0
                truth = np.asarray(masks.cpu())
                found.add(np.asarray(seen.cpu()), truth > 0.5, boundary=False, void=truth < 0)
        return found.miou

    def network(self, backbone: Backbone) -> Subnet:
        """The whole network as it is now, in inference mode: the backbone's weights and the rest's."""
        found = backbone.network(self.rest.graph)
        for index, module in self.rest.nodes.items():
            found.nodes[int(index)].load_state_dict(module.state_dict())
        return found.eval()
