"""Draws architectures from a distribution under a latency budget, exactly and without rejection.

Someone who draws again until an architecture is within the budget samples `p(a | V) = p(a) / P(V)` for the feasible set V. Its
log gradient is the gradient of `log p(a)` minus the gradient of `log P(V)`. TabNAS (arXiv 2204.07615) estimates P(V) by the
share of feasible draws. If latency is a sum of terms, dynamic programming gives the draws, `log P(V)` and its gradient exactly.
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
"""A function that says which of the codes `(n, columns)` are feasible, `(n,)`."""

FINER = 8
"""If rounding lets too many infeasible draws through, bins this many times finer are tried."""
MAX_FINER = 3
KEPT = 4
"""How many distributions' messages are cached. Draws, their gradient and a flatter distribution need them in turn."""
DRAWS_EACH = 200
"""So many draws per wanted architecture, plus a thousand, are made before finer bins are tried."""


class Sampler(Protocol):
    """Draws from `p(a | V)` and computes `log P(V)`."""

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Feasible codes `(count, columns)`, drawn independently."""
        ...

    def log_feasible(self, distribution: Distribution) -> float:
        """`log P(V)`, which is at most 0."""
        ...

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """The gradient of `log P(V)` with respect to the parameters: `E[d log p(a) / d parameters | a in V]`."""
        ...


class FeasibleSampler:
    """Exact draws of architectures whose `terms` are at most `budget_ms`, by dynamic programming over latency bins.

    Latencies are rounded down to bins, so that every feasible architecture may be drawn. This also lets some through that are up
    to a bin per column above the budget; every draw is compared with the budget by its exact terms, and drawn again if it is
    above. `drawn` and `rejected` count this. `log_feasible` rounds to the nearest bin, because then errors cancel;
    `log_feasible_bounds` rounds down and up and gives sure bounds. Raises `InfeasibleBudgetError` if nothing is feasible.
    """

    def __init__(self, terms: Additive, budget_ms: float, bins: int = BINS) -> None:
        self.terms, self.budget_ms, self.bins = terms, budget_ms, bins
        self.drawn = self.rejected = 0
        self._trellises: dict[tuple[frozenset[tuple[int, int]], int, Rounding], Trellis] = {}
        self._kept: dict[tuple[int, Rounding, bytes], tuple[list[FloatArray], list[FloatArray]]] = {}
        # Made now, because it raises for an impossible budget.
        self._trellises[frozenset(), bins, "down"] = Trellis(terms, budget_ms, bins=bins)

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Feasible codes `(count, columns)`, drawn independently.

        Raises `LatlasError` if no bins were fine enough, because almost all of the distribution lies just above the budget.
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
        """An estimate of `log P(V)`. `log_feasible_bounds` says how far it may be off."""
        _, _, messages = self._estimate(distribution)
        return min(0.0, float(messages[-1][0, -1]))

    def log_feasible_bounds(self, distribution: Distribution) -> tuple[float, float]:
        """A lower and an upper bound of `log P(V)`. The lower is minus infinity if nothing is left when bins are rounded up."""
        roundings: tuple[Rounding, Rounding] = ("up", "down")
        lower, upper = (float(self._run(distribution, self.bins, one)[2][-1][0, -1]) for one in roundings)
        return lower, min(0.0, upper)

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """The gradient of `log_feasible`, from the expected count of each option among the feasible (forward-backward)."""
        return distribution.count_gradient(*self.marginals(distribution))

    def marginals(self, distribution: Distribution) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        """The probabilities, among feasible architectures, of each option and of each pair of options of the distribution."""
        trellis, weights, messages = self._estimate(distribution)
        unary, joint = trellis.marginals(weights, messages)
        pairs = distribution.unary_pairwise_log()[1]
        return unary, {pair: joint[pair] if pair in joint else joint[pair[::-1]].T for pair in pairs}

    def _draw(self, distribution: Distribution, count: int, bins: int, rng: np.random.Generator) -> Codes:
        """Codes `(count, columns)` drawn from the paths of a trellis rounded down; some may be just above the budget."""
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
        # If almost nothing is feasible, rounding to the nearest bins may leave nothing.
        return found if np.isfinite(found[2][-1][0, -1]) else self._run(distribution, self.bins, "down")

    def _run(
        self, distribution: Distribution, bins: int, rounding: Rounding
    ) -> tuple[Trellis, list[FloatArray], list[FloatArray]]:
        """The trellis, and the distribution's weights and messages in it. Those of the last few distributions are cached."""
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
