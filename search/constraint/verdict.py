"""The constraint's results: verdicts, counts, and measurements for the predictor to learn."""

from __future__ import annotations

from dataclasses import dataclass

from latlas.latency.measuring.interval import relative_sd_of
from latlas.latency.predictor.predicts import HasGraph


@dataclass(slots=True)
class Counts:
    """How many architectures were checked, and how.

    `accepted` and `rejected` count the decisions, made by prediction or by measurement. `measured` counts the measurements made
    to decide. `undecided` architectures could not be measured any more and count as rejected. `verified` counts architectures
    that were decided by prediction and measured later. Of these, `false_accepts` were accepted but are above the budget, and
    `false_rejects` were rejected but are within it.
    """

    accepted: int = 0
    rejected: int = 0
    measured: int = 0
    undecided: int = 0
    verified: int = 0
    false_accepts: int = 0
    false_rejects: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an architecture is within the budget, and the milliseconds that decided it."""

    feasible: bool
    latency_ms: float
    lower_ms: float
    upper_ms: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Learnt:
    """A measurement of the search in the predictor's milliseconds. `predicted_ms` is the prediction made before it."""

    architecture: HasGraph
    latency_ms: float
    lower_ms: float
    upper_ms: float
    predicted_ms: float

    @property
    def relative_sd(self) -> float:
        """The relative standard deviation of another reading, by which the predictor weighs this one."""
        return relative_sd_of(self.latency_ms, self.lower_ms, self.upper_ms)
