"""Draws from a distribution until the draws are feasible, as TabNAS does; exact draws are compared with this."""

from __future__ import annotations

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.search.gradient.distribution import Distribution
from latlas.search.gradient.sampling import Screen


class RejectionSampler:
    """Draws from a distribution until `screen` lets enough through: any test of feasibility, such as a constraint's.

    `log P(V)` is estimated by the share of `estimate_draws` draws of `rng` that are feasible, and its gradient is the mean over
    these of that of `log p`, as TabNAS has it (arXiv 2204.07615): with k feasible ones unbiased, of variance 1 / k. Where
    none is, more are drawn, to `max_draws`.
    """

    def __init__(
        self,
        screen: Screen,
        rng: np.random.Generator,
        *,
        max_draws: int = 100_000,
        estimate_draws: int = 1024,
    ) -> None:
        if max_draws < 1 or estimate_draws < 1:
            raise UsageError(f"max_draws {max_draws} and estimate_draws {estimate_draws} must be at least 1")
        self.screen, self.rng, self.max_draws, self.estimate_draws = screen, rng, max_draws, estimate_draws
        self.drawn = self.rejected = 0

    def sample(self, distribution: Distribution, count: int, rng: np.random.Generator) -> Codes:
        """Feasible codes `(count, columns)`; raises `InfeasibleBudgetError` if `max_draws` draws do not have that many."""
        found, missing, drawn = [np.empty((0, len(distribution.sizes)), dtype=np.int64)], count, 0
        while missing and drawn < self.max_draws:
            at_once = min(self.max_draws - drawn, max(16, missing, min(drawn, 4096)))
            rows = distribution.sample(at_once, rng)
            within = self.screen(rows)
            found.append(rows[within][:missing])
            missing, drawn = missing - len(found[-1]), drawn + at_once
            self.drawn += at_once
            self.rejected += int((~within).sum())
        if missing:
            raise InfeasibleBudgetError(
                f"{count - missing} of {drawn} architectures drawn are feasible, {count} were asked for; raise the budget, or "
                "draw exactly from what is feasible"
            )
        return np.concatenate(found)

    def log_feasible(self, distribution: Distribution) -> float:
        """The logarithm of the feasible share of new draws; raises `InfeasibleBudgetError` if none is feasible."""
        rows, drawn = self._feasible(distribution)
        return float(np.log(len(rows) / drawn))

    def log_feasible_gradient(self, distribution: Distribution) -> list[FloatArray]:
        """The mean gradient of `log p` over the feasible ones of new draws. It is the gradient of `log P_hat(V)`."""
        rows, _ = self._feasible(distribution)
        return distribution.log_prob_gradient(rows, np.full(len(rows), 1 / len(rows)))

    def _feasible(self, distribution: Distribution) -> tuple[Codes, int]:
        """The feasible codes among new draws, and the number of draws."""
        drawn = 0
        while drawn < self.max_draws:
            rows = distribution.sample(min(self.estimate_draws, self.max_draws - drawn), self.rng)
            drawn += len(rows)
            rows = rows[self.screen(rows)]
            if len(rows):
                return rows, drawn
        raise InfeasibleBudgetError(
            f"none of {drawn} architectures drawn is feasible; raise the budget, or draw exactly from what is feasible"
        )
