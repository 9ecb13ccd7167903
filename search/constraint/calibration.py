"""What a search's measurements say of its predictor: the session's factor, and how wide its intervals ought to be.

The measured architectures are no random sample. They are predicted near the budget, and a search under a constraint
prefers those that the predictor takes for faster than they are. Three things follow. Each error is that of a prediction made
before the architecture was measured, and by the predictor as it was then. The intervals are widened, or narrowed, by
the errors of just this population: it is the one that is decided on. And what all errors have in common is only partly
the session's: neighbours in a search share operators, and so their errors; the rest is for the predictor to learn.
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
"""Measurements' worth of belief that the predictor's intervals are right."""
WIDENING_RANGE = (0.7, 4.0)


@dataclass(frozen=True, slots=True)
class Tested:
    """A prediction put to the test: milliseconds of the session, before the measurement was learnt from.

    `base_ms` is what the predictor that the search began with says, in its own milliseconds. `unwidened` is the relative half
    width that the interval had without the widening.
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
        """Relative to the prediction."""
        return self.measured.latency_ms / self.predicted_ms - 1

    @property
    def covered(self) -> bool:
        """Whether the interval held the measured value."""
        return self.lower_ms <= self.measured.latency_ms <= self.upper_ms


@dataclass(slots=True)
class Calibration:
    """A session's milliseconds are the predictor's times `scale` times `factor`.

    `scale_error` is the relative standard error of `scale`; `learns` whether the predictor learns measurements itself.
    """

    confidence: float
    scale: float = 1.0
    scale_error: float = 0.01
    learns: bool = True
    tested: list[Tested] = field(default_factory=list)

    @property
    def z(self) -> float:
        """Half widths of the intervals over a standard deviation."""
        return NormalDist().inv_cdf(0.5 + self.confidence / 2)

    def factor(self) -> tuple[float, float]:
        """The session's factor beside `scale`, and its relative standard error: 1 and `scale_error` at first.

        The posterior mean of a normal prior about 1 and the mean of the log errors of the predictor that the search began
        with, whose variance is `SHARED` of a prediction's and, of the rest, one part in the number of measurements.
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
        """What the half widths of intervals are multiplied with: the root mean square of the errors over the expected.

        The expected is there from the start, as so many (`WIDENING_DF`) measurements; a scaled inverse chi-square prior, as
        the stopwatch has on the spread of passes.
        """
        scores = [self.z * one.error / one.unwidened for one in self.tested]
        square = (WIDENING_DF + sum(score**2 for score in scores)) / (WIDENING_DF + len(scores))
        return float(np.clip(math.sqrt(square), *WIDENING_RANGE))

    def report(self) -> dict[str, Any]:
        """Predicted against measured during the search, as JSON; shares are fractions, None where nothing was measured."""
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
