"""Gradient search within a run: a distribution trained by gate gradients before candidates are drawn of it.

Each step's loss and gates are kept in the journal: a run that goes on takes those steps again without their forward passes.
Weights that are trained in turns are kept in a checkpoint in the run's folder; steps since then are taken again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from latlas.latency.errors import UsageError
from latlas.search.architecture_training import ArchitectureStep, ArchitectureTrainConfig, Gates
from latlas.search.distribution import Distribution
from latlas.search.feasible import Additive
from latlas.search.proxyless import trained_distribution
from latlas.search.run_folder import RunFolder
from latlas.search.search_config import SearchConfig
from latlas.search.soft_latency import SoftLatency
from latlas.search.weight_steps import WeightSteps
from latlas.supernet.augment import Augmentation
from latlas.supernet.data import Dataset, parted
from latlas.supernet.network import Supernet
from latlas.supernet.space import Architecture

KIND = "gates"
HELD_OUT_SHARE = 0.25
"""Of the images, those that architecture parameters are trained on where weights are trained in turns on the others."""


@dataclass(frozen=True, slots=True)
class TrainedDistribution:
    """A distribution, and how many steps it and the supernet's weights have taken."""

    distribution: Distribution
    steps: int
    weight_steps: int


def train_distribution(
    run: RunFolder,
    supernet: Supernet,
    images: Dataset,
    config: SearchConfig,
    augmentation: Augmentation | None,
    terms: Additive | None,
    budget_ms: float,
    screen: Callable[[list[Architecture]], Any],
    on_step: Callable[[ArchitectureStep], None],
    stop: Callable[[], bool],
) -> TrainedDistribution:
    """The distribution of a strategy of `proxyless.DISTRIBUTIONS`, trained as `config.arch_training` says.

    Args:
        run: Its journal has the steps that were done before.
        supernet: Its weights are fixed, or with `alternating` trained; it is on the CPU afterwards.
        images: Such as choose nothing else.
        config: `strategy`, `arch_steps`, `latency_loss`, the batch size and device of `train`, the seed.
        augmentation: Of the images that weights are trained on.
        terms: The predictor as a sum, in the milliseconds of the budget; None where it is none.
        budget_ms: What architectures are drawn within.
        screen: Above 0 for each of the architectures that is surely within the budget.
        on_step: Told of each step.
        stop: Asked before each step that was not recorded; true ends the training.

    Raises `UsageError` where there are too few images, or a latency loss is asked for without terms.
    """
    journal, space = run.journal, supernet.space
    weight_steps: WeightSteps | None = None
    if config.alternating:
        images, others = parted(images, max(1, round(HELD_OUT_SHARE * len(images))), config.seed)
        weight_steps = WeightSteps(
            others,
            config.train.batch_size,
            config.weight_learning_rate,
            augmentation=augmentation,
            seed=config.seed,
            checkpoint=run.training("supernet"),
            checkpoint_every_s=config.train.checkpoint_every_s,
        )
    recorded: list[Gates] = []
    while journal.next_kind == KIND:
        recorded.append(journal.ask(KIND, len(recorded), _never, _read))
    done = 0

    def keep(step: ArchitectureStep) -> None:
        nonlocal done
        if step.step >= len(recorded):
            journal.ask(KIND, step.step, lambda: [step.loss, [one.tolist() for one in step.gates]], _read)
        done += 1
        on_step(step)

    training = trained_distribution(
        config.strategy,
        supernet,
        images,
        ArchitectureTrainConfig(
            steps=config.arch_steps, batch_size=config.train.batch_size, seed=config.seed, device=config.train.device
        ),
        terms=terms,
        budget_ms=budget_ms,
        screen=lambda codes: np.asarray(screen(space.decode(codes))) > 0,
        on_step=keep,
        stop=lambda: done >= len(recorded) and stop(),
        recorded=recorded,
        weight_steps=weight_steps,
        soft=_soft(config, terms, budget_ms),
    )
    supernet.cpu()
    return TrainedDistribution(training.distribution, training.steps, weight_steps.done if weight_steps else 0)


def _soft(config: SearchConfig, terms: Additive | None, budget_ms: float) -> SoftLatency | None:
    if config.latency_loss is None:
        return None
    if terms is None:
        raise UsageError("a latency loss needs a predictor that is a sum over layers and pairs; this one is none")
    return SoftLatency(terms, budget_ms, config.latency_weight, config.latency_loss)


def _never() -> Any:
    raise AssertionError("the journal said that it has this step")


def _read(value: Any) -> Gates:
    loss, gates = value
    return float(loss), [np.asarray(one, dtype=np.float64) for one in gates]
