"""Gradient search within a run: a distribution trained by gate gradients before candidates are drawn of it.

Each step's loss and gates are kept in the journal: a run that goes on takes those steps again without their forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from latlas.search.architecture_training import ArchitectureStep, ArchitectureTrainConfig, Gates
from latlas.search.distribution import Distribution
from latlas.search.feasible import Additive
from latlas.search.proxyless import trained_distribution
from latlas.search.run_journal import RunJournal
from latlas.search.search_config import SearchConfig
from latlas.supernet.data import Dataset
from latlas.supernet.network import Supernet
from latlas.supernet.space import Architecture

KIND = "gates"


def train_distribution(
    journal: RunJournal,
    supernet: Supernet,
    images: Dataset,
    config: SearchConfig,
    terms: Additive | None,
    budget_ms: float,
    screen: Callable[[list[Architecture]], Any],
    on_step: Callable[[ArchitectureStep], None],
    stop: Callable[[], bool],
) -> Distribution:
    """The distribution of a strategy of `proxyless.DISTRIBUTIONS`, trained with the supernet's weights fixed.

    Args:
        journal: Has the steps that were done before.
        supernet: Trained; it is on the CPU afterwards.
        images: Such as choose nothing else.
        config: `strategy`, `arch_steps`, the batch size and device of `train`, the seed.
        terms: The predictor as a sum, in the milliseconds of the budget; None where it is none.
        budget_ms: What architectures are drawn within.
        screen: Above 0 for each of the architectures that is surely within the budget.
        on_step: Told of each step.
        stop: Asked before each step that was not recorded; true ends the training.
    """
    space = supernet.space
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
    )
    supernet.cpu()
    return training.distribution


def _never() -> Any:
    raise AssertionError("the journal said that it has this step")


def _read(value: Any) -> Gates:
    loss, gates = value
    return float(loss), [np.asarray(one, dtype=np.float64) for one in gates]
