"""How well two scores agree in ranking architectures: Kendall's tau-b and Spearman's rho, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, norm, spearmanr

from latlas.arrays import FloatArray
from latlas.errors import UsageError

LEAST_PAIRS = 4
"""With fewer architectures there is no interval."""
_BOUNDS = ("value", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its interval. They are None if there are too few architectures, or all scores are equal."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Kendall's tau-b and Spearman's rho, each from -1 to 1, of two scores of `count` architectures."""

    count: int
    kendall: Estimate
    spearman: Estimate

    def to_record(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RankAgreement:
        """The value that `to_record` wrote; raises `KeyError`, `TypeError` or `ValueError` for others."""
        found = {}
        for name in ("kendall", "spearman"):
            values = {key: None if (value := record[name][key]) is None else float(value) for key in _BOUNDS}
            if any(value is not None and not -1 <= value <= 1 for value in values.values()):
                raise ValueError(f"{name} is {values}; it must be from -1 to 1")
            found[name] = Estimate(**values)
        return cls(int(record["count"]), **found)


def kendall(x: FloatArray, y: FloatArray) -> float:
    """Kendall's tau-b of two scores `(n,)`; nan if all values of one score are equal."""
    return float(kendalltau(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Spearman's rho of two scores `(n,)`; nan if all values of one score are equal."""
    return float(spearmanr(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")


def rank_agreement(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = 0.95) -> RankAgreement:
    """How two scores `(n,)` of the same architectures agree in rank.

    The intervals come from the jackknife on Fisher's scale, `atanh` (Efron 1982): architectures are left out one at a time.
    Raises `UsageError` if the scores differ in length, are fewer than two, or have a value that is not finite.

    Example:
        >>> rank_agreement([1, 2, 3, 4], [10, 20, 40, 30]).kendall.value
        0.6666666666666667
    """
    one, other = _pair(x, y)
    return RankAgreement(
        len(one), _jackknifed(kendall, one, other, confidence), _jackknifed(spearman, one, other, confidence)
    )


def _jackknifed(
    of: Callable[[FloatArray, FloatArray], float], x: FloatArray, y: FloatArray, confidence: float
) -> Estimate:
    value, count = of(x, y), len(x)
    if not np.isfinite(value):
        return Estimate(None)
    left = (
        np.array([of(np.delete(x, i), np.delete(y, i)) for i in range(count)]) if count >= LEAST_PAIRS else np.array([])
    )
    if not len(left) or not np.isfinite(left).all() or abs(value) >= 1 - 1e-12:
        return Estimate(value)
    scale = np.arctanh(np.clip(left, -1 + 1e-9, 1 - 1e-9))
    error = float(np.sqrt((count - 1) / count * ((scale - scale.mean()) ** 2).sum()))
    half = float(norm.ppf(0.5 + confidence / 2)) * error
    return Estimate(value, float(np.tanh(np.arctanh(value) - half)), float(np.tanh(np.arctanh(value) + half)))


def _pair(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(x, float), np.asarray(y, float)
    if one.ndim != 1 or one.shape != other.shape or len(one) < 2:
        raise UsageError(f"scores of {one.shape} and {other.shape}; both must be (n,), of at least two architectures")
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise UsageError("a score is not a finite number; leave such architectures out")
    return one, other
