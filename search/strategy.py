"""Strategies: what to try next. They only suggest and learn; the loop applies the constraint and evaluates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from latlas.latency.errors import UsageError
from latlas.search.feasible import Additive
from latlas.search.strategy_names import FRONT_STRATEGIES, OPTUNA_STRATEGIES, SEARCHED_BY, TRAINED_STRATEGIES
from latlas.supernet.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from latlas.search.distribution import Distribution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A feasible architecture and its quality, larger better, from 0 to 1; `latency_ms` of the verdict where it is known."""

    architecture: Architecture
    quality: float
    latency_ms: float = math.nan


@dataclass(frozen=True, slots=True)
class Dropped:
    """A suggestion that was not evaluated.

    `excess_ms` is how far it lies outside: above 0 by how much the verdict's upper bound is over the budget, or the
    prediction below the floor; 0 where it was within both, as a repeat is, or what came too late.
    """

    architecture: Architecture
    excess_ms: float = 0.0


class Strategy(Protocol):
    """The whole interface of a search strategy.

    One that wants to hear what became of suggestions that were not evaluated also has `dropped`, of `HearsDropped`.
    """

    name: str

    def suggest(self, count: int) -> list[Architecture]:
        """`count` architectures to try next, fewer where there are no more.

        Repeats and infeasible ones are the loop's to drop.
        """
        ...

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Learn from evaluated architectures."""
        ...


class HearsDropped(Protocol):
    """A strategy that is told which of its suggestions were dropped."""

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Learn from suggestions that were not evaluated."""
        ...


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """What a strategy may know beside the space; each may be left out.

    `terms` and `budget_ms` are the predictor as a sum and the limit, both in milliseconds of this session. `distribution` is a
    trained one over codes. `storage` is where Optuna keeps the study named `study`, for processes that share a search.
    `near_share` is that of `NearBest`.
    """

    terms: Additive | None = None
    budget_ms: float | None = None
    distribution: Distribution | None = None
    storage: str | None = None
    study: str | None = None
    near_share: float = 0.5


def make_strategy(
    name: str,
    space: SearchSpace,
    rng: np.random.Generator,
    evaluations: int,
    *,
    context: StrategyContext | None = None,
) -> Strategy:
    """The strategy of a name, sized for so many evaluations.

    Raises `UsageError` for an unknown one, for one that needs what is not installed or what the context lacks, and for a
    storage that it would not use.
    """
    from latlas.search.evolution import ONCE_FOR_ALL, Evolution
    from latlas.search.multi_objective import FrontEvolution
    from latlas.search.near_best import NearBest
    from latlas.search.random_search import RandomSearch

    context = context or StrategyContext()
    population = max(4, min(100, evaluations // 3))
    if name in (*OPTUNA_STRATEGIES, "front-nsgaii"):
        from latlas.search.optuna_strategy import OptunaStrategy

        return OptunaStrategy(name, space, rng, evaluations, context, objectives=2 if name in FRONT_STRATEGIES else 1)
    if context.storage is not None:
        raise UsageError(f"strategy {name!r} keeps nothing in a storage; one of {', '.join(OPTUNA_STRATEGIES)} does")
    if name == "random":
        return RandomSearch(space, rng)
    if name == "near_best":
        return NearBest(space, rng, near_share=context.near_share)
    if name == "evolution":
        return Evolution(space, rng, population=population)
    if name == "evolution-ofa":
        return Evolution(space, rng, name=name, **ONCE_FOR_ALL)
    if name == "front-evolution":
        return FrontEvolution(space, rng, population=max(8, min(100, evaluations // 20)))
    if name in ("reinforce", "reinforce-adjacent", *TRAINED_STRATEGIES):
        return _of_distribution(name, space, rng, context)
    raise UsageError(f"unknown strategy {name!r}; known: {', '.join(SEARCHED_BY)}")


def _of_distribution(name: str, space: SearchSpace, rng: np.random.Generator, context: StrategyContext) -> Strategy:
    """`reinforce` learns one from next to uniform, `proxyless` searches a trained one; of layers, or of adjacent ones."""
    from latlas.search.distribution import AdjacentWeights, LayerWeights
    from latlas.search.distribution_strategy import DistributionStrategy

    kind = AdjacentWeights if name.endswith("-adjacent") else LayerWeights
    distribution, learns = context.distribution, name not in TRAINED_STRATEGIES
    if learns:
        distribution = kind.initial(tuple(len(options) for options in space.choices), rng)
    elif not isinstance(distribution, kind):
        given = "none" if distribution is None else type(distribution).__name__
        raise UsageError(f"strategy {name!r} searches trained {kind.__name__}, {given} was given; train them first")
    terms, budget_ms = context.terms, context.budget_ms
    if terms is None or budget_ms is None:
        terms = budget_ms = None
    return DistributionStrategy(space, rng, distribution, terms=terms, budget_ms=budget_ms, learns=learns, name=name)
