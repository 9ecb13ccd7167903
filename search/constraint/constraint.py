"""The hard latency constraint: it accepts, rejects or measures architectures, and counts its decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray, IntArray
from latlas.errors import UsageError
from latlas.latency.measuring.interval import Interval
from latlas.latency.predictor.predictor import Prediction
from latlas.latency.predictor.predicts import HasGraph, Predicts
from latlas.latency.predictor.saved import SavedPredictor
from latlas.search.constraint.calibration import Calibration, Tested
from latlas.search.constraint.session_predictor import Key, SessionPredictor, key_of
from latlas.search.constraint.verdict import Counts, Learnt, Verdict
from latlas.spaces.space import SearchSpace

__all__ = ["Counts", "HasGraph", "Interval", "LatencyConstraint", "Learnt", "Predicts", "Verdict"]


class LatencyConstraint:
    """Accepts an architecture that is surely within the budget, rejects one that is surely not, and measures the others.

    An architecture is surely within the budget, or above it, if the whole predicted interval at `confidence` is. Measurements
    widen the intervals if they show them to be too narrow. A measured architecture is accepted only if the upper bound of its
    measurement is within the budget. The predictor learns each measurement.

    Args:
        predictor: A fitted predictor. Its milliseconds times `scale` are milliseconds of this session. A saved one also
            refuses architectures of another space than its own (`EnvironmentMismatchError`).
        budget_ms: The limit, in milliseconds of this session.
        measure: Measures an architecture for real; gives None for one that cannot be compiled or timed. Without it,
            predictions decide alone, and an architecture that they leave open is rejected.
        measure_all: Like `measure`, but measures several architectures in one campaign. This is better, because they are
            measured in turn.
        confidence: The confidence of the predicted interval.
        max_measurements: How many real measurements a search may spend on decisions.
        least_chance: An architecture is measured only if its predicted chance to be accepted is at least this; otherwise it
            is rejected. None: it is measured unless the lower bound of its interval is above the budget.
        scale: This session's milliseconds divided by the predictor's.
        scale_error: The relative standard error of `scale`. Measurements correct the scale.

    Example:
        >>> import latlas, numpy as np
        >>> predictor = latlas.load_predictor("predictor")
        >>> candidates = predictor.space.sample(20, np.random.default_rng(0))
        >>> budget_ms = float(np.median([one.latency_ms for one in predictor.predict(candidates)]))
        >>> constraint = latlas.LatencyConstraint(predictor, budget_ms)
        >>> feasible = [one for one, verdict in zip(candidates, constraint.check_all(candidates)) if verdict.feasible]
        >>> 0 < len(feasible) < 20
        True

        Above, architectures that predictions leave open are rejected. With `measure_all` they are measured. Here a stand-in
        for the clock does it; on a real machine `measure_all` calls `latlas.measure`.

        >>> def measure_all(networks):
        ...     return [Interval(one.latency_ms, one.latency_ms, one.latency_ms) for one in predictor.predict(networks)]
        >>> measuring = latlas.LatencyConstraint(predictor, budget_ms, measure_all=measure_all)
        >>> more = [one for one, verdict in zip(candidates, measuring.check_all(candidates)) if verdict.feasible]
        >>> len(more) >= len(feasible), measuring.counts.measured > 0
        (True, True)
    """

    def __init__(
        self,
        predictor: Predicts | SavedPredictor,
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
        self._saved = predictor if isinstance(predictor, SavedPredictor) else None
        if isinstance(predictor, SavedPredictor):
            predictor = predictor.predictor
        self.budget_ms = budget_ms
        self.confidence = confidence
        self.max_measurements = max_measurements
        self.counts = Counts()
        learns = hasattr(predictor, "updated")
        self.calibration = Calibration(confidence, scale, scale_error, learns)
        if measure_all is None and measure is not None:
            one_by_one = measure
            measure_all = lambda architectures: [one_by_one(one) for one in architectures]  # noqa: E731
        self._measure_all = measure_all
        self._session = SessionPredictor(predictor, self.calibration)
        self._failed: set[Key] = set()
        self._predicted: dict[Key, bool] = {}
        self._reading_margin: float | None = None
        # An architecture is not measured if the budget lies further below its prediction than this many half widths.
        self._reach = 1.0 if least_chance is None else NormalDist().inv_cdf(1 - least_chance) / self.calibration.z

    @property
    def predictor(self) -> Predicts:
        """The predictor the search began with, after it learnt this session's measurements. It predicts its own milliseconds."""
        return self._session.predictor

    @property
    def scale(self) -> float:
        """The current estimate of this session's milliseconds divided by the predictor's."""
        return self._session.scale

    def bounds(self, architectures: Sequence[HasGraph]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The predicted milliseconds of this session, and the lower and upper bounds, each `(len(architectures),)`."""
        if self._saved is not None:
            self._saved.require_own(architectures)
        return self._session.bounds(architectures)[:3]

    def bounds_of_codes(self, space: SearchSpace, codes: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What `bounds` gives, for a space's codes `(n, columns)`. This is the fastest way to predict many networks."""
        return self._session.bounds_of_codes(space, codes)[:3]

    def predict(self, architectures: Sequence[HasGraph]) -> list[Prediction]:
        """The predicted milliseconds of this session, with bounds."""
        return [Prediction(*row) for row in zip(*(x.tolist() for x in self.bounds(architectures)), strict=True)]

    def screen(self, architectures: Sequence[HasGraph]) -> npt.NDArray[np.int8]:
        """Decisions by prediction alone, `(len(architectures),)`: 1 within, -1 above, 0 open. It measures and counts nothing."""
        return self._screened(*self.bounds(architectures))

    def screen_codes(self, space: SearchSpace, codes: IntArray) -> npt.NDArray[np.int8]:
        """What `screen` gives, for a space's codes `(n, columns)`."""
        return self._screened(*self.bounds_of_codes(space, codes))

    def check(self, architecture: HasGraph) -> Verdict:
        """The verdict on one architecture. It is measured if the prediction leaves it open."""
        return self.check_all([architecture])[0]

    def check_all(self, architectures: Sequence[HasGraph]) -> list[Verdict]:
        """The verdict on each architecture. Those that predictions leave open are measured together."""
        keys = [key_of(one) for one in architectures]
        latest = self._session.latest
        new = {key: one for key, one in zip(keys, architectures, strict=True) if key not in latest}
        said: dict[Key, Verdict] = {}
        if new:
            latency, lower, upper = self.bounds(list(new.values()))
            screened = self._screened(latency, lower, upper)
            still: list[Key] = []
            rows = zip(*(x.tolist() for x in (latency, lower, upper, screened)), new, strict=True)
            for latency_ms, lower_ms, upper_ms, sign, key in rows:
                said[key] = Verdict(sign > 0, latency_ms, lower_ms, upper_ms, False)
                if sign:
                    self._predicted[key] = sign > 0
                else:
                    still.append(key)
            asked = self._ask({key: new[key] for key in still if key not in self._failed})
            self.counts.undecided += sum(key not in asked for key in still)
            said |= {key: self._verdict(interval) for key, interval in asked.items()}
            accepted = sum(one.feasible for one in said.values())
            self.counts.accepted += accepted
            self.counts.rejected += len(said) - accepted
        return [said[key] if key in said else self._verdict(latest[key]) for key in keys]

    def confirm(self, architecture: HasGraph, interval: Interval) -> Verdict:
        """The verdict from a measurement made elsewhere, such as a finalist's. If it refutes a decision by prediction, the
        counts say so."""
        return self.confirm_all([architecture], [interval])[0]

    def confirm_all(self, architectures: Sequence[HasGraph], intervals: Sequence[Interval]) -> list[Verdict]:
        """What `confirm` gives, for several architectures that were measured together."""
        found = {key_of(a): (a, interval) for a, interval in zip(architectures, intervals, strict=True)}
        for key, (_, interval) in found.items():
            # The decision that was made then; the predictor has learnt since and might decide otherwise now.
            accepted = self._predicted.pop(key, None)
            if accepted is not None:
                self.counts.verified += 1
                self.counts.false_accepts += accepted and interval.latency_ms > self.budget_ms
                self.counts.false_rejects += not accepted and interval.latency_ms <= self.budget_ms
        new = {key: one for key, one in found.items() if key not in self._session.tested}
        if new:
            self._learn(new)
        self._session.latest |= {key: interval for key, (_, interval) in found.items()}
        return [self._verdict(interval) for interval in intervals]

    def tested(self, architecture: HasGraph) -> Tested | None:
        """The measurement of an architecture and the prediction made before it; None if it was not measured."""
        found = self._session.tested.get(key_of(architecture))
        return found[1] if found else None

    def learnt(self) -> list[Learnt]:
        """The search's measurements in the predictor's milliseconds: samples for the saved predictor."""
        return self._session.learnt()

    def report(self) -> dict[str, Any]:
        """The budget, the counts, and how predictions compared with measurements, as JSON."""
        return {
            "budget_ms": self.budget_ms,
            "confidence": self.confidence,
            **asdict(self.counts),
            "prediction": self.calibration.report(),
        }

    def _screened(self, latency: FloatArray, lower: FloatArray, upper: FloatArray) -> npt.NDArray[np.int8]:
        # A measurement is accepted by its upper bound. If even the lowest likely measurement would fail, do not measure.
        lowest = (latency - self._reach * (latency - lower)) * (1 + (self._reading_margin or 0.0))
        within = upper <= self.budget_ms
        return within.astype(np.int8) - ((lowest > self.budget_ms) & ~within).astype(np.int8)

    def _ask(self, architectures: Mapping[Key, HasGraph]) -> dict[Key, Interval]:
        """Measure as many of the architectures as measurements are left for. The predictor learns the result."""
        chosen = list(architectures.items())[: max(0, self.max_measurements - self.counts.measured)]
        if self._measure_all is None or not chosen:
            return {}
        self.counts.measured += len(chosen)
        found: dict[Key, tuple[HasGraph, Interval]] = {}
        measured = self._measure_all([one for _, one in chosen])
        for (key, one), interval in zip(chosen, measured, strict=True):
            if interval is None:
                self._failed.add(key)
            else:
                found[key] = (one, interval)
        if found:
            self._learn(found)
        return {key: interval for key, (_, interval) in found.items()}

    def _learn(self, found: Mapping[Key, tuple[HasGraph, Interval]]) -> None:
        self._session.learn(found)
        margins = [interval.upper_ms / interval.latency_ms - 1 for _, interval in found.values()]
        self._reading_margin = min(self._reading_margin or math.inf, *margins)

    def _verdict(self, measured: Interval) -> Verdict:
        feasible = measured.upper_ms <= self.budget_ms
        return Verdict(feasible, measured.latency_ms, measured.lower_ms, measured.upper_ms, True)
