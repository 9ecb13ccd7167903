"""The shared parts of benchmarks/derivation.py: a stand-in for quality, budgets by shares of a space, sums, training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import Codes, FloatArray
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.descent import adam, descend
from latlas.search.gradient.distribution import AdjacentWeights, Distribution, LayerWeights
from latlas.search.gradient.sampling import Sampler
from latlas.search.gradient.strategy import reinforce_gradient

KINDS: dict[str, Any] = {"layer": LayerWeights, "adjacent": AdjacentWeights}
SHARES = (0.5, 0.1, 0.01)
BATCH = 8


@dataclass
class Quality:
    """A stand-in for quality: a sum of terms like a distribution's logarithm, so its constrained best can be derived."""

    terms: Additive

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.terms.sizes

    def unary_pairwise_log(self) -> tuple[list[FloatArray], dict[tuple[int, int], FloatArray]]:
        return list(self.terms.unary), dict(self.terms.pairwise)


def quality_of(latency: Additive, seed: int) -> Quality:
    """Slow operators are better, with a random taste, and some neighbours go well together; 0 to about 1 on `portrait`."""
    rng, sizes = np.random.default_rng([seed, 9]), latency.sizes
    scale = 1.0 / (3 * len(sizes))
    unary = [scale * (2 * u / max(float(np.ptp(u)), 1e-9) + rng.normal(0, 1, len(u))) for u in latency.unary]
    pairs = {(i, i + 1): scale * rng.normal(0, 1, sizes[i : i + 2]) for i in range(len(sizes) - 1)}
    return Quality(Additive(0.3, unary, pairs))


def restricted(terms: Additive, fixed: Codes, free: int) -> Additive:
    """The terms of the first `free` columns, the others at `fixed` `(columns,)`."""
    constant, unary, pairwise = terms.constant, [one.copy() for one in terms.unary[:free]], {}
    constant += sum(float(one[fixed[k]]) for k, one in enumerate(terms.unary) if k >= free)
    for (i, j), table in terms.pairwise.items():
        if i < free and j < free:
            pairwise[i, j] = table
        elif i < free:
            unary[i] += table[:, fixed[j]]
        elif j < free:
            unary[j] += table[fixed[i]]
        else:
            constant += float(table[fixed[i], fixed[j]])
    return Additive(constant, unary, pairwise)


def budget_of(terms: Additive, share: float) -> float:
    """About this share of the networks takes at most these milliseconds, by uniform draws."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(size, size=200_000) for size in terms.sizes], axis=1)
    return float(np.quantile(terms.values(rows), share))


def enumerated(sizes: tuple[int, ...]) -> Codes:
    return np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)


def exact_log_share(distribution: Distribution, terms: Additive, budget_ms: float) -> float | None:
    """`log P(V)` without bins, by meeting in the middle; None if columns meet that are no neighbours."""
    if any(abs(i - j) != 1 for i, j in terms.pairwise):
        return None
    sizes, middle = terms.sizes, len(terms.sizes) // 2
    unary, pairwise = distribution.unary_pairwise_log()
    log_prob = Additive(0.0, unary, pairwise)

    def part(sums: Additive, codes: Codes, first: int) -> FloatArray:
        last = first + codes.shape[1]
        within = {
            (i - first, j - first): t for (i, j), t in sums.pairwise.items() if first <= min(i, j) and max(i, j) < last
        }
        return Additive(0.0, sums.unary[first:last], within).values(codes)

    halves = [(enumerated(sizes[:middle]), 0), (enumerated(sizes[middle:]), middle)]
    (left_ms, left_p), (right_ms, right_p) = (
        (part(terms, codes, first), np.exp(part(log_prob, codes, first))) for codes, first in halves
    )
    total = 0.0
    for j in range(sizes[middle]):
        rows = halves[1][0][:, 0] == j
        order = np.argsort(right_ms[rows])
        sorted_ms, below = right_ms[rows][order], np.concatenate([[0.0], np.cumsum(right_p[rows][order])])
        for i in range(sizes[middle - 1]):
            ends = halves[0][0][:, -1] == i
            between = [
                sums.pairwise.get((middle - 1, middle), np.zeros((sizes[middle - 1], sizes[middle])))[i, j]
                + sums.pairwise.get((middle, middle - 1), np.zeros((sizes[middle], sizes[middle - 1])))[j, i]
                for sums in (terms, log_prob)
            ]
            rest = budget_ms - terms.constant - between[0] - left_ms[ends]
            total += float(left_p[ends] @ below[np.searchsorted(sorted_ms, rest, side="right")]) * np.exp(between[1])
    return float(np.log(total))


def within_budget(terms: Additive, budget_ms: float, codes: Codes) -> npt.NDArray[np.bool_]:
    return terms.values(codes) <= budget_ms


def train(
    distribution: Distribution, draw: Sampler, correct: Sampler, quality: Callable[[Codes], FloatArray], steps: int,
    rng: np.random.Generator, learning_rate: float = 0.05,
) -> None:  # fmt: skip
    """REINFORCE on batches of feasible draws, with a moving baseline."""
    optimizer, baseline = adam(distribution.parameters, learning_rate), None
    for _ in range(steps):
        rows = draw.sample(distribution, BATCH, rng)
        values = quality(rows)
        baseline = float(values.mean()) if baseline is None else baseline
        descend(optimizer, reinforce_gradient(distribution, correct, rows, values - baseline))
        baseline = 0.9 * baseline + 0.1 * float(values.mean())


def per_layer_argmax(distribution: Distribution) -> Codes:
    """Codes `(columns,)` of each column's most probable option: ProxylessNAS's derivation, which knows no budget."""
    return np.array([int(np.argmax(one)) for one in distribution.probabilities()])
