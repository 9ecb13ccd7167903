"""A search led by predicted quality, within a run: its rounds in the journal, its predictor in the folder, its figures.

What a round learnt and found is one answer of the journal: a run that goes on neither learns nor searches it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.accuracy.file import save_accuracy
from latlas.search.accuracy.models import LEAST_VALIDATED
from latlas.search.accuracy.rounds import Round
from latlas.search.accuracy.search import AccuracySearch, AccuracySearchConfig, accuracy_search
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.proxyless import trained_distribution
from latlas.search.gradient.soft_latency import SoftLatency
from latlas.search.gradient.training import ArchitectureStep, ArchitectureTrainConfig, Gates
from latlas.search.gradient.weight_steps import WeightSteps
from latlas.search.make import make_strategy
from latlas.search.run.folder import ACCURACY, RunFolder
from latlas.search.strategies.loop import LoopOptions
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.space import Architecture, SearchSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, parted
from latlas.supernet.networks.network import Supernet

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
        config: `strategy`, `arch_steps`, `arch_learning_rate`, `latency_loss`, the batch size and device of `train`, the seed.
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
            steps=config.arch_steps,
            learning_rate=config.arch_learning_rate,
            batch_size=config.train.batch_size,
            seed=config.seed,
            device=config.train.device,
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


KIND = "predicted quality"
LEARN_SHARE = 0.7
"""Of the evaluations, those that are drawn to learn from."""


def phase_config(config: SearchConfig) -> AccuracySearchConfig:
    """How a search shares its evaluations."""
    learn = max(LEAST_VALIDATED, round(LEARN_SHARE * config.evaluations))
    return AccuracySearchConfig(learn, config.evaluations - learn, predicted=config.predicted, seed=config.seed)


def search_by_prediction(
    run: RunFolder,
    space: SearchSpace,
    constraint: LatencyConstraint,
    context: StrategyContext,
    evaluate: Callable[[Architecture], float],
    config: SearchConfig,
    options: LoopOptions,
    on_note: Callable[[str], None],
) -> AccuracySearch:
    """`accuracy_search` in the run of a folder, by the strategy asked for; errors as there."""
    asked = phase_config(config)

    def keep(index: int, find: Callable[[], Round]) -> Round:
        def answer() -> dict[str, Any]:
            found = find()
            assert found.predictor is not None
            best = found.validated[0].to_record()
            save_accuracy(found.predictor, space, run.path / ACCURACY, {"round": index + 1, "left_out": best})
            return found.to_record()

        ended = run.journal.ask(KIND, index, answer, lambda value: Round.from_record(value, space))
        best = ended.validated[0]
        rho = best.agreement.spearman.value
        on_note(
            f"round {index + 1} of {asked.rounds}: quality learnt from {best.agreement.count} networks by {best.kind} (left-out "
            f"Spearman {'unknown' if rho is None else f'{rho:.2f}'}), predicted for {ended.asked}"
        )
        return ended

    on_note(f"scoring {asked.learn} networks to learn quality from")
    found = accuracy_search(
        make_strategy("random", space, np.random.default_rng(config.seed), asked.learn),
        lambda size: make_strategy(
            config.strategy, space, np.random.default_rng([config.seed, 1]), size, context=context
        ),
        constraint,
        evaluate,
        space,
        asked,
        keep=keep,
        **options,
    )
    if not found.validated:
        on_note(f"quality was not predicted: {found.learnt_from} networks were scored before the search was over")
    return found


def accuracy_record(found: AccuracySearch | None, folder: Path) -> dict[str, Any] | None:
    """What was learnt in a run's folder and how well, as JSON; None for a search that predicted no quality.

    `kind`, `kendall` and `spearman` are of the last round's best predictor on networks left out of its learning; without a
    round they are None.
    """
    if found is None:
        return None
    rounds = [[one.to_record() for one in kinds] for kinds in found.validated]
    last: Mapping[str, Any] = rounds[-1][0] if rounds else {}
    return {
        **{name: last.get(name) for name in ("kind", "mae", "kendall", "spearman")},
        "samples": last.get("count", 0),
        "drawn": found.learnt_from,
        "chosen": len(found.history.candidates) - found.learnt_from,
        "asked": found.asked,
        "rounds": rounds,
        "file": str(folder / ACCURACY) if rounds else None,
    }
