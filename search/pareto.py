"""Pareto fronts of latency and quality: what is not dominated, in which order, how spread, and how much a front covers.

A point is `(latency_ms, quality)`, latency better smaller, quality better larger. One dominates another where it is as good
in both and better in one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latlas.latency.errors import UsageError

FloatArray = npt.NDArray[np.float64]


def front(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which of the points `(n, 2)` no other dominates, `(n,)`; of equal points all or none."""
    rows = _points(points)
    if not len(rows):
        return np.zeros(0, dtype=np.bool_)
    order = np.lexsort((-rows[:, 1], rows[:, 0]))  # faster first, of equally fast the better
    kept, best = np.zeros(len(rows), dtype=np.bool_), -np.inf
    last: FloatArray | None = None
    for index in order:
        if rows[index, 1] > best or (last is not None and np.array_equal(rows[index], last)):
            kept[index], best, last = True, rows[index, 1], rows[index]
    return kept


def ranks(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How many fronts have to be taken away before each point is on one, `(n,)`: the non-dominated sorting of NSGA-II."""
    rows = _points(points)
    found, left, rank = np.full(len(rows), -1, dtype=np.int64), np.arange(len(rows)), 0
    while len(left):
        on_front = front(rows[left])
        found[left[on_front]] = rank
        left, rank = left[~on_front], rank + 1
    return found


def crowding(points: npt.ArrayLike) -> FloatArray:
    """NSGA-II's crowding distance of the points of one front, `(n,)`; infinite at the ends.

    The sum over both axes of the distance between a point's neighbours, as a share of the front's extent (Deb et al. 2002).
    """
    rows = _points(points)
    distance = np.zeros(len(rows))
    for axis in range(2):
        order = np.argsort(rows[:, axis], kind="stable")
        values = rows[order, axis]
        extent = values[-1] - values[0] if len(rows) else 0.0
        distance[order[:1]] = distance[order[-1:]] = np.inf
        if extent > 0:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / extent
    return distance


def hypervolume(points: npt.ArrayLike, reference_ms: float, reference_quality: float = 0.0) -> float:
    """The area that the points dominate up to the reference, in milliseconds times quality.

    Points that are slower than `reference_ms` or worse than `reference_quality` cover nothing.
    """
    if not (np.isfinite(reference_ms) and np.isfinite(reference_quality)):
        raise UsageError(f"the reference is {reference_ms} ms at quality {reference_quality}; both must be finite")
    rows = _points(points)
    rows = rows[(rows[:, 0] < reference_ms) & (rows[:, 1] > reference_quality)]
    rows = np.unique(rows[front(rows)], axis=0)  # faster first, and so worse first
    ends = np.append(rows[1:, 0], reference_ms)
    return float(((ends - rows[:, 0]) * (rows[:, 1] - reference_quality)).sum())


def _points(points: npt.ArrayLike) -> FloatArray:
    rows = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if np.isnan(rows).any():
        raise UsageError("a point has no number as latency or quality; all of a front need both")
    return rows
