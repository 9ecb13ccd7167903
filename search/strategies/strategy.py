"""Strategies: what to try next. They only suggest and learn; the loop applies the constraint and evaluates."""

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
    `near_share` is for `NearBest`, see there.
    """

    terms: Additive | None = None
    budget_ms: float | None = None
    distribution: Distribution | None = None
    storage: str | None = None
    study: str | None = None
    near_share: float = 0.5
