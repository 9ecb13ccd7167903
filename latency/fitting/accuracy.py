"""How far predictions are off: the figures that every predictor reports on networks that it did not learn from."""

from __future__ import annotations

import numpy as np

from latlas.arrays import FloatArray

COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The confidences at which figures say how often intervals held test subnets."""


def accuracy(predicted: FloatArray, measured: FloatArray) -> dict[str, float | None]:
    """MAPE, the shares within 1, 5 and 10 % of the measured value, and Spearman's rank correlation.

    The correlation is None if it is undefined: for fewer than three values, or if all are equal.
    """
    errors = np.abs(predicted - measured) / measured
    defined = len(measured) > 2 and np.ptp(predicted) > 0 and np.ptp(measured) > 0
    ranked = spearman(predicted, measured) if defined else None
    return {
        "mape": float(errors.mean()),
        "within_1": float(np.mean(errors <= 0.01)),
        "within_5": float(np.mean(errors <= 0.05)),
        "within_10": float(np.mean(errors <= 0.10)),
        "spearman": ranked,
    }


def spearman(first: FloatArray, second: FloatArray) -> float:
    """Spearman's rank correlation of two series `(n,)`; equal values share their mean rank.

    It equals `scipy.stats.spearmanr`, whose import alone takes longer than all the rest of `predictor show`.
    """
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place]
