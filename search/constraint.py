"""The hard latency constraint: accept, reject, or measure, and keep count of how that went."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from latlas.latency.errors import UsageError
from latlas.latency.graph import Graph
from latlas.latency.predictor import LatencyPredictor, Prediction

DOUBT = 4.0
"""Weight of the belief that the predictor is unbiased, in measurements, when its bias is learnt from them."""


class HasGraph(Protocol):
    """Anything with a graph: an architecture of ours, or of somebody else's search."""

    def graph(self) -> Graph:
        """Its operators in topological order."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """Measured milliseconds with bounds."""

    latency_ms: float
    lower_ms: float
    upper_ms: float

    @classmethod
    def around(cls, latency_ms: float, half_ms: float) -> Interval:
        """The interval of a half width; its lower bound stays above zero."""
        return cls(latency_ms, max(latency_ms - half_ms, 1e-3 * latency_ms), latency_ms + half_ms)

    @property
    def half_ms(self) -> float:
        """Half of its width."""
        return (self.upper_ms - self.lower_ms) / 2


@dataclass(slots=True)
class Counts:
    """What became of the architectures that were checked.

    `accepted` and `rejected` were decided, by prediction or by measuring; `measured` is how many of them were measured
    for that; `undecided` could not be measured any more and count as rejected. `false_accepts` were accepted by
    prediction and found above the budget when measured, `false_rejects` the reverse.
    """

    accepted: int = 0
    rejected: int = 0
    measured: int = 0
    undecided: int = 0
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


class LatencyConstraint:
    """Accepts what is surely within the budget, rejects what is surely not, and measures what lies between.

    Surely is the predictor's interval at `confidence`. A measured architecture is accepted only if the upper bound of
    its measurement is within the budget. Measurements correct the predictor's bias for those that come after.

    Args:
        predictor: fitted; its milliseconds times `scale` are those of this session.
        budget_ms: the limit in milliseconds of this session.
        measure: measures an architecture for real, and gives None for one that cannot be compiled or timed; without it
            predictions alone decide, and what is in between is rejected.
        confidence: of the predictor's interval.
        max_measurements: how many real measurements a search may spend on deciding.
        scale: this session's reference latency over the predictor's.

    Example:
        >>> constraint = LatencyConstraint(predictor, budget_ms=3.5)           # doctest: +SKIP
        >>> feasible = [a for a in candidates if constraint.check(a).feasible]  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: LatencyPredictor,
        budget_ms: float,
        *,
        measure: Callable[[HasGraph], Interval | None] | None = None,
        confidence: float = 0.95,
        max_measurements: int = 50,
        scale: float = 1.0,
    ) -> None:
        if not (math.isfinite(budget_ms) and budget_ms > 0):
            raise UsageError(f"budget_ms is {budget_ms!r}; it must be a positive number of milliseconds")
        if not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"scale is {scale!r}; it must be positive")
        self.predictor = predictor
        self.budget_ms = budget_ms
        self.confidence = confidence
        self.max_measurements = max_measurements
        self.scale = scale
        self.counts = Counts()
        self._measure = measure
        self._margin = predictor.margin(confidence)
        self._log_errors: list[float] = []
        self._measured: dict[Graph, Interval] = {}
        self._predicted: dict[Graph, bool] = {}

    @property
    def bias(self) -> float:
        """Factor that measurements of this session put on predictions; 1 before there are any."""
        return math.exp(sum(self._log_errors) / (len(self._log_errors) + DOUBT))

    def predict(self, architectures: Sequence[HasGraph]) -> list[Prediction]:
        """Milliseconds of this session with bounds."""
        factor = self.scale * self.bias
        latencies = self.predictor.predict([a.graph() for a in architectures]) * factor
        return [Prediction(float(v), float(v * (1 - self._margin)), float(v * (1 + self._margin))) for v in latencies]

    def check(self, architecture: HasGraph) -> Verdict:
        """The verdict on one architecture, measuring it if the prediction cannot tell."""
        known = self._measured.get(architecture.graph())
        if known is not None:
            return self._verdict(known)
        predicted = self.predict([architecture])[0]
        if predicted.upper_ms <= self.budget_ms:
            self._predicted[architecture.graph()] = True
            return self._count(Verdict(True, predicted.latency_ms, predicted.lower_ms, predicted.upper_ms, False))
        surely_not = predicted.lower_ms > self.budget_ms
        if surely_not:
            self._predicted[architecture.graph()] = False
        if not surely_not and self._measure is not None and self.counts.measured < self.max_measurements:
            self.counts.measured += 1
            interval = self._measure(architecture)
            if interval is not None:
                return self._count(self._verdict(self._learn(architecture, interval)))
        self.counts.undecided += not surely_not
        return self._count(Verdict(False, predicted.latency_ms, predicted.lower_ms, predicted.upper_ms, False))

    def confirm(self, architecture: HasGraph, interval: Interval) -> Verdict:
        """The verdict of a measurement made elsewhere, such as that of a finalist; predictions that it refutes count."""
        graph = architecture.graph()
        # As it was decided then, not as the predictor, corrected by measurements since, would decide now.
        accepted = self._predicted.pop(graph, None)
        if accepted is not None:
            self.counts.false_accepts += accepted and interval.latency_ms > self.budget_ms
            self.counts.false_rejects += not accepted and interval.latency_ms <= self.budget_ms
        if graph not in self._measured:
            self._learn(architecture, interval)
        self._measured[graph] = interval
        return self._verdict(interval)

    def _learn(self, architecture: HasGraph, interval: Interval) -> Interval:
        predicted = float(self.predictor.predict([architecture.graph()])[0]) * self.scale
        self._log_errors.append(math.log(interval.latency_ms / predicted))
        self._measured[architecture.graph()] = interval
        return interval

    def _verdict(self, measured: Interval) -> Verdict:
        feasible = measured.upper_ms <= self.budget_ms
        return Verdict(feasible, measured.latency_ms, measured.lower_ms, measured.upper_ms, True)

    def _count(self, verdict: Verdict) -> Verdict:
        if verdict.feasible:
            self.counts.accepted += 1
        else:
            self.counts.rejected += 1
        return verdict


def extremes(
    choices: Sequence[Sequence[str]], latency_of: Callable[[Sequence[tuple[str, ...]]], Sequence[float]], sign: int = 1
) -> tuple[tuple[str, ...], float]:
    """The operators of least predicted latency (`sign` 1) or most (-1), and that latency.

    Coordinate descent from every uniform chain: each layer in turn takes its best operator until none changes. Latency
    is nearly additive over layers, which makes its optimum that of the space in all cases tried; what it finds is
    measured before anything is said on its strength.
    """
    names = dict.fromkeys(name for options in choices for name in options)
    starts = [tuple(name if name in options else options[0] for options in choices) for name in names]
    best = min(_descend(choices, start, lambda rows: [sign * value for value in latency_of(rows)]) for start in starts)
    return best[1], sign * best[0]


def _descend(
    choices: Sequence[Sequence[str]],
    best: tuple[str, ...],
    value_of: Callable[[Sequence[tuple[str, ...]]], Sequence[float]],
) -> tuple[float, tuple[str, ...]]:
    """The least value that changing one layer at a time reaches, and its operators."""
    best_value, changed = value_of([best])[0], True
    while changed:
        changed = False
        for layer, options in enumerate(choices):
            rows = [(*best[:layer], name, *best[layer + 1 :]) for name in options]
            value, row = min(zip(value_of(rows), rows, strict=True))
            if value < best_value:
                best_value, best, changed = value, row, True
    return best_value, best
