"""Corrects a search's predictor by its measurements: the session's factor, and the right width of the intervals.

The measured architectures are not a random sample. They are predicted near the budget, and a search under a constraint
prefers architectures that the predictor believes to be faster than they are. Three things follow:

- An error compares a measurement with the prediction that the predictor made before it learnt that measurement.
- The errors of these architectures widen or narrow the intervals, because the search decides about such architectures.
- The session causes only a part of the error that all have in common. Neighbours in a search share operators, and with them
  errors; that part is for the predictor to learn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from latlas.latency.measuring.interval import Interval

SHARED = 0.5
"""Share of a prediction error's variance that the architectures of one search have in common, if the predictor learns."""
WIDENING_DF = 10
"""The prior belief that the predictor's intervals are right, as a number of measurements."""
WIDENING_RANGE = (0.7, 4.0)


@dataclass(frozen=True, slots=True)
class Tested:
    """A measurement with the prediction made before it, in milliseconds of the session.

    `base_ms` and `base_half` are the prediction, in its own milliseconds, and the relative half width of the predictor that
    the search began with. `unwidened` is the interval's relative half width without the widening.
    """

    measured: Interval
    predicted_ms: float
    lower_ms: float
    upper_ms: float
    unwidened: float
    base_ms: float
    base_half: float

    @property
    def error(self) -> float:
        """The error relative to the prediction; above 0 if the network is slower than predicted."""
        return self.measured.latency_ms / self.predicted_ms - 1

    @property
    def covered(self) -> bool:
        """Whether the predicted interval contains the measured value."""
        return self.lower_ms <= self.measured.latency_ms <= self.upper_ms


@dataclass(slots=True)
class Calibration:
    """Maps the predictor's milliseconds to the session's: they are multiplied by `scale` and by `factor`.

    `scale_error` is the relative standard error of `scale`. `learns` says whether the predictor learns measurements itself.
    """

    confidence: float
    scale: float = 1.0
    scale_error: float = 0.01
    learns: bool = True
    tested: list[Tested] = field(default_factory=list)

    @property
    def z(self) -> float:
        """An interval's half width in standard deviations."""
        return NormalDist().inv_cdf(0.5 + self.confidence / 2)

    def factor(self) -> tuple[float, float]:
        """The session's factor besides `scale`, and its relative standard error: 1 and `scale_error` before any measurement.

        It is the posterior mean from a normal prior about 1 and the mean log error of the predictor that the search began
        with. The variance of that mean is the shared part of a prediction's variance (`SHARED`), plus the rest divided by the
        number of measurements.
        """
        prior = self.scale_error**2
        if not self.tested or prior == 0:
            return 1.0, self.scale_error
        errors = [math.log(one.measured.latency_ms / (one.base_ms * self.scale)) for one in self.tested]
        spread = float(np.mean([(one.base_half / self.z) ** 2 for one in self.tested]))
        shared = SHARED if self.learns else 0.0
        variance = spread * (shared + (1 - shared) / len(errors))
        mean = float(np.mean(errors)) * prior / (prior + variance)
        return math.exp(mean), math.sqrt(prior * variance / (prior + variance))

    def widening(self) -> float:
        """The factor for the half widths of intervals: the root mean square of the errors, relative to the expected errors.

        A scaled inverse chi-square prior holds it near 1, as if `WIDENING_DF` measurements had the expected errors. The
        stopwatch has such a prior on the spread of passes.
        """
        scores = [self.z * one.error / one.unwidened for one in self.tested]
        square = (WIDENING_DF + sum(score**2 for score in scores)) / (WIDENING_DF + len(scores))
        return float(np.clip(math.sqrt(square), *WIDENING_RANGE))

    def report(self) -> dict[str, Any]:
        """How predictions compared with measurements during the search, as JSON. Shares are fractions, or None before any
        measurement."""
        factor, factor_error = self.factor()
        errors = np.array([one.error for one in self.tested])
        halves = [(one.upper_ms - one.lower_ms) / 2 / one.predicted_ms for one in self.tested]

        def of(value: Any) -> float | None:
            return float(value) if self.tested else None

        return {
            "predictions_tested": len(self.tested),
            "mape": of(np.abs(errors).mean() if self.tested else 0),
            "bias": of(errors.mean() if self.tested else 0),
            "worst": of(np.abs(errors).max() if self.tested else 0),
            "coverage": of(np.mean([one.covered for one in self.tested]) if self.tested else 0),
            "half_width": of(np.median(halves) if self.tested else 0),
            "scale": self.scale,
            "factor": factor,
            "factor_error": factor_error,
            "widening": self.widening(),
        }
