"""A measured latency with bounds: another campaign's reading of the same network is expected between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

READING_CONFIDENCE = 0.95
"""How often another reading lies within the bounds of a reading; see `stopwatch.combine`."""
READING_Z = NormalDist().inv_cdf(0.5 + READING_CONFIDENCE / 2)
SESSION_SD = 0.002
"""Relative standard deviation between a network's readings in the campaigns of one session, beyond what their passes say.
The campaign's scale is taken out before. In 30 pairs of six passes each, the difference had a standard deviation of 0.64 %,
and the passes alone explained 0.62 to 0.82 %."""


def relative_sd_of(
    latency_ms: float, lower_ms: float, upper_ms: float, confidence: float = READING_CONFIDENCE
) -> float:
    """The relative standard deviation of another campaign's reading about this one, from the bounds.

    A predictor weighs a sample by it, because predictions are compared with readings.
    """
    return max(0.0, upper_ms - lower_ms) / 2 / NormalDist().inv_cdf(0.5 + confidence / 2) / latency_ms


@dataclass(frozen=True, slots=True)
class Interval:
    """Measured milliseconds with bounds."""

    latency_ms: float
    lower_ms: float
    upper_ms: float

    @classmethod
    def around(cls, latency_ms: float, half_ms: float) -> Interval:
        """The interval with a latency and a half width; its lower bound stays above zero."""
        return cls(latency_ms, max(latency_ms - half_ms, 1e-3 * latency_ms), latency_ms + half_ms)

    def over(self, scale: float, error: float) -> Interval:
        """The interval divided by a scale, and widened by the scale's relative standard error."""
        half = math.hypot(self.half_ms / self.latency_ms, READING_Z * math.sqrt(2) * error)
        return Interval.around(self.latency_ms / scale, half * self.latency_ms / scale)

    @property
    def half_ms(self) -> float:
        """Half of the interval's width."""
        return (self.upper_ms - self.lower_ms) / 2

    @property
    def relative_se(self) -> float:
        """The reading's own relative standard error; the bounds are wider, as they hold the difference of two such readings."""
        return self.half_ms / self.latency_ms / READING_Z / math.sqrt(2)

    def upper_at(self, confidence: float) -> float:
        """Another reading stays below these milliseconds with this confidence; at 0.975 they are `upper_ms`."""
        return self.latency_ms + (self.upper_ms - self.latency_ms) * NormalDist().inv_cdf(confidence) / READING_Z


def pooled(readings: Sequence[Interval]) -> Interval:
    """One interval from several readings of a network within a session.

    It is their mean, weighted by precision. The difference between campaigns (`SESSION_SD`) is assumed to be the same for all
    readings of a session, so it is not averaged out. Neither is the error of the next reading.
    """
    if len(readings) == 1:
        return readings[0]
    own = [max(one.relative_se**2 - SESSION_SD**2, 1e-8) for one in readings]
    weights = [1 / value for value in own]
    latency_ms = sum(w * one.latency_ms for w, one in zip(weights, readings, strict=True)) / sum(weights)
    mean_error = 1 / sum(weights) + SESSION_SD**2
    another = sum(own) / len(own) + SESSION_SD**2
    return Interval.around(latency_ms, READING_Z * math.sqrt(mean_error + another) * latency_ms)
