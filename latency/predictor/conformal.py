"""Conformal intervals: how far a prediction is to be trusted, from how far it was off on samples it had not learnt from.

An interval is `prediction (1 -+ q spread)`: the spread is what the model expects of this network, and q a quantile of
|left-out error| / spread over the samples (normalised split conformal prediction, Papadopoulos et al. 2008; of left-out
samples, as the jackknife+ of Barber et al. 2021 has them). No distribution is assumed of the errors, and where the model's
spreads are all too small or too large by a factor, q makes up for it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError


def scores(measured: FloatArray, left_out: FloatArray, spread: FloatArray) -> FloatArray:
    """Sorted `(n,)` of |measured - predicted| / (predicted x spread), of predictions of left-out samples."""
    return np.sort(np.abs(measured - left_out) / (left_out * spread))


def quantile(sorted_scores: FloatArray, confidence: float) -> float:
    """The score that an unseen sample stays below with at least this confidence.

    With n scores it is the ceil((n + 1) confidence)-th smallest (the finite-sample rank of split conformal prediction). Where
    n is too small for the confidence, as 30 for 99 %, it is the largest times a normal distribution's ratio of the
    confidence's quantile to that of the highest confidence that n scores can give.
    """
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; it must lie between 0 and 1, as 0.95")
    count = len(sorted_scores)
    rank = math.ceil((count + 1) * confidence)
    if rank <= count:
        return float(sorted_scores[rank - 1])
    normal, reach = NormalDist(), count / (count + 1)
    return float(sorted_scores[-1] * normal.inv_cdf((1 + confidence) / 2) / normal.inv_cdf((1 + reach) / 2))
