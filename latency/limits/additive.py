"""Exact feasibility: the fastest and the slowest network of a space, and the share of its networks within a budget.

A linear predictor, compiled for a space, is a sum of terms that depend on one or two columns of the codes. Dynamic
programming finds the extremes of such a sum, one column at a time. The frontier is the columns that still meet later
ones; each combination of their codes keeps its best value (Bertelè and Brioschi, *Nonserial Dynamic Programming*, 1972;
the Viterbi algorithm if the columns are a chain). With a histogram instead of the best value, it counts networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a space's networks that is predicted within a budget: between `lower` and `upper`.

    `error_ms` is how far the bins may have moved a network; 0 if the networks were counted one by one.
    """

    lower: float
    upper: float
    error_ms: float


class Histogram:
    """Shares `(bins,)` of all networks by latency, the first bin at `least_ms`; each was moved by at most `error_ms`.

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
        """The share of all networks that take at most `budget_ms`."""
        if not self.fastest_ms <= budget_ms < self.slowest_ms:
            all_or_none = float(budget_ms >= self.slowest_ms)
            return Share(all_or_none, all_or_none, 0.0)
        lower, upper = (self._at(budget_ms + sign * self.error_ms) for sign in (-1, 1))
        return Share(lower, min(1.0, upper), self.error_ms)

    def quantile(self, share: float) -> float:
        """This share of all networks takes at most these milliseconds, give or take `error_ms`."""
        index = int(np.searchsorted(self._below, share * (1 - 1e-12)))
        return min(max(self.least_ms + self.width_ms * index, self.fastest_ms), self.slowest_ms)

    def in_bins_of(self, width_ms: float) -> FloatArray:
        """The shares in bins of another width, the first at `least_ms` too; this moves a network by at most half a bin."""
        places = np.rint(np.arange(len(self._shares)) * (self.width_ms / width_ms)).astype(int)
        return np.bincount(places, weights=self._shares).astype(np.float64)

    def _at(self, limit_ms: float) -> float:
        index = int(np.floor((limit_ms - self.least_ms) / self.width_ms + 1e-9))
        return float(self._below[min(index, len(self._below) - 1)]) if index >= 0 else 0.0


MAX_FRONTIER = 200_000
"""How many combinations a step may keep apart; a chain of layers with seven operators each keeps seven."""
MAX_CELLS = 20_000_000
"""How many combinations times bins a count may have."""
MAX_ENUMERATED = 1_000_000
CHUNK = 65_536


@dataclass(frozen=True)
class Additive:
    """`constant + sum unary[i][codes[i]] + sum pairwise[i, j][codes[i], codes[j]]`, in milliseconds."""

    constant: float
    unary: Sequence[FloatArray]
    pairwise: Mapping[tuple[int, int], FloatArray] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of options of each column."""
        return tuple(len(column) for column in self.unary)

    def values(self, codes: Codes) -> FloatArray:
        """The milliseconds `(n,)` of codes `(n, columns)`."""
        total = np.full(len(codes), self.constant)
        for column, terms in enumerate(self.unary):
            total += terms[codes[:, column]]
        for (one, other), table in self.pairwise.items():
            total += table[codes[:, one], codes[:, other]]
        return total


@dataclass(frozen=True, slots=True)
class Extreme:
    """The fastest or slowest network by the predictor: its codes, its milliseconds, and how it was found.

    `how` is `exact` (dynamic programming), `enumerated` (every network was predicted; as exact) or `descent` (coordinate
    descent: no better one was found by changing one column).
    """

    codes: tuple[int, ...]
    latency_ms: float
    how: str


def extreme(terms: Additive, sign: int = 1) -> Extreme:
    """The exact network with the fewest milliseconds (`sign` 1) or the most (-1).

    Raises `UsageError` if the space has so many pairs that more than `MAX_FRONTIER` combinations would be kept apart.
    """
    best = np.zeros(())  # one axis for each column of the frontier
    steps: list[tuple[tuple[int, ...], tuple[int, ...], npt.NDArray[np.intp]]] = []
    for frontier, column, gone, array in taken_in(terms):
        wide = sign * array + best[..., None]
        whole = (*frontier, column)
        remaining = tuple(one for one in whole if one not in gone)
        order = [whole.index(one) for one in (*remaining, *gone)]
        flat = wide.transpose(order).reshape(*(wide.shape[axis] for axis in order[: len(remaining)]), -1)
        choice = flat.argmin(axis=-1)
        best = np.take_along_axis(flat, choice[..., None], axis=-1)[..., 0]
        steps.append((remaining, gone, choice))
    codes = [0] * len(terms.unary)
    for remaining, gone_now, choice in reversed(steps):
        found = np.unravel_index(
            choice[tuple(codes[one] for one in remaining)], [terms.sizes[one] for one in gone_now] or [1]
        )
        for one, code in zip(gone_now, found, strict=False):
            codes[one] = int(code)
    return Extreme(tuple(codes), float(terms.values(np.array([codes]))[0]), "exact")


