"""How many networks take how long: the share of them within a budget, and the budget that a share is within."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """Which share of a space's networks is predicted within a budget: between `lower` and `upper`.

    `error_ms` is how far the bins may have moved a network; 0 where they were counted one by one.
    """

    lower: float
    upper: float
    error_ms: float


class Histogram:
    """Shares `(bins,)` of all networks, the first bin at `least_ms`, that were moved by at most `error_ms`.

    `fastest_ms` and `slowest_ms` are exact.
    """

    def __init__(
        self,
        shares: FloatArray,
        least_ms: float,
        width_ms: float,
        limits_ms: tuple[float, float],
        error_ms: float,
    ) -> None:
        self.fastest_ms, self.slowest_ms = limits_ms
        self.error_ms = error_ms
        self.least_ms, self.width_ms = least_ms, width_ms
        self._shares, self._below = shares, np.cumsum(shares)

    def share(self, budget_ms: float) -> Share:
        """Which share of all networks has at most `budget_ms`."""
        if not self.fastest_ms <= budget_ms < self.slowest_ms:
            all_or_none = float(budget_ms >= self.slowest_ms)
            return Share(all_or_none, all_or_none, 0.0)
        lower, upper = (self._at(budget_ms + sign * self.error_ms) for sign in (-1, 1))
        return Share(lower, min(1.0, upper), self.error_ms)

    def quantile(self, share: float) -> float:
        """The milliseconds within which this share of all networks is, give or take `error_ms`."""
        index = int(np.searchsorted(self._below, share * (1 - 1e-12)))
        return min(max(self.least_ms + self.width_ms * index, self.fastest_ms), self.slowest_ms)

    def in_bins_of(self, width_ms: float) -> FloatArray:
        """Its shares in bins of another width, the first at `least_ms` too; moved by half of one at most."""
        places = np.rint(np.arange(len(self._shares)) * (self.width_ms / width_ms)).astype(int)
        return np.bincount(places, weights=self._shares).astype(np.float64)

    def _at(self, limit_ms: float) -> float:
        index = int(np.floor((limit_ms - self.least_ms) / self.width_ms + 1e-9))
        return float(self._below[min(index, len(self._below) - 1)]) if index >= 0 else 0.0
