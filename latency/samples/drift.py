"""The machine's drift over the lines of a file that stand in the order of measuring."""

from __future__ import annotations

import numpy as np

from latlas.arrays import FloatArray

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
"""Lines over which a neighbour's weight falls to 37 %, tried."""
PULLS = (0.5, 2.0, 8.0)
"""Weights of a neighbour that says the speed was usual, tried."""
_REACH = 6


def speed_along(residuals: FloatArray) -> FloatArray:
    """`(lines,)`: how many times its usual latency a network took at each line, told by the other lines alone.

    `residuals` are logarithms of measured over predicted latency, predicted without learning from that line; NaN where
    nothing was learnt from a line, whose speed only its neighbours tell.
    """
    known = ~np.isnan(residuals)
    if not known.any():
        return np.ones_like(residuals)
    value = np.where(known, residuals, 0.0)
    # Outliers say little of the speed.
    bound = 3 * float(np.median(np.abs(value[known])))
    value = np.clip(value, -bound, bound)
    best, found = float(np.mean(np.abs(value[known]))), np.zeros_like(value)
    for scale in SCALES:
        reach = int(min(_REACH * scale, (len(value) - 1) // 2))
        weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
        weights[reach] = 0  # not by itself
        total = np.convolve(value, weights, "same")
        count = np.convolve(known.astype(float), weights, "same")
        for pull in PULLS:
            speed = total / (count + pull)
            left = float(np.mean(np.abs(value - speed)[known]))
            if left < best:
                best, found = left, speed
    return np.exp(found)
