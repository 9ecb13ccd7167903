"""The latency constraint for an Optuna study: the extra `optuna`.

A trial is feasible for Optuna where its constraints are at most zero. This one's is the milliseconds by which the upper bound of
its architecture is above the budget. `TPESampler`, `NSGAIISampler` and others then draw what is within it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from latlas.search.constraint.constraint import HasGraph, LatencyConstraint, Verdict

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

KEY = "latlas_over_ms"
"""The name of the constraint in a trial."""


class OptunaLatencyConstraint:
    """Tells a study's trials by how many milliseconds they are above the budget.

    `architecture_of` makes the architecture, anything with a `graph()`, of a trial, by its `suggest_...` methods. Call `check`,
    or `prune`, in the objective; or give this object itself to a sampler as `constraints_func`, which Optuna 5 deprecates.

    Example:
        >>> within = OptunaLatencyConstraint(constraint, architecture_of)    # doctest: +SKIP
        >>> def objective(trial):
        ...     within.prune(trial)
        ...     return accuracy_of(architecture_of(trial))
    """

    def __init__(
        self, constraint: LatencyConstraint, architecture_of: Callable[[Trial | FrozenTrial], HasGraph]
    ) -> None:
        self.constraint = constraint
        self.architecture_of = architecture_of

    def __call__(self, trial: FrozenTrial) -> tuple[float]:
        """A `constraints_func`: by how many milliseconds the upper bound is above the budget, at most 0 where it is within."""
        return (self.over_ms(self.constraint.check(self.architecture_of(trial))),)

    def over_ms(self, verdict: Verdict) -> float:
        """By how many milliseconds a verdict's upper bound is above the budget."""
        return verdict.upper_ms - self.constraint.budget_ms

    def check(self, trial: Trial) -> Verdict:
        """The verdict on the trial's architecture; the trial's constraint is set to it."""
        verdict = self.constraint.check(self.architecture_of(trial))
        trial.set_constraint(KEY, self.over_ms(verdict))
        return verdict

    def prune(self, trial: Trial) -> Verdict:
        """As `check`; raises `optuna.TrialPruned` where the architecture is not within the budget: no training for it."""
        import optuna

        verdict = self.check(trial)
        if not verdict.feasible:
            raise optuna.TrialPruned(
                f"{verdict.latency_ms:.3f} ms (up to {verdict.upper_ms:.3f}) is not within the budget"
            )
        return verdict
