"""The architectures that a trained distribution stands for: the most probable within a latency budget, exactly.

Taking each layer's most probable operator, as ProxylessNAS does, knows no budget, and where layers are drawn given each other
it is not even the most probable architecture. Here the K best within a budget are found in order: the trellis's messages, of
maxima, say what the columns not yet fixed may still come to, and a best-first search follows them back (the tree-trellis search
of Soong and Huang, ICASSP 1991: a list Viterbi algorithm).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from itertools import count as numbers

import numpy as np

from latlas.arrays import Codes
from latlas.errors import LatlasError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.trellis import BINS, Trellis, log_max

MAX_STEPS = 200_000
"""Partial architectures that may be followed; with bins fine enough it is a little more than one a column of each found."""
TOLERANCE_MS = 1e-9


def best(
    distribution: Distribution,
    terms: Additive,
    budget_ms: float,
    count: int = 1,
    bins: int = BINS,
    without: Collection[tuple[int, ...]] = frozenset(),
) -> Codes:
    """Codes `(at most count, columns)` of the most probable architectures within `budget_ms` by `terms`, best first.

    Exact whatever the `bins`, which only direct the search; fewer than `count` are all that there are within the budget. Those
    `without` are passed over. Raises `InfeasibleBudgetError` for a budget below the fastest network's latency, and
    `LatlasError` where bins are so coarse that the search would not end.
    """
    pairs = distribution.unary_pairwise_log()[1]
    return best_of(Trellis(terms, budget_ms, pairs, bins), distribution, count, without)


def best_of(
    trellis: Trellis, distribution: Distribution, count: int = 1, without: Collection[tuple[int, ...]] = frozenset()
) -> Codes:
    """As `best`, in a trellis rounded down that knows the distribution's pairs."""
    if trellis.rounding != "down":
        raise UsageError(f"a trellis rounded {trellis.rounding} may lose the best; it must be rounded down")
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    weights = trellis.weights(distribution)
    messages = trellis.messages(weights, log_max)
    found: list[Codes] = []
    order, last = numbers(), len(trellis.steps)
    # What may come of it, step, tie-break; then the combination, milliseconds left, log probability, and options chosen so far.
    heap: list[tuple[float, int, int, int, float, float, tuple[int, ...]]] = [
        (-float(messages[-1][0, -1]), last, next(order), 0, trellis.span_ms, 0.0, ())
    ]
    for _ in range(MAX_STEPS):
        if not heap or len(found) == count:
            break
        _, step_index, _, place, left_ms, log_prob, chosen = heapq.heappop(heap)
        if step_index == 0:
            codes = _codes(trellis, chosen)
            if trellis.terms.values(codes)[0] <= trellis.budget_ms and tuple(codes[0].tolist()) not in without:
                found.append(codes)
            continue
        step, before = trellis.steps[step_index - 1], messages[step_index - 1]
        # The exact milliseconds left, and not their bins, so that rounding matters only for the columns still to come.
        left = left_ms - step.cost_ms[place]
        bins = np.floor((left + TOLERANCE_MS) / trellis.width_ms).astype(np.int64)
        sources = step.source[place]
        reached = log_prob + weights[step_index - 1][place]
        bounds = reached + before[sources, np.clip(bins, 0, trellis.bins)]
        for option in np.flatnonzero((bins >= 0) & np.isfinite(bounds)).tolist():
            heapq.heappush(
                heap,
                (
                    -float(bounds[option]),
                    step_index - 1,
                    next(order),
                    int(sources[option]),
                    float(left[option]),
                    float(reached[option]),
                    (option, *chosen),
                ),
            )
    if heap and len(found) < count:
        raise LatlasError(
            f"{len(found)} of {count} architectures within {trellis.budget_ms:.4f} ms were found in {MAX_STEPS} steps; "
            f"ask for fewer, or for more than {trellis.bins} bins"
        )
    return np.concatenate([np.empty((0, last), dtype=np.int64), *found])


def _codes(trellis: Trellis, chosen: Sequence[int]) -> Codes:
    codes = np.empty((1, len(trellis.steps)), dtype=np.int64)
    for step, option in zip(trellis.steps, chosen, strict=True):
        trellis.trace([option], step, codes)
    return codes
