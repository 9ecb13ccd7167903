"""Early stopping within the proxy task: a candidate is trained from rung to rung, and stopped if others did better there.

Optuna's pruners decide, at each rung, from the earlier candidates of this search: `SuccessiveHalvingPruner` (Li et al. 2020,
arXiv 1810.05934) and `HyperbandPruner` (Li et al. 2018, arXiv 1603.06560). The candidates of any strategy are trials of a
separate study in memory. Their scores are recorded and told in order, so a resumed run makes the same decisions.
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
    """The mIoU (0..1) that a candidate reached after so many steps, and whether it was stopped there."""

    steps: int
    miou: float
    pruned: bool = False


class Rungs:
    """Decides at each rung whether a candidate continues, from the scores of the candidates so far.

    Raises what `rungs_of` raises, and `UsageError` if Optuna is needed and not installed.
    """

    def __init__(self, steps: int, pruner: str) -> None:
        self.steps = rungs_of(steps, pruner)
        self._study = None
        if len(self.steps) > 1:
            from latlas.search.optuna.study import require_optuna

            require_optuna()
            import optuna

            optuna.logging.set_verbosity(optuna.logging.WARNING)
            # Hyperband chooses a trial's bracket from the study's name, so the name is fixed.
            self._study = optuna.create_study(study_name="latlas", direction="maximize", pruner=_pruner(pruner))

    def climb(self, reach: Callable[[int], float | None]) -> Reached:
        """Train a candidate from rung to rung, and return where it ended.

        `reach(steps)` trains it up to that step and gives its quality, or None if the training failed.
        """
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
    # Optuna counts resources in units of the first rung's steps, so that its rungs are ours.
    trial.report(miou, ETA**rung)
    return not trial.should_prune()


def _pruner(name: str) -> BasePruner:
    from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=ETA)
    return HyperbandPruner(min_resource=1, max_resource=ETA ** (RUNGS - 1), reduction_factor=ETA)
