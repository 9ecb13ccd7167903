"""Conformal intervals: how far to trust a prediction, judged by the errors on samples that were not learnt from.

An interval is `prediction (1 -+ q spread)`. The spread is the error that the model expects for this network. q is a quantile
of |left-out error| / spread over the samples (normalised split conformal prediction, Papadopoulos et al. 2008; with left-out
samples, as in the jackknife+ of Barber et al. 2021). The errors may have any distribution. If all spreads of the model are
too small or too large by one factor, q makes up for it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError


def scores(measured: FloatArray, left_out: FloatArray, spread: FloatArray) -> FloatArray:
    """The sorted scores `(n,)` of left-out samples: |measured - predicted| / (predicted x spread)."""
    return np.sort(np.abs(measured - left_out) / (left_out * spread))


def quantile(sorted_scores: FloatArray, confidence: float) -> float:
    """An unseen sample stays below this score with at least this confidence.

    With n scores it is the ceil((n + 1) confidence)-th smallest (the finite-sample rank of split conformal prediction). If n is
    too small for the confidence, for example 30 for 99 %, the largest score is scaled up. The factor is the ratio of two
    quantiles of a normal distribution: at this confidence, and at the highest confidence that n scores can give.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; it must lie between 0 and 1, as 0.95")
    count = len(sorted_scores)
    rank = math.ceil((count + 1) * confidence)
    if rank <= count:
        return float(sorted_scores[rank - 1])
    normal, reach = NormalDist(), count / (count + 1)
    return float(sorted_scores[-1] * normal.inv_cdf((1 + confidence) / 2) / normal.inv_cdf((1 + reach) / 2))
