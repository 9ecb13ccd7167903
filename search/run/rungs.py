"""Successive halving within the proxy task: a candidate is trained from rung to rung, and stopped where others did better.

Optuna's pruners decide, at each rung from what this search has seen there before: `SuccessiveHalvingPruner` (Li et al. 2020,
arXiv 1810.05934) and `HyperbandPruner` (Li et al. 2018, arXiv 1603.06560). Candidates of any strategy are trials of a study of
their own in memory, told in order: what candidates reached is recorded, and the same answers make the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latlas.search.proxy_config import RUNGS, rungs_of
from latlas.search.strategies.halving import ETA

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial


@dataclass(frozen=True, slots=True)
class Reached:
    """What a candidate reached, 0 to 1, after so many steps, and whether that was not enough to go on."""

    steps: int
    miou: float
    pruned: bool = False


class Rungs:
    """What candidates reached so far, and who may go on.

    Raises `UsageError` as `rungs_of`, and where Optuna is needed and not installed.
    """

    def __init__(self, steps: int, pruner: str) -> None:
        self.steps = rungs_of(steps, pruner)
        self._study = None
        if len(self.steps) > 1:
            from latlas.search.optuna.study import require_optuna

            require_optuna()
            import optuna

            optuna.logging.set_verbosity(optuna.logging.WARNING)
            # The name decides which bracket of Hyperband's a trial is in.
            self._study = optuna.create_study(study_name="latlas", direction="maximize", pruner=_pruner(pruner))

    def climb(self, reach: Callable[[int], float | None]) -> Reached:
        """Where a candidate ends: `reach(steps)` trains it so far and gives its quality, None where that failed."""
        trial = self._study.ask() if self._study is not None else None
        found = Reached(0, 0.0, True)
        for rung, steps in enumerate(self.steps):
            miou = reach(steps)
            if miou is None:
                found = Reached(steps, 0.0, True)
                break
            goes_on = trial is None or steps == self.steps[-1] or _goes_on(trial, rung, miou)
            found = Reached(steps, miou, not goes_on)
            if found.pruned:
                break
        if self._study is not None and trial is not None:
            from optuna.trial import TrialState

            if found.pruned:
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._study.tell(trial, found.miou)
        return found


def _goes_on(trial: Trial, rung: int, miou: float) -> bool:
    # Resources are counted in the first rung's steps, so that Optuna's rungs are these.
    trial.report(miou, ETA**rung)
    return not trial.should_prune()


def _pruner(name: str) -> BasePruner:
    from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA)
    return HyperbandPruner(min_resource=1, max_resource=ETA ** (RUNGS - 1), reduction_factor=ETA)
