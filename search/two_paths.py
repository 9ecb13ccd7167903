"""Architecture steps on two options a column (Cai, Zhu and Han 2019, *ProxylessNAS*, arXiv 1812.00332, section 3.2.1).

Two options are drawn without replacement, the active one of the two by their probabilities renormalised, and only these two
are trained, so that the others keep their probability.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latlas.search.distribution import Distribution, log_softmax
from latlas.search.feasible import Codes, FloatArray

Pairs = npt.NDArray[np.int_]
"""`(columns, 2)`: two options of each column; twice the same where it has one."""

_FAR = 1000.0
"""Below the others, whose exponential is then 0; finite, as sums and differences of it are."""


def draw_pairs(distribution: Distribution, row: Codes, rng: np.random.Generator) -> Pairs:
    """The options of codes `row` `(columns,)`, each with another, drawn by the probabilities that are left without the first.

    Where the row is a draw of the distribution, the pairs are draws of two without replacement. A feasible row keeps one
    feasible architecture among those of the pairs.
    """
    seconds = []
    for code, weights in zip(row, distribution.active(row), strict=True):
        others = np.delete(np.arange(len(weights)), code)
        seconds.append(rng.choice(others, p=np.exp(log_softmax(weights[others]))) if len(others) else code)
    return np.stack((np.asarray(row), np.array(seconds)), axis=1)


def restricted(distribution: Distribution, pairs: Pairs) -> Distribution:
    """A copy that draws from the pairs alone, with renormalised probabilities; gradients by other weights are 0."""
    copy = distribution.tempered(1.0)
    for weights, pair in zip(copy.parameters, pairs, strict=True):
        out = np.isin(np.arange(weights.shape[-1]), pair, invert=True)
        weights[..., out] = weights[..., pair].min(axis=-1, keepdims=True) - _FAR
    return copy


def rescale(distribution: Distribution, before: Sequence[FloatArray], pairs: Pairs) -> None:
    """Shift the pairs' weights so that their summed exponentials are those of `before`, the parameters before the step.

    With it the probabilities of all other options are as before the step.
    """
    for weights, old, pair in zip(distribution.parameters, before, pairs, strict=True):
        options = np.unique(pair)
        grown = _log_sum_exp(weights[..., options]) - _log_sum_exp(old[..., options])
        weights[..., options] -= grown


def _log_sum_exp(weights: FloatArray) -> FloatArray:
    return (weights - log_softmax(weights))[..., :1]
