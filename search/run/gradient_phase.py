"""Trains the distribution of a trained strategy within a run. Each step is in the journal, so a run can be resumed after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.proxyless import trained_distribution
from latlas.search.gradient.soft_latency import SoftLatency
from latlas.search.gradient.training import ArchitectureStep, ArchitectureTrainConfig, Gates
from latlas.search.gradient.weight_steps import WeightSteps
from latlas.search.run.search_run import SearchRun
from latlas.supernet.data.dataset import Dataset, parted

KIND = "gates"
HELD_OUT_SHARE = 0.25
"""Share of the images that train architecture parameters if the others train the weights in turns."""


@dataclass(frozen=True, slots=True)
class TrainedDistribution:
    """A trained distribution, the number of its steps, and the number of steps of the supernet's weights."""

    distribution: Distribution
    steps: int
    weight_steps: int


def train_distribution(
    run: SearchRun, constraint: LatencyConstraint, terms: Additive | None
) -> TrainedDistribution | None:
    """The distribution for the configured strategy, trained as `arch_training` says; None if the strategy needs none.

    It is trained on images that are not used to score candidates, if there are any, and for half of the time limit at most. With
    `alternating`, the weights of the run's supernet are trained too. The supernet is on the CPU afterwards.

    Args:
        run: The run; its journal has the steps that were done before.
        constraint: Architectures are drawn within its budget, and screened by it.
        terms: The predictor as a sum, in the milliseconds of the budget; None if it is not a sum.

    Raises:
        UsageError: There are too few images, there is no supernet, or a latency loss is configured without terms.
    """
    config, journal, space, images = run.config, run.journal, run.space, run.prepared
    if not config.strategy_entry.trained:
        return None
    supernet = run.task.scoring.supernet_of(config.strategy)
    limit_s = None if config.time_limit_s is None else config.time_limit_s / 2
    began_s = journal.seconds()
    run.note(
        f"training architecture parameters for {config.arch_steps} steps"
        + (", and a copy of the supernet's weights in turns with them" if config.alternating else "")
    )
    trained_on = images.unscored if len(images.unscored) else images.scored
    weight_steps: WeightSteps | None = None
    if config.alternating:
        trained_on, others = parted(trained_on, max(1, round(HELD_OUT_SHARE * len(trained_on))), config.seed)
        weight_steps = _weight_steps(run, others)
    recorded: list[Gates] = []
    while journal.next_kind == KIND:
        recorded.append(journal.ask(KIND, len(recorded), _never, _read))
    done = 0

    def keep(step: ArchitectureStep) -> None:
        nonlocal done
        if step.step >= len(recorded):
            journal.ask(KIND, step.step, lambda: [step.loss, [one.tolist() for one in step.gates]], _read)
        done += 1
        run.listener.on_architecture_step(step)

    def stop() -> bool:
        return done >= len(recorded) and journal.over("architecture training", limit_s, began_s)

    training = trained_distribution(
        config.strategy,
        supernet,
        trained_on,
        ArchitectureTrainConfig(
            steps=config.arch_steps,
            learning_rate=config.arch_learning_rate,
            batch_size=config.batch_size,
            seed=config.seed,
            device=config.device,
        ),
        terms=terms,
        budget_ms=constraint.budget_ms,
        screen=lambda codes: np.asarray(constraint.screen(space.decode(codes))) > 0,
        on_step=keep,
        stop=stop,
        recorded=recorded,
        weight_steps=weight_steps,
        soft=_soft(config, terms, constraint.budget_ms),
    )
    supernet.cpu()
    return TrainedDistribution(training.distribution, training.steps, weight_steps.done if weight_steps else 0)


def _weight_steps(run: SearchRun, images: Dataset) -> WeightSteps:
    """The training of the weights, whose steps alternate with the steps of architecture parameters."""
    config = run.config
    return WeightSteps(
        images,
        config.batch_size,
        config.weight_learning_rate,
        augmentation=run.augmentation,
        seed=config.seed,
        checkpoint=run.folder.training("supernet"),
        checkpoint_every_s=config.checkpoint_every_s,
    )


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
