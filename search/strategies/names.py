"""Strategies by name, apart from what they are made of: the command line shows the names without loading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from latlas.errors import UsageError
from latlas.registry import Registry


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """A strategy that may be asked for by name.

    `make` makes it: called with those of `name`, `space`, `rng`, `evaluations` and `context` (a `StrategyContext`) that it
    takes as parameters, it returns a `Strategy`. It may be given as text, `my_package.strategy:Mine`, which is loaded when the
    strategy is made. One with `front` looks for the best networks at all latencies up to the budget, others for the best
    network within it. One with `trained` searches a distribution that the run trains first. One with `predicted` may search
    over predicted quality too: it needs nothing but evaluations, and thousands of them cost little. One with `stored` can keep
    its trials in a storage of Optuna's.
    """

    make: str | Callable[..., Any]
    front: bool = False
    trained: bool = False
    predicted: bool = False
    stored: bool = False


_OPTUNA = "latlas.search.optuna.strategy:OptunaStrategy"
_DISTRIBUTION = "latlas.search.gradient.strategy:"
_OWN = {
    "random": StrategyEntry("latlas.search.strategies.random:RandomSearch", predicted=True),
    "near_best": StrategyEntry("latlas.search.strategies.random:near_best", predicted=True),
    "evolution": StrategyEntry("latlas.search.strategies.evolution:evolution", predicted=True),
    "evolution-ofa": StrategyEntry("latlas.search.strategies.evolution:evolution_ofa", predicted=True),
    "reinforce": StrategyEntry(_DISTRIBUTION + "reinforce", predicted=True),
    "reinforce-adjacent": StrategyEntry(_DISTRIBUTION + "reinforce", predicted=True),
    "proxyless": StrategyEntry(_DISTRIBUTION + "proxyless", trained=True),
    "proxyless-adjacent": StrategyEntry(_DISTRIBUTION + "proxyless", trained=True),
    "optuna-grid": StrategyEntry(_OPTUNA, stored=True),
    "optuna-random": StrategyEntry(_OPTUNA, stored=True),
    "optuna-tpe": StrategyEntry(_OPTUNA, stored=True),
    "optuna-gp": StrategyEntry(_OPTUNA, stored=True),
    "optuna-nsgaii": StrategyEntry(_OPTUNA, stored=True),
    "optuna-cmaes": StrategyEntry(_OPTUNA, stored=True),
    "front-evolution": StrategyEntry("latlas.search.strategies.front:front_evolution", front=True),
    "front-nsgaii": StrategyEntry("latlas.search.optuna.strategy:front_nsgaii", front=True, stored=True),
}
"""Latlas' own; one more is a line here."""


def _read_entry(name: str, value: object) -> StrategyEntry:
    entry = value if isinstance(value, StrategyEntry) else StrategyEntry(value)  # type: ignore[arg-type]  # checked here
    if not (isinstance(entry.make, str) or callable(entry.make)):
        raise UsageError(f"it is {value!r:.80}; it must be a callable that makes a strategy, or a StrategyEntry")
    return entry


REGISTRY: Registry[StrategyEntry] = Registry(
    "strategy", "latlas.strategies", read=_read_entry, definition=lambda entry: entry.make
)
for _name, _entry in _OWN.items():
    REGISTRY.add(_name, _entry)


def register_strategy(
    name: str, make: str | Callable[..., Any], *, front: bool = False, predicted: bool = False
) -> None:
    """Make a strategy known by its name.

    Args:
        name: What `--strategy` is given.
        make: A class or function that makes it, or its name as text, `my_package.strategy:Mine`; see `StrategyEntry.make`.
        front: Whether it looks for the best networks at all latencies up to the budget.
        predicted: Whether it may search over predicted quality, with `--accuracy-predictor`.

    Raises:
        UsageError: The name is taken, which names both owners, or `make` is none.

    Example:
        >>> import latlas
        >>> class FromTheStart:
        ...     def __init__(self, space, rng):
        ...         self.space, self.asked = space, 0
        ...     def suggest(self, count):
        ...         first, self.asked = self.asked, self.asked + count
        ...         start = [0] * (len(self.space.choices) - 1)
        ...         return self.space.decode([[*start, last] for last in range(first, self.asked)])
        ...     def update(self, completed):
        ...         pass  # it learns nothing from what was evaluated
        >>> latlas.register_strategy("from-the-start", FromTheStart)
    """
    REGISTRY.add(name, _read_entry(name, StrategyEntry(make, front=front, predicted=predicted)))


OPTUNA_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.stored and not entry.front)
TRAINED_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.trained)
"""Names of those that need a trained distribution in the context."""
PREDICTED_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.predicted)
"""Names of those that search over predicted quality too: they need nothing but evaluations, and thousands cost little."""
STRATEGIES = tuple(name for name, entry in _OWN.items() if not entry.front)
"""Latlas' own that look for the best network within the budget."""
FRONT_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.front)
"""Latlas' own that look for the best networks at all latencies up to the budget."""
SEARCHED_BY = (*STRATEGIES, *FRONT_STRATEGIES)
"""Latlas' own: what the help of `search` lists."""

ARCH_TRAININGS = ("decoupled", "alternating")
"""How architecture parameters are trained: with the supernet's weights fixed, or in turns with those of a copy."""
LATENCY_LOSSES = ("sum", "product")
"""Forms of a soft latency loss; see `gradient.soft_latency`."""
