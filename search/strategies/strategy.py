"""The interface of strategies. A strategy only suggests architectures and learns; the loop checks and evaluates them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from latlas.latency.limits.additive import Additive
from latlas.spaces.space import Architecture

if TYPE_CHECKING:
    from latlas.search.gradient.distribution import Distribution


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A feasible architecture and its quality, 0..1, larger is better. `latency_ms` is the verdict's, or nan if not known."""

    architecture: Architecture
    quality: float
    latency_ms: float = math.nan


@dataclass(frozen=True, slots=True)
class Dropped:
    """A suggestion that was not evaluated.

    `excess_ms` says how far it lies outside: the verdict's upper bound minus the budget, or the floor minus the prediction. It is
    0 for a suggestion within both limits, such as a repeat or one that came too late.
    """

    architecture: Architecture
    excess_ms: float = 0.0


class Strategy(Protocol):
    """The whole interface of a search strategy.

    A strategy that wants to know which suggestions were not evaluated also has `dropped`, see `HearsDropped`.
    """

    name: str

    def suggest(self, count: int) -> list[Architecture]:
        """`count` architectures to try next, or fewer if there are no more.

        Repeats and infeasible architectures are allowed; the loop drops them.
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
    """What a strategy may know besides the space. Everything is optional.

    `terms` is the predictor as a sum, and `budget_ms` the limit; both are in milliseconds of this session. `distribution` is a
    trained distribution over codes. `storage` is where Optuna keeps the study named `study`, for processes that share a search.
    `near_share` is for `NearBest`.
    """

    terms: Additive | None = None
    budget_ms: float | None = None
    distribution: Distribution | None = None
    storage: str | None = None
    study: str | None = None
    near_share: float = 0.5
