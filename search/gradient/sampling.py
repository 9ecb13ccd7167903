"""Drawing architectures from a distribution under a latency budget, exactly and without rejection.

Drawing again until an architecture is within the budget makes the sampler `p(a | V) = p(a) / P(V)` of the feasible set V, whose
gradient is that of `log p(a)` less that of `log P(V)`: TabNAS (arXiv 2204.07615) estimates P(V) by the share of draws that are
feasible. Where latency is a sum of terms, dynamic programming gives draws, `log P(V)` and its gradient without rejection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latlas.arrays import Codes, FloatArray
from latlas.errors import LatlasError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.trellis import BINS, Rounding, Trellis, log_sum

Screen = Callable[[Codes], npt.NDArray[np.bool_]]
"""Which of the codes `(n, columns)` are feasible, `(n,)`."""

FINER = 8
"""How many times finer bins are tried where rounding lets too much through."""
MAX_FINER = 3
KEPT = 4
"""Distributions whose messages are kept: draws, their gradient and a flatter one ask in turn."""
DRAWS_EACH = 200
"""Draws for each architecture asked for before finer bins are tried, and a thousand more."""


class Sampler(Protocol):
    """Draws from `p(a | V)`, and says what `log P(V)` is."""

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Feasible codes `(count, columns)`, drawn independently."""
        ...

    def log_feasible(self, distribution: Distribution) -> float:
        """`log P(V)`, at most 0."""
        ...

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """Its gradient by the distribution's parameters: `E[d log p(a) / d parameters | a in V]`."""
        ...


class FeasibleSampler:
    """Exact draws of architectures whose `terms` are at most `budget_ms`, by dynamic programming over latency bins.

    What is drawn has been compared with the budget by its exact terms: bins are rounded down, so that every feasible architecture
    may be drawn, and of those up to a bin a column above the budget, which so come along, each is drawn again. `drawn` and
    `rejected` count them. `log_feasible` rounds to the nearest bin, as its errors then cancel; `log_feasible_bounds` rounds
    down and up and is sure. Raises `InfeasibleBudgetError` where nothing is feasible.
    """

    def __init__(self, terms: Additive, budget_ms: float, bins: int = BINS) -> None:
        self.terms, self.budget_ms, self.bins = terms, budget_ms, bins
        self.drawn = self.rejected = 0
        self._trellises: dict[tuple[frozenset[tuple[int, int]], int, Rounding], Trellis] = {}
        self._kept: dict[tuple[int, Rounding, bytes], tuple[list[FloatArray], list[FloatArray]]] = {}
        # Made now, as it says what is impossible.
        self._trellises[frozenset(), bins, "down"] = Trellis(terms, budget_ms, bins=bins)

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Feasible codes `(count, columns)`, drawn independently.

        Raises `LatlasError` where, as next to all of the distribution lies just above the budget, no bins were fine enough.
        """
        found, missing, drawn = [np.empty((0, len(self.terms.sizes)), dtype=np.int64)], count, 0
        for finer in range(MAX_FINER):
            bins, left = self.bins * FINER**finer, DRAWS_EACH * count + 1000
            while missing and left > 0:
                at_once = min(left, missing + missing // 8 + 8)
                rows = self._draw(distribution, at_once, bins, rng)
                within = self.terms.values(rows) <= self.budget_ms
                found.append(rows[within][:missing])
                missing, left, drawn = missing - len(found[-1]), left - at_once, drawn + at_once
                self.drawn += at_once
                self.rejected += int((~within).sum())
        if missing:
            raise LatlasError(
                f"{count - missing} of {drawn} architectures drawn are within {self.budget_ms:.4f} ms, {count} were asked for; "
                "next to all that the distribution draws is just above the budget: raise it, or flatten the distribution"
            )
        return np.concatenate(found)

    def log_feasible(self, distribution: Distribution) -> float:
        """`log P(V)`; see `log_feasible_bounds` for how far it may be off."""
        _, _, messages = self._estimate(distribution)
        return min(0.0, float(messages[-1][0, -1]))

    def log_feasible_bounds(self, distribution: Distribution) -> tuple[float, float]:
        """What `log P(V)` is at least and at most; the first minus infinity where bins rounded up leave nothing."""
        roundings: tuple[Rounding, Rounding] = ("up", "down")
        lower, upper = (float(self._run(distribution, self.bins, one)[2][-1][0, -1]) for one in roundings)
        return lower, min(0.0, upper)

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """The gradient of `log_feasible`: how often each option is expected among the feasible, by forward-backward."""
        return distribution.count_gradient(*self.marginals(distribution))

    def marginals(self, distribution: Distribution) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        """How probable each option, and each of the distribution's pairs of options, is among the feasible."""
        trellis, weights, messages = self._estimate(distribution)
        unary, joint = trellis.marginals(weights, messages)
        pairs = distribution.unary_pairwise_log()[1]
        return unary, {pair: joint[pair] if pair in joint else joint[pair[::-1]].T for pair in pairs}

    def _draw(self, distribution: Distribution, count: int, bins: int, rng: np.random.Generator) -> Codes:
        """Codes of paths rounded down, each as probable as its architecture."""
        trellis, weights, messages = self._run(distribution, bins, "down")
        codes = np.empty((count, len(trellis.steps)), dtype=np.int64)
        place, left = np.zeros(count, dtype=np.int64), np.full(count, trellis.bins)
        steps = list(zip(trellis.steps, weights, messages[:-1], strict=True))
        for step, weight, before in reversed(steps):
            sources, remaining = step.source[place], left[:, None] - step.bins[place]
            logs = np.where(remaining >= 0, before[sources, np.maximum(remaining, 0)] + weight[place], -np.inf)
            logs -= logs.max(axis=1, keepdims=True)
            passed = np.cumsum(np.exp(logs), axis=1)
            chosen = (rng.random((count, 1)) * passed[:, -1:] >= passed).sum(axis=1)
            trellis.trace(chosen, step, codes)
            every = np.arange(count)
            place, left = sources[every, chosen], remaining[every, chosen]
        return codes

    def _estimate(self, distribution: Distribution) -> tuple[Trellis, list[FloatArray], list[FloatArray]]:
        found = self._run(distribution, self.bins, "nearest")
        # Where next to nothing is feasible, none of it may be left at the nearest bins.
        return found if np.isfinite(found[2][-1][0, -1]) else self._run(distribution, self.bins, "down")

    def _run(
        self, distribution: Distribution, bins: int, rounding: Rounding
    ) -> tuple[Trellis, list[FloatArray], list[FloatArray]]:
        """The trellis, and the distribution's weights and messages in it; those of the last distributions are kept."""
        pairs = frozenset(distribution.unary_pairwise_log()[1])
        key = (pairs, bins, rounding)
        if key not in self._trellises:
            self._trellises[key] = Trellis(self.terms, self.budget_ms, pairs, bins, rounding)
        trellis = self._trellises[key]
        state = (bins, rounding, repr(pairs).encode() + b"".join(one.tobytes() for one in distribution.parameters))
        if state not in self._kept:
            weights = trellis.weights(distribution)
            found = weights, trellis.messages(weights, log_sum)
            self._kept = dict([*self._kept.items()][1 - KEPT :]) | {state: found}
        return trellis, *self._kept[state]
