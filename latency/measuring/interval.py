"""A measured latency with bounds: where another campaign's reading of the same network is to be expected."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

READING_CONFIDENCE = 0.95
"""What the bounds of a reading hold another one with; see `stopwatch.combine`."""
READING_Z = NormalDist().inv_cdf(0.5 + READING_CONFIDENCE / 2)
SESSION_SD = 0.002
"""What a network's readings in the campaigns of a session differ by beyond what their passes say, relative, once the
campaign's scale is taken out. In 30 pairs of six passes each, the difference's standard deviation was 0.64 %, and the passes'
own 0.62 to 0.82 %."""


def relative_sd_of(
    latency_ms: float, lower_ms: float, upper_ms: float, confidence: float = READING_CONFIDENCE
) -> float:
    """The standard deviation of another campaign's reading about this one, over this one, as the bounds say it.

    A predictor weighs a sample by it, as predictions are held against readings.
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
        """The interval of a half width; its lower bound stays above zero."""
        return cls(latency_ms, max(latency_ms - half_ms, 1e-3 * latency_ms), latency_ms + half_ms)

    def over(self, scale: float, error: float) -> Interval:
        """The interval divided by a scale that is known to a relative standard error, as another reading's would be."""
        half = math.hypot(self.half_ms / self.latency_ms, READING_Z * math.sqrt(2) * error)
        return Interval.around(self.latency_ms / scale, half * self.latency_ms / scale)

    @property
    def half_ms(self) -> float:
        """Half of its width."""
        return (self.upper_ms - self.lower_ms) / 2

    @property
    def relative_se(self) -> float:
        """The reading's own standard error over it: the bounds are for the difference of two such readings."""
        return self.half_ms / self.latency_ms / READING_Z / math.sqrt(2)

    def upper_at(self, confidence: float) -> float:
        """The milliseconds below which another reading stays with this confidence; `upper_ms` is that of 0.975."""
        return self.latency_ms + (self.upper_ms - self.latency_ms) * NormalDist().inv_cdf(confidence) / READING_Z


def pooled(readings: Sequence[Interval]) -> Interval:
    """One interval of several readings of a network within a session.

    Their mean, by precision. What campaigns differ by (`SESSION_SD`) is taken to be shared by all readings of a
    session, and is not averaged out; nor is the error that the next reading will have.
    """
    if len(readings) == 1:
        return readings[0]
    own = [max(one.relative_se**2 - SESSION_SD**2, 1e-8) for one in readings]
    weights = [1 / value for value in own]
    latency_ms = sum(w * one.latency_ms for w, one in zip(weights, readings, strict=True)) / sum(weights)
    mean_error = 1 / sum(weights) + SESSION_SD**2
    another = sum(own) / len(own) + SESSION_SD**2
    return Interval.around(latency_ms, READING_Z * math.sqrt(mean_error + another) * latency_ms)
