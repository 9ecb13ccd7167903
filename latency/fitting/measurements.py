"""Measurements of another environment, as a CSV file has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latlas.errors import UsageError
from latlas.latency.measuring.interval import relative_sd_of
from latlas.latency.predictor.transfer import UNKNOWN_ERROR
from latlas.spaces.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class Measurement:
    """A subnet measured in the new environment; the bounds are its 95 % interval, or None if it is not known."""

    architecture: Architecture
    latency_ms: float
    lower_ms: float | None = None
    upper_ms: float | None = None

    @property
    def relative_sd(self) -> float:
        """Relative standard deviation of another reading; see `interval.relative_sd_of`."""
        if self.lower_ms is None or self.upper_ms is None:
            return UNKNOWN_ERROR
        return relative_sd_of(self.latency_ms, self.lower_ms, self.upper_ms)


@dataclass(frozen=True, slots=True)
class MeasurementFile:
    """The measurements of a file, each network once.

    `repeated` is the number of networks with several lines. `noise_floor` is the mean relative difference of two latencies of
    one network; it is None if each network has one line.
    """

    measurements: list[Measurement]
    repeated: int
    noise_floor: float | None

    def figures(self) -> dict[str, Any]:
        """The figures about networks with several lines, as JSON."""
        return {"networks": len(self.measurements), "repeated": self.repeated, "noise_floor": self.noise_floor}


def read_measurements(
    path: Path, space: SearchSpace, target: str, column: str = "architecture", unit: str | None = None
) -> MeasurementFile:
    """The measurements of a CSV file. `lower_ms` and `upper_ms` are used if `target` is `latency_ms`.

    A network with several lines has the median of their latencies, and the medians of their bounds if all lines have bounds.

    Raises `UsageError` for a missing file or column, `FileFormatError` for values that cannot be right.
    """
    from latlas.latency.samples.read import architectures_of, read_samples, target_of
    from latlas.latency.samples.repeats import Repeats

    samples = read_samples(path)
    architectures, latencies = architectures_of(samples, space, column), target_of(samples, target, unit)
    if not np.all(np.isfinite(latencies)):
        raise UsageError(f"{path}: a latency of {target} is not finite")
    bounds = np.full((len(latencies), 2), np.nan)
    if target == "latency_ms" and {"lower_ms", "upper_ms"} <= set(samples.header):
        given = np.stack([target_of(samples, "lower_ms"), target_of(samples, "upper_ms")], axis=1)
        fits = (given[:, 0] <= latencies) & (latencies <= given[:, 1])
        bounds[fits] = given[fits]
    repeats = Repeats.of(space.encode(architectures))
    found = []
    for network in range(int(repeats.group.max(initial=-1)) + 1):
        lines = np.flatnonzero(repeats.group == network)
        lower, upper = np.median(bounds[lines], axis=0).tolist()  # not a number if a line has no bounds
        known = not np.isnan(lower)
        found.append(
            Measurement(
                architectures[lines[0]],
                float(np.median(latencies[lines])),
                lower if known else None,
                upper if known else None,
            )
        )
    return MeasurementFile(found, repeats.repeated, repeats.noise_floor(latencies))
