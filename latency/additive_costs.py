"""What counts of things cost: milliseconds that are a sum, learnt with no cost below zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

FloatArray = npt.NDArray[np.float64]

_TRUST_ROUNDS = 4


def additive_costs(counts: FloatArray, y: FloatArray) -> FloatArray:
    """Milliseconds `(1 + columns,)`, none below zero, of whose sum, first of them a constant, the relative errors are least.

    Outliers weigh less, as with a Cauchy noise of the errors' own median.
    """
    matrix = np.column_stack([np.ones(len(counts)), counts])
    trust = np.ones(len(y))
    for _ in range(_TRUST_ROUNDS):
        scale = np.sqrt(trust) / y
        found, _ = nnls(matrix * scale[:, None], y * scale)
        errors = np.abs(matrix @ found / y - 1)
        trust = 1 / (1 + (errors / max(3 * float(np.median(errors)), 1e-6)) ** 2)
    return np.asarray(found, dtype=float)


def left_out_log_sums(counts: FloatArray, y: FloatArray, seed: int) -> FloatArray:
    """The logarithm of each sample's sum, by costs that were not learnt from it."""
    found = np.empty_like(y)
    order = np.random.default_rng(seed).permutation(len(y))
    for fold in np.array_split(order, min(10, len(y))):
        rest = np.setdiff1d(order, fold)
        found[fold] = np.log(np.maximum(_sums(counts[fold], additive_costs(counts[rest], y[rest])), y.min() / 10))
    return found


def _sums(counts: FloatArray, costs: FloatArray) -> FloatArray:
    return costs[0] + counts @ costs[1:]


def log_sums(counts: FloatArray, costs: FloatArray, known: FloatArray) -> FloatArray:
    """Logarithms of sums, held above the tenth of the least that was learnt from."""
    return np.log(np.maximum(_sums(counts, costs), float(np.exp(known.min())) / 10))
