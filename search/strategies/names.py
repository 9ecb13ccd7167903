"""The strategies by name. Their code is elsewhere, so that the command line can show the names without loading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from latlas.errors import UsageError
from latlas.registry import Registry


@dataclass(frozen=True, slots=True)
class StrategyEntry:
    """A strategy that a user can choose by name.

    `make` is a callable that returns a `Strategy`. Of `name`, `space`, `rng`, `evaluations` and `context` (a `StrategyContext`)
    it gets the arguments that it has parameters for. `make` can also be text, `my_package.strategy:Mine`; it is then loaded when
    the strategy is made. The flags mean:

    - `front`: it looks for the best networks at all latencies up to the budget, not for the one best network within it.
    - `trained`: it searches a distribution that the run trains first.
    - `predicted`: it can also search over predicted quality: it needs only evaluations, and thousands of them cost little.
    - `stored`: it can keep its trials in an Optuna storage.
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
"""Latlas' own strategies. Add a line here to add a strategy."""


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
    """Register a strategy under a name.

    Args:
        name: The name for `--strategy`.
        make: A class or function that makes the strategy, or its name as text, `my_package.strategy:Mine`; see
            `StrategyEntry`.
        front: Whether it looks for the best networks at all latencies up to the budget.
        predicted: Whether it can search over predicted quality, with `--accuracy-predictor`.

    Raises:
        UsageError: The name is taken (the message names both owners), or `make` is neither a callable nor text.

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
"""Names of the strategies that need a trained distribution in the context."""
PREDICTED_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.predicted)
"""Names of the strategies that can also search over predicted quality."""
STRATEGIES = tuple(name for name, entry in _OWN.items() if not entry.front)
"""Names of Latlas' own strategies that look for the best network within the budget."""
FRONT_STRATEGIES = tuple(name for name, entry in _OWN.items() if entry.front)
"""Names of Latlas' own strategies that look for the best networks at all latencies up to the budget."""
SEARCHED_BY = (*STRATEGIES, *FRONT_STRATEGIES)
"""Names of all of Latlas' own strategies, as the help of `search` lists them."""

ARCH_TRAININGS = ("decoupled", "alternating")
"""How architecture parameters are trained: with the supernet's weights fixed, or in turns with the weights of a copy."""
LATENCY_LOSSES = ("sum", "product")
"""The forms of a soft latency loss; see `gradient.soft_latency`."""
