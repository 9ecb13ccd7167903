"""Draws feasible architectures for the training of a distribution, and computes gradients over feasible architectures only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latlas.arrays import Codes, FloatArray
from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.sampling import Sampler, Screen

_AT_ONCE = 4096


class Unrestricted:
    """A sampler that takes every architecture as feasible. With a screen behind it, this is rejection sampling."""

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Codes `(count, columns)`, drawn independently."""
        return distribution.sample(count, rng)

    def log_feasible(self, distribution: Distribution) -> float:
        """Always 0, because everything is feasible."""
        return 0.0

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """Zeros in the shapes of the parameters."""
        return [np.zeros_like(one) for one in distribution.parameters]


@dataclass(frozen=True)
class FeasibleDraws:
    """Gives a sampler's draws that pass a screen. At most `max_draws` draws are screened to find one that passes."""

    sampler: Sampler
    screen: Screen | None = None
    max_draws: int = 10_000

    def __post_init__(self) -> None:
        if self.max_draws < 1:
            raise UsageError(f"max_draws is {self.max_draws}; it must be at least 1")

    def one(self, distribution: Distribution, rng: np.random.Generator) -> tuple[Codes, int]:
        """Codes `(columns,)` that pass, and how many draws that took.

        Raises `InfeasibleBudgetError` if none of `max_draws` passes.
        """
        looked_at, count = 0, 1
        while looked_at < self.max_draws:
            rows = self.sampler.sample(distribution, min(count, self.max_draws - looked_at), rng)
            passed = self._passed(rows)
            if len(passed):
                return rows[passed[0]], looked_at + int(passed[0]) + 1
            looked_at, count = looked_at + len(rows), min(4 * count, _AT_ONCE)
        raise InfeasibleBudgetError(
            f"none of {self.max_draws} architectures that were drawn is within the budget; raise the budget, "
            "or sample from the feasible set, which needs a predictor that is a sum over the space's layers"
        )

    def many(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Codes `(n, columns)` that pass, n at most `count`: fewer if `count + max_draws` draws do not give so many."""
        found: list[Codes] = []
        left, looked_at = count, 0
        while left and looked_at < self.max_draws + count:
            rows = self.sampler.sample(distribution, min(max(left, looked_at), _AT_ONCE), rng)
            looked_at += len(rows)
            found.append(rows[self._passed(rows)[:left]])
            left -= len(found[-1])
        return np.concatenate(found)

    def _passed(self, rows: Codes) -> npt.NDArray[np.intp]:
        return np.arange(len(rows)) if self.screen is None else np.flatnonzero(self.screen(rows))


def conditional_gradient(distribution: Distribution, gates: Sequence[FloatArray], draws: Codes) -> list[FloatArray]:
    """The gradient of the feasible architectures' expected loss with respect to the parameters.

    Equation 4 of ProxylessNAS moves each column by its own probabilities and ignores which architectures are feasible. But
    samples have the probability `p(a) / P(V)` in the feasible set V. With a loss that is linear in the gates,
    `sum_l G_l[a_l]`, the gradient of its expectation is the covariance in V of that loss and `d log p(a) / d parameters`. This
    is TabNAS's correction (arXiv 2204.07615) with that loss in place of a reward. Without a constraint and for independent
    columns it equals equation 4.

    Args:
        distribution: The distribution that the architectures are drawn from.
        gates: The loss's gradient with respect to the gates of each column, `(options,)`.
        draws: Feasible architectures `(n, columns)` of the distribution. The covariance is estimated from them, without bias;
            with fewer than two of them the gradient is 0.
    """
    if len(draws) < 2:
        return [np.zeros_like(one) for one in distribution.parameters]
    losses = np.sum([gate[draws[:, column]] for column, gate in enumerate(gates)], axis=0)
    return distribution.log_prob_gradient(draws, (losses - np.mean(losses)) / (len(draws) - 1))
