"""Makes a strategy from its name."""

from __future__ import annotations

import inspect

import numpy as np

from latlas.errors import UsageError
from latlas.registry import owner_of, resolve
from latlas.search.strategies.names import OPTUNA_STRATEGIES, REGISTRY
from latlas.search.strategies.strategy import Strategy, StrategyContext
from latlas.spaces.space import SearchSpace

_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def make_strategy(
    name: str,
    space: SearchSpace,
    rng: np.random.Generator,
    evaluations: int,
    *,
    context: StrategyContext | None = None,
) -> Strategy:
    """The strategy with this name, set up for so many evaluations.

    Raises `UsageError` for an unknown name; for a strategy that cannot be loaded, needs a package that is not installed or
    something that the context lacks; and for a storage that the strategy would not use.
    """
    entry, context = REGISTRY.get(name), context or StrategyContext()
    if context.storage is not None and not entry.stored:
        raise UsageError(f"strategy {name!r} keeps nothing in a storage; one of {', '.join(OPTUNA_STRATEGIES)} does")
    make = resolve(entry.make, f"strategy {name!r}")
    known = {"name": name, "space": space, "rng": rng, "evaluations": evaluations, "context": context}
    taken = inspect.signature(make).parameters
    needed = [key for key, one in taken.items() if one.default is one.empty and one.kind not in _COLLECTING]
    if not known.keys() >= set(needed):
        raise UsageError(
            f"strategy {name!r} of {owner_of(make)} takes {', '.join(needed)}; it may take {', '.join(known)}, "
            "and others that have a default"
        )
    strategy: Strategy = make(**{key: value for key, value in known.items() if key in taken})
    return strategy
