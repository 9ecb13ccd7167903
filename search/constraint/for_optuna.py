"""The latency constraint for an Optuna study. It needs the extra `optuna`.

For Optuna a trial is feasible if its constraints are at most zero. The value of this constraint is the architecture's upper
bound minus the budget, in milliseconds. `TPESampler`, `NSGAIISampler` and others then prefer architectures within the budget.
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

    `architecture_of` makes a trial's architecture (anything with a `graph()`) with the trial's `suggest_...` methods. Call
    `check` or `prune` in the objective. Or give this object to a sampler as `constraints_func`, which Optuna 5 deprecates.

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
        """The constraint's value for `constraints_func`: upper bound minus budget, in milliseconds; at most 0 is feasible."""
        return (self.over_ms(self.constraint.check(self.architecture_of(trial))),)

    def over_ms(self, verdict: Verdict) -> float:
        """How many milliseconds a verdict's upper bound is above the budget; below 0 if it is within."""
        return verdict.upper_ms - self.constraint.budget_ms

    def check(self, trial: Trial) -> Verdict:
        """The verdict on the trial's architecture. It also sets the trial's constraint."""
        verdict = self.constraint.check(self.architecture_of(trial))
        trial.set_constraint(KEY, self.over_ms(verdict))
        return verdict

    def prune(self, trial: Trial) -> Verdict:
        """What `check` gives. Raises `optuna.TrialPruned` if the architecture is not within the budget, so it is not trained."""
        import optuna

        verdict = self.check(trial)
        if not verdict.feasible:
            raise optuna.TrialPruned(
                f"{verdict.latency_ms:.3f} ms (up to {verdict.upper_ms:.3f}) is not within the budget"
            )
        return verdict