class Counted(Histogram):
    """How many networks of a sum take how long, as a histogram of at most `bins` bins.

    Each step rounds what it adds to whole bins. So a network moves by at most half a bin for each column: `error_ms`. A wide
    frontier gets fewer bins. Raises `UsageError` as `extreme` does.
    """

    def __init__(self, terms: Additive, bins: int = 20_000) -> None:
        fastest_ms, slowest_ms = (extreme(terms, sign).latency_ms for sign in (1, -1))
        added = list(taken_in(terms))
        widest = max(array.size for *_, array in added)
        bins = max(200, min(bins, MAX_CELLS // widest))
        span = sum(float(np.ptp(array)) for *_, array in added)
        # If all networks take equally long, any width will do.
        width = span / bins or 1.0
        least = terms.constant + sum(float(array.min()) for *_, array in added)
        counts = np.zeros(bins + len(added) + 1)
        counts[0] = 1.0
        for frontier, column, gone, array in added:
            shifts = np.rint((array - array.min()) / width).astype(int)
            counts = _shifted(counts, shifts) / terms.sizes[column]
            whole = (*frontier, column)
            counts = counts.sum(axis=tuple(whole.index(one) for one in gone)) if gone else counts
        super().__init__(counts, least, width, (fastest_ms, slowest_ms), width * len(added) / 2)


def share_within(terms: Additive, budget_ms: float, bins: int = 20_000) -> Share:
    """The share of all networks that take at most `budget_ms`; see `Counted`."""
    return Counted(terms, bins).share(budget_ms)


def extreme_of(
    evaluate: Callable[[Codes], FloatArray], sizes: Sequence[int], sign: int = 1, at_most: int = MAX_ENUMERATED
) -> Extreme:
    """Like `extreme`, for any function `(n, columns) -> (n,)`: it tries all networks if they are few, else coordinate descent."""
    if prod(sizes) <= at_most:
        best_of_chunks = []
        for rows in _chunks(sizes):
            values = sign * evaluate(rows)
            best_of_chunks.append((float(values.min()), tuple(rows[values.argmin()].tolist())))
        value, codes = min(best_of_chunks)
        return Extreme(codes, sign * value, "enumerated")
    starts = [[min(option, size - 1) for size in sizes] for option in range(max(sizes))]
    value, codes = min(_descend(evaluate, sizes, start, sign) for start in starts)
    return Extreme(codes, sign * value, "descent")


def _descend(
    evaluate: Callable[[Codes], FloatArray], sizes: Sequence[int], start: Sequence[int], sign: int
) -> tuple[float, tuple[int, ...]]:
    """The smallest value that is reached by changing one column at a time, and its codes."""
    best = np.array(start)
    best_value, changed = float(sign * evaluate(best[None])[0]), True
    while changed:
        changed = False
        for column, size in enumerate(sizes):
            rows = np.repeat(best[None], size, axis=0)
            rows[:, column] = np.arange(size)
            values = sign * evaluate(rows)
            if values.min() < best_value:
                best_value, best, changed = float(values.min()), rows[values.argmin()], True
    return best_value, tuple(best.tolist())


def _chunks(sizes: Sequence[int]) -> Sequence[Codes]:
    """All codes, in a few arrays."""
    total = prod(sizes)
    return [
        np.stack(np.unravel_index(np.arange(first, min(first + CHUNK, total)), sizes), axis=1)
        for first in range(0, total, CHUNK)
    ]


def _neighbours(terms: Additive) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in terms.unary]
    for one, other in terms.pairwise:
        if one == other or not (0 <= one < len(found) and 0 <= other < len(found)):
            raise UsageError(f"a pair of columns is {(one, other)}; two different ones of {len(found)} are needed")
        found[one].add(other)
        found[other].add(one)
    return found


def taken_in(terms: Additive) -> Iterator[tuple[tuple[int, ...], int, tuple[int, ...], FloatArray]]:
    """Of each step: the frontier before it, the column that it takes in, the columns that no later one meets, and `added_by`."""
    frontier: tuple[int, ...] = ()
    for column, gone in _elimination(terms):
        yield frontier, column, tuple(gone), added_by(terms, frontier, column)
        frontier = tuple(one for one in (*frontier, column) if one not in gone)


def _elimination(terms: Additive) -> list[tuple[int, list[int]]]:
    """The order of the columns, each with the columns that no later one meets; the next keeps the frontier narrowest."""
    neighbours, sizes = _neighbours(terms), terms.sizes
    left, frontier, plan = set(range(len(sizes))), list[int](), list[tuple[int, list[int]]]()

    def after(column: int) -> tuple[list[int], list[int]]:
        rest, whole = left - {column}, [*frontier, column]
        gone = [one for one in whole if not neighbours[one] & rest]
        return [one for one in whole if one not in gone], gone

    while left:
        column = min(left, key=lambda one: (prod(sizes[i] for i in after(one)[0]), one))
        combinations = prod(sizes[i] for i in (*frontier, column))
        if combinations > MAX_FRONTIER:
            raise UsageError(
                f"{combinations} combinations of operators would be kept apart, {MAX_FRONTIER} are the most: "
                "the space's layers meet in too many pairs for an exact answer"
            )
        frontier, gone = after(column)
        left.discard(column)
        plan.append((column, gone))
    return plan


def added_by(terms: Additive, frontier: Sequence[int], column: int) -> FloatArray:
    """The milliseconds that a column adds to each combination of the frontier and itself: one axis each, its own last."""
    sizes, rank = terms.sizes, len(frontier)
    total = np.zeros([*(sizes[one] for one in frontier), sizes[column]]) + terms.unary[column]
    for axis, one in enumerate(frontier):
        for pair, turned in (((one, column), False), ((column, one), True)):
            if pair in terms.pairwise:
                table = np.asarray(terms.pairwise[pair])
                table = table.T if turned else table
                total = total + table.reshape(
                    [*(table.shape[0] if k == axis else 1 for k in range(rank)), table.shape[1]]
                )
    return total


def _shifted(counts: FloatArray, shifts: npt.NDArray[np.int_]) -> FloatArray:
    """Histograms `(*frontier, bins)` moved by `shifts` `(*frontier, options)`: `(*frontier, options, bins)`."""
    moved = np.zeros((*shifts.shape, counts.shape[-1]))
    for index in product(*(range(size) for size in shifts.shape)):
        shift = int(shifts[index])
        source = counts[index[:-1]]
        moved[index][shift:] = source[: len(source) - shift]
    return moved
