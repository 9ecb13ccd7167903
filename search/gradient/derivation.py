"""Finds the most probable architectures of a trained distribution within a latency budget, exactly.

ProxylessNAS takes each layer's most probable operator. That ignores the budget, and if layers depend on each other it does not
even give the most probable architecture. Here the K best within a budget are found in order. The trellis's messages (maxima)
bound what the columns that are not fixed yet can still contribute, and a best-first search follows them back (the tree-trellis
search of Soong and Huang, ICASSP 1991, a list Viterbi algorithm).
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
"""How many partial architectures may be followed. With fine bins, each result needs a little more than one per column."""
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

    The result is exact for any `bins`; they only direct the search. If it has fewer than `count` rows, there are no more within
    the budget. Codes in `without` are skipped. Raises `InfeasibleBudgetError` for a budget below the fastest network's latency,
    and `LatlasError` if the bins are so coarse that the search would not end.
    """
    pairs = distribution.unary_pairwise_log()[1]
    return best_of(Trellis(terms, budget_ms, pairs, bins), distribution, count, without)


def best_of(
    trellis: Trellis, distribution: Distribution, count: int = 1, without: Collection[tuple[int, ...]] = frozenset()
) -> Codes:
    """What `best` gives, from a trellis that is rounded down and knows the distribution's pairs."""
    if trellis.rounding != "down":
        raise UsageError(f"a trellis rounded {trellis.rounding} may lose the best; it must be rounded down")
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    weights = trellis.weights(distribution)
    messages = trellis.messages(weights, log_max)
    found: list[Codes] = []
    order, last = numbers(), len(trellis.steps)
    # The best it can reach, the step, a tie-break; then combination, milliseconds left, log probability, options chosen so far.
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
        # Keep the exact milliseconds left, not their bins, so that rounding matters only for the columns still to come.
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
