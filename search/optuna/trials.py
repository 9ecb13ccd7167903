"""The trials of a study: asks for new ones, tells their quality or why they have none, and reads those of other processes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from latlas.errors import EnvironmentMismatchError
from latlas.search.constraint.for_optuna import KEY
from latlas.search.optuna.samplers import SamplerSetting
from latlas.search.optuna.study import (
    ARCHITECTURE,
    EVALUATED,
    LATENCY,
    OWNER,
    VERDICT,
    abandoned,
    evaluations_of,
    this_process,
)
from latlas.search.strategies.strategy import Evaluation
from latlas.spaces.space import Architecture

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial, TrialState


class OptunaTrials:
    """The trials of one study. Each trial is one architecture.

    Args:
        shared: Whether other processes have trials in the study.
        budget_ms: The budget; a trial's constraint is its latency minus the budget.
    """

    def __init__(self, study: Study, setting: SamplerSetting, shared: bool, budget_ms: float | None) -> None:
        self.study, self.setting, self.coding, self.shared, self.budget_ms = (
            study,
            setting,
            setting.coding,
            shared,
            budget_ms,
        )
        self._asked = -1

    def ask(self) -> tuple[Trial, Architecture]:
        """A new trial with the sampler's suggestion, and its architecture."""
        try:
            trial = self.study.ask(self.coding.distributions)
        except ValueError as error:  # other trials have parameters of the same name with another meaning
            raise EnvironmentMismatchError(
                f"study {self.study.study_name!r} holds trials of something else ({error}); name another one"
            ) from None
        self._asked = trial.number
        return trial, self.coding.architecture(trial.params)

    def ask_of(self, params: dict[str, Any]) -> Trial:
        """A new trial with these parameters. A sampler with populations adds it to its population."""
        from optuna.samplers import PartialFixedSampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns that it is experimental, since version 2.4
            self.study.sampler = PartialFixedSampler(params, self.setting.sampler)
        try:
            return self.ask()[0]
        finally:
            self.study.sampler = self.setting.sampler

    def exhausted(self) -> bool:
        """Whether a grid has no points left. The sampler reads all trials to find out, so it is asked only near the end."""
        points = self.setting.points
        if not points or self._asked + 1 < points:
            return False
        return bool(self.setting.sampler.is_exhausted(self.study))  # type: ignore[attr-defined]  # of a grid

    def open(self, trial: Trial, architecture: Architecture) -> None:
        """Store a trial's architecture in it, and in a shared study the process that runs it."""
        trial.set_user_attr(ARCHITECTURE, str(architecture))
        if self.shared:
            trial.set_user_attr(OWNER, this_process())

    def complete(self, trial: Trial | None, one: Evaluation, values: Sequence[float]) -> None:
        """Tell an evaluation. Without a trial, or if another process finished the trial as abandoned, add a new trial."""
        excess = 0.0
        if self.budget_ms is not None and math.isfinite(one.latency_ms):
            excess = min(0.0, one.latency_ms - self.budget_ms)  # at most 0: it was within the budget
        with _finished_elsewhere() as late:
            if trial is not None:
                self._describe(trial, EVALUATED, excess, one.latency_ms)
                self.study.tell(trial, list(values))
        if trial is None or late:
            self._add(one, values, excess)

    def repeat(self, trial: Trial, values: Sequence[float]) -> None:
        """Finish the trial of a known architecture: with its values for a sampler with populations, else as failed."""
        if not self.setting.repeats:
            self.fail(trial, "known")
            return
        self._describe(trial, "known", 0.0)
        self.study.tell(trial, list(values))

    def drop(self, trial: Trial, excess_ms: float, verdict: str, mean: Sequence[float] | None) -> None:
        """Tell that a trial was outside by `excess_ms`. `mean` are the values for a sampler that needs values to learn."""
        from optuna.trial import TrialState

        if excess_ms <= 0:
            self.fail(trial, verdict)
            return
        with _finished_elsewhere():
            self._describe(trial, verdict, excess_ms)
            if self.setting.values and mean is not None:
                self.study.tell(trial, list(mean))
            else:
                self.study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial, verdict: str) -> None:
        """Tell that a trial failed. `verdict` says why."""
        from optuna.trial import TrialState

        with _finished_elsewhere():
            trial.set_user_attr(VERDICT, verdict)
            self.study.tell(trial, state=TrialState.FAIL)

    def evaluated(self) -> Iterator[Evaluation]:
        """The evaluations of all processes."""
        from optuna.trial import TrialState

        return evaluations_of(self.coding, self._of(TrialState.COMPLETE))

    def under_way(self) -> set[str]:
        """The architectures that processes are about to evaluate. Abandoned trials are told that they failed."""
        from optuna.trial import TrialState

        found = set()
        for trial in self._of(TrialState.RUNNING):
            if abandoned(trial):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            else:
                found.add(str(trial.user_attrs.get(ARCHITECTURE, trial.number)))
        return found

    def _of(self, state: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))

    def _add(self, one: Evaluation, values: Sequence[float], excess: float) -> None:
        from optuna.trial import create_trial

        params = None if one.architecture.is_baseline else self.coding.params(one.architecture)
        if params is None:  # a coarse grid cannot write it
            return
        attributes: dict[str, Any] = {ARCHITECTURE: str(one.architecture), VERDICT: EVALUATED}
        if math.isfinite(one.latency_ms):
            attributes[LATENCY] = one.latency_ms
        trial = create_trial(
            values=list(values), params=params, distributions=self.coding.distributions, user_attrs=attributes
        )
        if self.setting.constrained:
            trial.set_constraint(KEY, excess)
        self.study.add_trial(trial)

    def _describe(self, trial: Trial, verdict: str, excess_ms: float, latency_ms: float = math.nan) -> None:
        trial.set_user_attr(VERDICT, verdict)
        if math.isfinite(latency_ms):
            trial.set_user_attr(LATENCY, latency_ms)
        if self.setting.constrained:
            trial.set_constraint(KEY, excess_ms)


@contextmanager
def _finished_elsewhere() -> Iterator[list[str]]:
    """Ignore the error if another process has finished the trial meanwhile; then the list that it yields is not empty."""
    from optuna.exceptions import UpdateFinishedTrialError

    late: list[str] = []
    try:
        yield late
    except UpdateFinishedTrialError as error:
        late.append(str(error))
    except ValueError as error:
        if "Cannot tell a" not in str(error):  # Optuna's message if the state has changed meanwhile
            raise
        late.append(str(error))
