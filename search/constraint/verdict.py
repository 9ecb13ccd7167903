"""What the constraint takes and gives: anything with a graph, a predictor, verdicts, counts, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from latlas.latency.measuring.interval import relative_sd_of
from latlas.latency.predictor.predicts import HasGraph


@dataclass(slots=True)
class Counts:
    """What became of the architectures that were checked.

    `accepted` and `rejected` were decided, by prediction or by measuring; `measured` is how many of them were measured
    for that; `undecided` could not be measured any more and count as rejected. `false_accepts` were accepted by
    prediction and found above the budget when measured, `false_rejects` the reverse; both are of those that were measured
    after the decision, `verified`.
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
    """Whether an architecture is within the budget, and the milliseconds that say so."""

    feasible: bool
    latency_ms: float
    lower_ms: float
    upper_ms: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Learnt:
    """A measurement of the search in the predictor's milliseconds; `predicted_ms` as it was before it was measured."""

    architecture: HasGraph
    latency_ms: float
    lower_ms: float
    upper_ms: float
    predicted_ms: float

    @property
    def relative_sd(self) -> float:
        """Standard deviation of another reading over this one, by which the predictor weighs it (`interval.relative_sd_of`)."""
        return relative_sd_of(self.latency_ms, self.lower_ms, self.upper_ms)
