"""Strategies made by name."""

from __future__ import annotations

import numpy as np

from latlas.errors import UsageError
from latlas.search.strategies.names import FRONT_STRATEGIES, OPTUNA_STRATEGIES, SEARCHED_BY, TRAINED_STRATEGIES
from latlas.search.strategies.strategy import Strategy, StrategyContext
from latlas.spaces.space import SearchSpace


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
    from latlas.search.strategies.evolution import ONCE_FOR_ALL, Evolution
    from latlas.search.strategies.front import FrontEvolution
    from latlas.search.strategies.random import NearBest, RandomSearch

    context = context or StrategyContext()
    population = max(4, min(100, evaluations // 3))
    if name in (*OPTUNA_STRATEGIES, "front-nsgaii"):
        from latlas.search.optuna.strategy import OptunaStrategy

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
    from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
    from latlas.search.gradient.strategy import DistributionStrategy

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
