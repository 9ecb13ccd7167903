"""The networks of a space within a latency budget, as paths through a trellis of layers and latency bins.

A path adds the columns one by one, as the elimination in `latency/limits/additive.py` does. So latency may have terms for any
pair of columns, and so may the weights that paths are summed, drawn or compared by. A message has, for each combination of the
frontier's options and each bin, the total weight of the columns added so far whose cost is at most that bin:
`Z_l(t) = sum_i p_l(i) Z_(l-1)(t - c_l(i))`, in logarithms.

The cost of a step is rounded to whole bins. `down`: every network within the budget is a path, and so are some networks up to a
bin per layer above it. `up`: every path is within the budget, and some networks up to a bin per layer below it are lost.
`nearest`: networks near the budget fall on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from latlas.arrays import Codes, FloatArray, IntArray
from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.latency.limits.additive import Additive, added_by, extreme, taken_in
from latlas.search.gradient.distribution import Distribution

Rounding = Literal["down", "nearest", "up"]
Reduce = Callable[[FloatArray], FloatArray]
"""A function that reduces the options of `(combinations, options, bins)` to `(combinations, bins)`."""

BINS = 1000
MAX_CELLS = 8_000_000
"""The largest number of combinations of a step, times bins."""
LEAST_SPAN = 1e-9
"""Bins span at least this share of the budget, even if the budget equals the fastest network's latency."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the elimination: it adds one column and removes `gone`, the columns that share no term with later ones.

    Its arrays are `(combinations of the kept columns, combinations of the gone columns)`. `source` is the combination before the
    step. `flat` is the index in `shape`, which is the frontier before the step with the new column last. `cost_ms` and `bins` are
    the step's cost minus its least cost.
    """

    frontier: tuple[int, ...]
    column: int
    gone: tuple[int, ...]
    gone_sizes: tuple[int, ...]
    shape: tuple[int, ...]
    source: IntArray
    flat: IntArray
    cost_ms: FloatArray
    bins: IntArray


class Trellis:
    """Paths of at most `budget_ms`, with `bins` bins from the least latency to the budget. The module explains `rounding`.

    `pairs` are pairs of columns that have a common weight, besides the pairs that have a latency term. A wide frontier gets
    fewer bins. Raises `InfeasibleBudgetError` for a budget below the fastest network's latency, and `UsageError` for so many
    pairs that no exact answer is possible.
    """

    def __init__(
        self,
        terms: Additive,
        budget_ms: float,
        pairs: Collection[tuple[int, int]] = (),
        bins: int = BINS,
        rounding: Rounding = "down",
    ) -> None:
        if bins < 1:
            raise UsageError(f"bins is {bins}; at least 1 is needed")
        fastest, slowest = (extreme(terms, sign).latency_ms for sign in (1, -1))
        if not budget_ms >= fastest:
            raise InfeasibleBudgetError(
                f"no network is predicted within {budget_ms:.4f} ms; the fastest takes {fastest:.4f} ms"
            )
        if budget_ms >= slowest:
            rounding = "down"  # every network is a path and within the budget
        missing = [pair for pair in pairs if pair not in terms.pairwise and pair[::-1] not in terms.pairwise]
        sizes = terms.sizes
        met = {**terms.pairwise, **{pair: np.zeros([sizes[one] for one in pair]) for pair in missing}}
        arrays = list(taken_in(Additive(terms.constant, terms.unary, met)))
        widest = max(array.size for *_, array in arrays)
        least = terms.constant + sum(float(array.min()) for *_, array in arrays)
        self.terms, self.budget_ms, self.rounding = terms, budget_ms, rounding
        self.bins = max(1, min(bins, MAX_CELLS // widest))
        limit_ms = min(budget_ms, slowest)
        self.span_ms = max(limit_ms - least, LEAST_SPAN * max(1.0, abs(limit_ms)))
        # With rounding to the nearest, a sum is above the budget if it is half a bin or more above the last bin.
        self.width_ms = self.span_ms / (self.bins + 0.5 * (rounding == "nearest"))
        self.steps = [self._step(sizes, *one) for one in arrays]
        self.pairs = frozenset(pair for pair in (*met, *(pair[::-1] for pair in met)))

    def _step(
        self, sizes: Sequence[int], frontier: tuple[int, ...], column: int, gone: tuple[int, ...], array: FloatArray
    ) -> Step:
        whole = (*frontier, column)
        kept = [one for one in whole if one not in gone]
        order = [whole.index(one) for one in (*kept, *gone)]
        places = np.arange(array.size).reshape(array.shape).transpose(order)
        flat = places.reshape(prod(sizes[one] for one in kept), -1)
        cost_ms = (array - array.min()).ravel()[flat]
        round_ = {"down": np.floor, "nearest": np.rint, "up": np.ceil}[self.rounding]
        bins = np.minimum(round_(cost_ms / self.width_ms), self.bins + 1).astype(np.int64)
        gone_sizes = tuple(sizes[one] for one in gone)
        return Step(frontier, column, gone, gone_sizes, array.shape, flat // sizes[column], flat, cost_ms, bins)

    def weights(self, distribution: Distribution) -> list[FloatArray]:
        """The term that each step adds to `log_prob`, in the shape of its arrays."""
        unary, pairwise = distribution.unary_pairwise_log()
        if distribution.sizes != self.terms.sizes or not self.pairs.issuperset(pairwise):
            raise UsageError(
                f"a distribution of sizes {distribution.sizes} and pairs {sorted(pairwise)} is not of this trellis, of sizes "
                f"{self.terms.sizes}"
            )
        log_prob = Additive(0.0, unary, pairwise)
        return [added_by(log_prob, step.frontier, step.column).ravel()[step.flat] for step in self.steps]

    def messages(self, weights: Sequence[FloatArray], reduce: Reduce) -> list[FloatArray]:
        """The messages `(combinations, bins + 1)`: before the first step, then after each step.

        They have the reduced weights of the columns so far, for a cost of at most each bin.
        """
        found = [np.zeros((1, self.bins + 1))]
        for step, weight in zip(self.steps, weights, strict=True):
            found.append(reduce(self._before(found[-1], step) + weight[..., None]))
        return found

    def marginals(
        self, weights: Sequence[FloatArray], messages: Sequence[FloatArray]
    ) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        """The probabilities of options `(options,)`, and of pairs of options, among all paths (forward-backward).

        `messages` are made with `log_sum`. The pairs `(one, other)` are all columns that meet in a step; `one` was added first.
        """
        total = messages[-1][0, -1]
        after = np.full((1, self.bins + 1), -np.inf)  # the message of the later columns, by the bins that they leave
        after[0, -1] = 0.0
        unary: list[FloatArray] = [np.empty(0)] * len(self.steps)
        pairwise: dict[tuple[int, int], FloatArray] = {}
        for step, weight, before in reversed(list(zip(self.steps, weights, messages[:-1], strict=True))):
            joint = np.exp(self._before(before, step) + after[:, None] + (weight - total)[..., None]).sum(axis=-1)
            of_frontier = np.empty(step.shape)
            of_frontier.flat[step.flat.ravel()] = joint.ravel()
            axes = range(len(step.frontier))
            unary[step.column] = of_frontier.sum(axis=tuple(axes))
            for axis, one in enumerate(step.frontier):
                pairwise[one, step.column] = of_frontier.sum(axis=tuple(other for other in axes if other != axis))
            padded = np.concatenate([after, np.full_like(after, -np.inf)], axis=1)
            windows = np.lib.stride_tricks.sliding_window_view(padded, self.bins + 1, axis=1)
            left = windows[np.arange(len(after))[:, None], step.bins] + weight[..., None]
            by_source = np.empty((step.flat.size, self.bins + 1))
            by_source[step.flat.ravel()] = left.reshape(-1, self.bins + 1)
            after = log_sum(by_source.reshape(len(before), -1, self.bins + 1))
        return unary, pairwise

    def trace(self, chosen: Sequence[int], step: Step, codes: Codes) -> None:
        """Write the options of a step's gone columns into codes `(n, columns)`, from their combinations `(n,)`."""
        for one, options in zip(step.gone, np.unravel_index(np.asarray(chosen), step.gone_sizes or (1,)), strict=False):
            codes[:, one] = options

    def _before(self, message: FloatArray, step: Step) -> FloatArray:
        """A message shifted by the cost of a step: `(kept, gone, bins + 1)`."""
        padded = np.concatenate([np.full_like(message, -np.inf), message], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.bins + 1, axis=1)
        return np.asarray(windows[step.source, self.bins + 1 - step.bins])


def log_sum(values: FloatArray) -> FloatArray:
    """`log sum exp` over the second of three axes; minus infinity where all values are."""
    top = values.max(axis=1)
    finite = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - finite[:, None]).sum(axis=1)) + finite)


def log_max(values: FloatArray) -> FloatArray:
    """The maximum over the second of three axes."""
    return np.asarray(values.max(axis=1))
