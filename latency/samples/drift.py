"""Estimates the machine's drift from the lines of a file, which are in the order of measuring."""

from __future__ import annotations

import numpy as np

from latlas.arrays import FloatArray

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
"""The candidates for how many lines it takes until a neighbour's weight falls to 37 %."""
PULLS = (0.5, 2.0, 8.0)
"""The candidates for the weight of an imaginary neighbour that ran at the usual speed."""
_REACH = 6


def speed_along(residuals: FloatArray) -> FloatArray:
    """How many times its usual latency a network took at each line, `(lines,)`, estimated from the other lines only.

    `residuals` are logarithms of measured over predicted latency, where the prediction did not learn from that line. A residual
    is NaN if the line is not used to learn; then only its neighbours tell its speed.
    """
    known = ~np.isnan(residuals)
    if not known.any():
        return np.ones_like(residuals)
    value = np.where(known, residuals, 0.0)
    # Outliers say little about the speed.
    bound = 3 * float(np.median(np.abs(value[known])))
    value = np.clip(value, -bound, bound)
    best, found = float(np.mean(np.abs(value[known]))), np.zeros_like(value)
    for scale in SCALES:
        reach = int(min(_REACH * scale, (len(value) - 1) // 2))
        weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
        weights[reach] = 0  # a line does not tell its own speed
        total = np.convolve(value, weights, "same")
        count = np.convolve(known.astype(float), weights, "same")
        for pull in PULLS:
            speed = total / (count + pull)
            left = float(np.mean(np.abs(value - speed)[known]))
            if left < best:
                best, found = left, speed
    return np.exp(found)
