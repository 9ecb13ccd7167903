"""Optuna's samplers as strategies, through ask and tell: `pip install latlas[optuna]`.

Every suggestion is a trial. It is told its quality, or that it was dropped and by how many milliseconds it was outside, or,
where nobody says anything, that it failed: none stays running. In a storage that several processes open, a study is one
search of all of them, which `optuna-dashboard` shows; together they do the number of evaluations asked for.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from latlas.latency.errors import EnvironmentMismatchError, UsageError
from latlas.search.optuna_constraint import KEY
from latlas.search.optuna_study import (
    ARCHITECTURE,
    EVALUATED,
    LATENCY,
    OWNER,
    VERDICT,
    abandoned,
    evaluations_of,
    open_study,
    require_optuna,
    sampler_setting,
    this_process,
)
from latlas.search.random_search import draw
from latlas.search.strategy import Dropped, Evaluation, StrategyContext
from latlas.search.variation import MAX_RESAMPLES, mutant
from latlas.supernet.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial, TrialState

DRY = 32
"""After so many dropped suggestions in a row every second one is a mutant of the best, or a draw, until one is evaluated."""
FORGET = 500
"""After so many, those that were dropped may come again: the loop's floor falls."""
MUTATION_RATE = 0.1


class OptunaStrategy:
    """One of Optuna's samplers: `name` is `optuna-` and one of `optuna_study.SAMPLERS`.

    What a sampler suggests is passed over where it is known, was dropped, or is predicted by the context's `terms` to be over
    its budget, and the sampler is asked again, boundedly. Then, and where many suggestions in a row were dropped, mutants of
    the best and draws of `random_search.draw` are made trials instead: samplers know nothing of a tight budget at first.

    Without a storage the same seed gives the same search. With one, what a process suggests depends on what others have told
    by then.

    Args:
        objectives: 1, the quality; or 2, quality and latency, which evaluations must have then.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        rng: np.random.Generator,
        evaluations: int,
        context: StrategyContext | None = None,
        objectives: int = 1,
    ) -> None:
        require_optuna()
        self.name, self.space, self.rng = name, space, rng
        self.context = context or StrategyContext()
        self.evaluations, self.objectives = evaluations, objectives
        self.shared = self.context.storage is not None
        kind = name.rpartition("-")[2]
        if self.shared and kind == "cmaes":
            raise UsageError(
                f"{name} does not share a storage: Optuna keeps its state there as a pickle, which could run anybody's code; "
                "leave out the storage, or take another sampler"
            )
        seed = int(rng.integers(2**31))
        if self.shared:
            # Two processes of one seed are not to suggest the same; but all go through one grid in one order.
            seed = 0 if kind == "grid" else int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        self._setting = sampler_setting(kind, space, seed, evaluations)
        self._coding = self._setting.coding
        self._study = open_study(self._setting, space, self.context, ("maximize", "minimize")[:objectives])
        self._open: dict[Architecture, Trial] = {}
        self._values: dict[Architecture, tuple[float, ...]] = {}
        self._dropped: dict[Architecture, float] = {}
        self._elsewhere: set[str] = set()
        self._dry, self._asked = 0, -1
        self._synchronise()

    def suggest(self, count: int) -> list[Architecture]:
        """What the sampler asks for; fewer where a grid is finished, or a shared study has all its evaluations."""
        self._close("not evaluated")
        self._synchronise()
        if self.shared:
            count = min(count, self.evaluations - len(self._values) - len(self._elsewhere))
        found: list[Architecture] = []
        for _ in range(count):
            one = self._ask()
            if one is None:
                break
            found.append(one)
        return found

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Tell the quality of each; what was not suggested here becomes a trial of its own."""
        from optuna.exceptions import UpdateFinishedTrialError

        for one in completed:
            trial = self._open.pop(one.architecture, None)
            if trial is None and one.architecture in self._values:
                continue
            values = (one.quality, one.latency_ms)[: self.objectives]
            self._dry = 0
            if not all(map(math.isfinite, values)):
                if trial is not None:
                    self._fail(trial, f"no number: {values}")
                continue
            self._values[one.architecture] = values
            if trial is None:
                self._add(one, values)
                continue
            try:
                self._describe(trial, EVALUATED, self._excess_of(one), one.latency_ms)
                self._study.tell(trial, values)
            except (UpdateFinishedTrialError, ValueError):  # another process took this one to have ended
                self._add(one, values)

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Tell that suggestions were not evaluated, and by how much they were outside."""
        for one in dropped:
            self._dry += 1
            trial = self._open.pop(one.architecture, None)
            if one.excess_ms > 0:
                self._dropped[one.architecture] = one.excess_ms
            if self._dry % FORGET == 0:
                self._dropped.clear()
            if trial is not None:
                self._drop(trial, one.excess_ms, "dropped")

    def _ask(self) -> Architecture | None:
        if not self._setting.points and self._dry >= DRY and self.rng.random() < 0.5:
            return self._other()
        for _ in range(self._setting.attempts):
            if self._exhausted():
                return None
            trial = self._trial()
            self._asked = trial.number
            one = self._coding.architecture(trial.params)
            if self._taken(one) or one in self._dropped:
                self._fail(trial, "suggested before")
            elif one in self._values:
                self._repeat(trial, one)
            elif (excess := self._predicted_excess(one)) > 0:
                self._dropped[one] = excess
                trial.set_user_attr(ARCHITECTURE, str(one))
                self._drop(trial, excess, "predicted over the budget")
            else:
                return self._opened(trial, one)
        return self._other()

    def _taken(self, architecture: Architecture) -> bool:
        return architecture in self._open or (self.shared and str(architecture) in self._elsewhere)

    def _exhausted(self) -> bool:
        """Whether a grid has no points left; the sampler goes through all trials to say so."""
        points = self._setting.points
        if not points or self._asked + 1 < points:
            return False
        return bool(self._setting.sampler.is_exhausted(self._study))  # type: ignore[attr-defined]  # of a grid

    def _other(self) -> Architecture:
        """A mutant of one of the best, or a draw: one that is new where there is any."""
        from optuna.samplers import PartialFixedSampler

        best = sorted(self._values, key=lambda one: (-self._values[one][0], str(one)))[:5]
        for _ in range(MAX_RESAMPLES):
            if best and self.rng.random() < 0.5:
                one = mutant(self.space, best[self.rng.integers(len(best))], self.rng, MUTATION_RATE)
            else:
                one = draw(self.space, self.rng)
            params = self._coding.params(one)
            new = not self._taken(one) and one not in self._values and one not in self._dropped
            if params is not None and new and self._predicted_excess(one) <= 0:
                break
        if params is None or not new:
            return one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is said to be experimental, since 2.4
            self._study.sampler = PartialFixedSampler(params, self._setting.sampler)
        trial = self._trial()
        self._study.sampler = self._setting.sampler
        return self._opened(trial, one)

    def _trial(self) -> Trial:
        try:
            return self._study.ask(self._coding.distributions)
        except ValueError as error:  # of parameters that somebody gave another meaning
            raise EnvironmentMismatchError(
                f"study {self.context.study!r} holds trials of something else ({error}); name another one"
            ) from None

    def _opened(self, trial: Trial, architecture: Architecture) -> Architecture:
        trial.set_user_attr(ARCHITECTURE, str(architecture))
        if self.shared:
            trial.set_user_attr(OWNER, this_process())
        self._open[architecture] = trial
        return architecture

    def _add(self, one: Evaluation, values: tuple[float, ...]) -> None:
        from optuna.trial import create_trial

        params = self._coding.params(one.architecture)
        if params is None:  # what a coarse grid cannot write
            return
        attributes: dict[str, Any] = {ARCHITECTURE: str(one.architecture), VERDICT: EVALUATED}
        if math.isfinite(one.latency_ms):
            attributes[LATENCY] = one.latency_ms
        trial = create_trial(
            values=values, params=params, distributions=self._coding.distributions, user_attrs=attributes
        )
        if self._setting.constrained:
            trial.set_constraint(KEY, self._excess_of(one))
        self._study.add_trial(trial)

    def _repeat(self, trial: Trial, architecture: Architecture) -> None:
        if not self._setting.repeats:
            self._fail(trial, "known")
            return
        self._describe(trial, "known", 0.0)
        self._study.tell(trial, self._values[architecture])

    def _drop(self, trial: Trial, excess_ms: float, verdict: str) -> None:
        from optuna.trial import TrialState

        if excess_ms <= 0:
            self._fail(trial, verdict)
            return
        self._describe(trial, verdict, excess_ms)
        if self._setting.values and self._values:
            # It has no quality. The mean of those known says the least about it; the constraint says the rest.
            mean = np.mean(list(self._values.values()), axis=0)
            self._study.tell(trial, [float(value) for value in mean], skip_if_finished=True)
        else:
            self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)

    def _fail(self, trial: Trial, verdict: str) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr(VERDICT, verdict)
        self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _close(self, verdict: str) -> None:
        for trial in self._open.values():
            self._fail(trial, verdict)
        self._open.clear()

    def _describe(self, trial: Trial, verdict: str, excess_ms: float, latency_ms: float = math.nan) -> None:
        trial.set_user_attr(VERDICT, verdict)
        if math.isfinite(latency_ms):
            trial.set_user_attr(LATENCY, latency_ms)
        if self._setting.constrained:
            trial.set_constraint(KEY, excess_ms)

    def _excess_of(self, one: Evaluation) -> float:
        """At most 0: an evaluated architecture was within the budget."""
        if self.context.budget_ms is None or not math.isfinite(one.latency_ms):
            return 0.0
        return min(0.0, one.latency_ms - self.context.budget_ms)

    def _predicted_excess(self, architecture: Architecture) -> float:
        if self.context.terms is None or self.context.budget_ms is None:
            return 0.0
        codes = self.space.encode([architecture])
        return float(self.context.terms.values(codes)[0]) - self.context.budget_ms

    def _synchronise(self) -> None:
        """Take in what others evaluated, and what they are about to; suggestions of processes that ended fail."""
        if not self.shared:
            return
        from optuna.trial import TrialState

        for one in evaluations_of(self._coding, self._trials(TrialState.COMPLETE)):
            values = (one.quality, one.latency_ms)[: self.objectives]
            if all(map(math.isfinite, values)):
                self._values.setdefault(one.architecture, values)
        self._elsewhere.clear()
        for trial in self._trials(TrialState.RUNNING):
            if abandoned(trial):
                self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            else:
                self._elsewhere.add(str(trial.user_attrs.get(ARCHITECTURE, trial.number)))

    def _trials(self, state: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(state,))
