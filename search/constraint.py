"""The hard latency constraint: accept, reject, or measure, and keep count of how that went."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.latency.errors import UsageError
from latlas.latency.graph import Graph
from latlas.latency.predictor import Prediction
from latlas.search.calibration import Calibration, Tested
from latlas.search.interval import Interval, stated_error
from latlas.search.verdict import Counts, HasGraph, Learnt, Predicts, Verdict

__all__ = ["Counts", "HasGraph", "Interval", "LatencyConstraint", "Learnt", "Predicts", "Verdict"]

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float64]


class LatencyConstraint:
    """Accepts what is surely within the budget, rejects what is surely not, and measures what lies between.

    Surely is the predictor's interval at `confidence`, widened where what was measured asks for it. A measured architecture
    is accepted only if the upper bound of its measurement is within the budget. The predictor learns each measurement.

    Args:
        predictor: fitted; its milliseconds times `scale` are those of this session.
        budget_ms: the limit in milliseconds of this session.
        measure: measures an architecture for real, and gives None for one that cannot be compiled or timed. Without it
            predictions alone decide, and what is in between is rejected.
        measure_all: as `measure`, of several in one campaign: better, as they are measured in turn.
        confidence: of the predictor's interval.
        max_measurements: how many real measurements a search may spend on deciding.
        least_chance: of being accepted, that an architecture must have to be measured, as predicted; others are rejected.
            Without it the lower bound of the interval decides alone.
        scale: this session's milliseconds over the predictor's.
        scale_error: the relative standard error of `scale`; what is measured corrects it.

    Example:
        >>> constraint = LatencyConstraint(predictor, budget_ms=3.5)           # doctest: +SKIP
        >>> feasible = [a for a in candidates if constraint.check(a).feasible]  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: Predicts,
        budget_ms: float,
        *,
        measure: Callable[[HasGraph], Interval | None] | None = None,
        measure_all: Callable[[Sequence[HasGraph]], Sequence[Interval | None]] | None = None,
        confidence: float = 0.95,
        max_measurements: int = 50,
        least_chance: float | None = None,
        scale: float = 1.0,
        scale_error: float = 0.01,
    ) -> None:
        if not (math.isfinite(budget_ms) and budget_ms > 0):
            raise UsageError(f"budget_ms is {budget_ms!r}; it must be a positive number of milliseconds")
        if not (math.isfinite(scale) and scale > 0):
            raise UsageError(f"scale is {scale!r}; it must be positive")
        if not 0 <= scale_error < 1:
            raise UsageError(f"scale_error is {scale_error!r}; it must be at least 0 and below 1, as 0.01 for 1 %")
        if not 0 < confidence < 1:
            raise UsageError(f"confidence is {confidence!r}; it must lie between 0 and 1, as 0.95")
        if least_chance is not None and not 0 < least_chance <= 0.5:
            raise UsageError(f"least_chance is {least_chance!r}; it must be above 0 and at most 0.5, as 0.2")
        self.budget_ms = budget_ms
        self.confidence = confidence
        self.max_measurements = max_measurements
        self.counts = Counts()
        self.calibration = Calibration(confidence, scale, scale_error, _learns(predictor))
        if measure_all is None and measure is not None:
            one_by_one = measure
            measure_all = lambda architectures: [one_by_one(one) for one in architectures]  # noqa: E731
        self._measure_all = measure_all
        self._base = self._updated = predictor
        self._stale = False
        self._measured: dict[Graph, Interval] = {}
        self._failed: set[Graph] = set()
        self._tested: dict[Graph, tuple[HasGraph, Tested]] = {}
        self._predicted: dict[Graph, bool] = {}
        self._reading_margin: float | None = None
        # How much of an interval's half width below the prediction the budget must lie at least, for it to be measured.
        self._reach = 1.0 if least_chance is None else NormalDist().inv_cdf(1 - least_chance) / self.calibration.z

    @property
    def predictor(self) -> Predicts:
        """The predictor that the search began with, having learnt what was measured since; its own milliseconds."""
        if self._stale and self.calibration.learns:
            # From the start each time: the session's factor, which all are divided by, changes with every measurement.
            scale, intervals = self.scale, [self._measured[graph] for graph in self._tested]
            try:
                self._updated = self._base.updated(  # type: ignore[attr-defined]  # asked for by hasattr
                    list(self._tested),
                    [one.latency_ms / scale for one in intervals],
                    [stated_error(one.latency_ms, one.lower_ms, one.upper_ms) for one in intervals],
                )
            except UsageError as error:  # one of an earlier version; the session's factor is then all that learns
                log.warning("%s; the search goes on with it as it is", error)
                self.calibration.learns = False
        self._stale = False
        return self._updated

    @property
    def scale(self) -> float:
        """This session's milliseconds over the predictor's, as far as it is known by now."""
        return self.calibration.scale * self.calibration.factor()[0]

    def bounds(self, architectures: Sequence[HasGraph]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Predicted milliseconds of this session with the interval's bounds, each `(len(architectures),)`."""
        return self._bounds([one.graph() for one in architectures])[:3]

    def predict(self, architectures: Sequence[HasGraph]) -> list[Prediction]:
        """Milliseconds of this session with bounds."""
        return [Prediction(*row) for row in zip(*(x.tolist() for x in self.bounds(architectures)), strict=True)]

    def screen(self, architectures: Sequence[HasGraph]) -> npt.NDArray[np.int8]:
        """What predictions say, `(len(architectures),)`: 1 within, -1 above, 0 open. Measures and counts nothing."""
        return self._screened(*self.bounds(architectures))

    def check(self, architecture: HasGraph) -> Verdict:
        """The verdict on one architecture, measuring it if the prediction cannot tell."""
        return self.check_all([architecture])[0]

    def check_all(self, architectures: Sequence[HasGraph]) -> list[Verdict]:
        """The verdict on each architecture; those that predictions leave open are measured together."""
        graphs = [one.graph() for one in architectures]
        new = {g: one for g, one in zip(graphs, architectures, strict=True) if g not in self._measured}
        said: dict[Graph, Verdict] = {}
        if new:
            latency, lower, upper, _ = self._bounds(list(new))
            screened = self._screened(latency, lower, upper)
            for row, graph in enumerate(new):
                said[graph] = Verdict(
                    bool(screened[row] > 0), float(latency[row]), float(lower[row]), float(upper[row]), False
                )
                if screened[row]:
                    self._predicted[graph] = said[graph].feasible
            still = [graph for row, graph in enumerate(new) if not screened[row]]
            asked = self._ask([new[graph] for graph in still if graph not in self._failed])
            self.counts.undecided += sum(graph not in asked for graph in still)
            said |= {graph: self._verdict(interval) for graph, interval in asked.items()}
            for graph in new:
                self.counts.accepted += said[graph].feasible
                self.counts.rejected += not said[graph].feasible
        return [said[graph] if graph in said else self._verdict(self._measured[graph]) for graph in graphs]

    def confirm(self, architecture: HasGraph, interval: Interval) -> Verdict:
        """The verdict of a measurement made elsewhere, such as that of a finalist; predictions that it refutes count."""
        return self.confirm_all([architecture], [interval])[0]

    def confirm_all(self, architectures: Sequence[HasGraph], intervals: Sequence[Interval]) -> list[Verdict]:
        """As `confirm`, of several that were measured together."""
        found = {a.graph(): (a, interval) for a, interval in zip(architectures, intervals, strict=True)}
        for graph, (_, interval) in found.items():
            # As it was decided then, not as the predictor, corrected by measurements since, would decide now.
            accepted = self._predicted.pop(graph, None)
            if accepted is not None:
                self.counts.verified += 1
                self.counts.false_accepts += accepted and interval.latency_ms > self.budget_ms
                self.counts.false_rejects += not accepted and interval.latency_ms <= self.budget_ms
        new = {graph: one for graph, one in found.items() if graph not in self._tested}
        if new:
            self._learn(new)
        self._measured |= {graph: interval for graph, (_, interval) in found.items()}
        return [self._verdict(interval) for interval in intervals]

    def tested(self, architecture: HasGraph) -> Tested | None:
        """What was predicted of an architecture before it was measured, and what was measured; None before."""
        found = self._tested.get(architecture.graph())
        return found[1] if found else None

    def learnt(self) -> list[Learnt]:
        """What the search measured, in the predictor's milliseconds: samples for the saved predictor."""
        scale, samples = self.scale, []
        for graph, (architecture, tested) in self._tested.items():
            latest = self._measured[graph]
            bounds = (latest.latency_ms / scale, latest.lower_ms / scale, latest.upper_ms / scale)
            samples.append(Learnt(architecture, *bounds, tested.predicted_ms / scale))
        return samples

    def report(self) -> dict[str, Any]:
        """Budget, counts, and how predictions compared with what was measured, as JSON."""
        return {
            "budget_ms": self.budget_ms,
            "confidence": self.confidence,
            **asdict(self.counts),
            "prediction": self.calibration.report(),
        }

    def _bounds(self, graphs: Sequence[Graph]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Milliseconds, bounds, and the relative half widths without the widening."""
        plain = self.predictor.predict_interval(graphs, self.confidence)
        latency = np.array([one.latency_ms for one in plain])
        half = np.array([(one.upper_ms - one.lower_ms) / 2 for one in plain]) / latency
        factor, factor_error = self.calibration.factor()
        unwidened = np.hypot(half, self.calibration.z * factor_error)
        latency = latency * (self.calibration.scale * factor)
        share = np.minimum(unwidened * self.calibration.widening(), 0.99)
        return latency, latency * (1 - share), latency * (1 + share), unwidened

    def _screened(self, latency: FloatArray, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.int8]:
        # A reading is accepted by its upper bound: what would not be if it were read at its lowest need not be measured.
        lowest = (latency - self._reach * (latency - lower)) * (1 + (self._reading_margin or 0.0))
        within = upper <= self.budget_ms
        return within.astype(np.int8) - ((lowest > self.budget_ms) & ~within).astype(np.int8)

    def _ask(self, architectures: Sequence[HasGraph]) -> dict[Graph, Interval]:
        """Measured milliseconds of those that there are measurements left for, and learns them."""
        chosen = architectures[: max(0, self.max_measurements - self.counts.measured)]
        if self._measure_all is None or not chosen:
            return {}
        self.counts.measured += len(chosen)
        found: dict[Graph, tuple[HasGraph, Interval]] = {}
        for one, interval in zip(chosen, self._measure_all(chosen), strict=True):
            if interval is None:
                self._failed.add(one.graph())
            else:
                found[one.graph()] = (one, interval)
        if found:
            self._learn(found)
        return {graph: interval for graph, (_, interval) in found.items()}

    def _learn(self, found: dict[Graph, tuple[HasGraph, Interval]]) -> None:
        graphs = list(found)
        base = self._base.predict_interval(graphs, self.confidence)
        rows = zip(*self._bounds(graphs), base, found.items(), strict=True)
        for latency, lower, upper, unwidened, start, (graph, (architecture, interval)) in rows:
            half = (start.upper_ms - start.lower_ms) / 2 / start.latency_ms
            tested = Tested(
                interval, float(latency), float(lower), float(upper), float(unwidened), start.latency_ms, half
            )
            self.calibration.tested.append(tested)
            self._tested[graph] = (architecture, tested)
            self._measured[graph] = interval
            margin = interval.upper_ms / interval.latency_ms - 1
            self._reading_margin = min(margin, self._reading_margin or math.inf)
        self._stale = True

    def _verdict(self, measured: Interval) -> Verdict:
        feasible = measured.upper_ms <= self.budget_ms
        return Verdict(feasible, measured.latency_ms, measured.lower_ms, measured.upper_ms, True)


def _learns(predictor: Predicts) -> bool:
    return hasattr(predictor, "updated") and bool(getattr(predictor, "learns", True))
