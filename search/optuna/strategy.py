"""Optuna's samplers as strategies, through ask and tell. They need the extra `optuna`.

Every suggestion is a trial. The trial is told the quality, or that the suggestion was dropped and by how many milliseconds it
was outside. If the strategy hears nothing about it, the trial is told that it failed, so that no trial stays running. Several
processes can open a study in one storage. They then do one search and share the number of evaluations, and `optuna-dashboard`
shows them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from latlas.errors import UsageError
from latlas.search.optuna.samplers import sampler_setting
from latlas.search.optuna.study import Directions, open_study, require_optuna
from latlas.search.optuna.trials import OptunaTrials
from latlas.search.strategies.strategy import Dropped, Evaluation, StrategyContext
from latlas.search.strategies.variation import MAX_RESAMPLES, mutant, pick
from latlas.spaces.sampling import draw
from latlas.spaces.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from optuna.trial import Trial

DRY = 32
"""After so many dropped suggestions in a row, half of the suggestions are mutants of the best or random draws, and later more
than half. A sampler that suggests nothing else may take a second for each suggestion."""
FORGET = 500
"""After so many dropped suggestions, dropped networks may be suggested again, because the loop's latency floor falls."""
MUTATION_RATE = 0.1


class OptunaStrategy:
    """One of Optuna's samplers: `name` is `optuna-` and a kind in `samplers.SAMPLERS`.

    A sampler's suggestion is skipped if it is known, was dropped, or is over the context's budget by the context's `terms`; the
    sampler is then asked again, a limited number of times. After that, or if many suggestions in a row were dropped, mutants of
    the best and random draws become trials instead, because a sampler knows nothing of a tight budget at first.

    Without a storage, the same seed gives the same search. With a storage, suggestions depend on the results that other
    processes have told by then.

    Args:
        objectives: 1 for quality; 2 for quality and latency, and then every evaluation needs a latency.
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
            # Processes with the same seed must not suggest the same; but all go through a grid in the same order.
            seed = 0 if kind == "grid" else int(np.random.SeedSequence().generate_state(1)[0] >> 1)
        setting = sampler_setting(kind, space, seed, evaluations)
        directions: Directions = ("maximize", "minimize")
        study = open_study(setting, space, self.context, directions[:objectives])
        self.trials = OptunaTrials(study, setting, self.shared, self.context.budget_ms)
        self._open: dict[Architecture, Trial] = {}
        self._values: dict[Architecture, tuple[float, ...]] = {}
        self._dropped: set[Architecture] = set()
        self._elsewhere: set[str] = set()
        self._dry = 0
        self._synchronise()

    def suggest(self, count: int) -> list[Architecture]:
        """The sampler's suggestions; fewer than `count` if a grid is finished or a shared study has all its evaluations."""
        for trial in self._open.values():
            self.trials.fail(trial, "not evaluated")
        self._open.clear()
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
        """Tell the quality of each evaluation. An architecture that was not suggested here becomes a new trial."""
        for one in completed:
            trial = self._open.pop(one.architecture, None)
            if trial is None and one.architecture in self._values:
                continue
            self._dry = 0
            values = self._values_of(one)
            if values is not None:
                self.trials.complete(trial, one, values)
                if not one.architecture.is_baseline:
                    self._values[one.architecture] = values
            elif trial is not None:
                self.trials.fail(trial, "no number")

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Tell that suggestions were not evaluated, and how far they were outside."""
        for one in dropped:
            self._dry += 1
            trial = self._open.pop(one.architecture, None)
            if one.excess_ms > 0:
                self._dropped.add(one.architecture)
            if self._dry % FORGET == 0:
                self._dropped.clear()
            if trial is not None:
                self.trials.drop(trial, one.excess_ms, "dropped", self._mean())

    def _ask(self) -> Architecture | None:
        setting = self.trials.setting
        if not setting.points and self._dry >= DRY and self.rng.random() > 0.5 * DRY / self._dry:
            return self._other()
        for _ in range(setting.attempts):
            if self.trials.exhausted():
                return None
            trial, one = self.trials.ask()
            if self._taken(one) or one in self._dropped:
                self.trials.fail(trial, "suggested before")
            elif one in self._values:
                self.trials.repeat(trial, self._values[one])
            else:
                self.trials.open(trial, one)
                excess = self._predicted_excess(one)
                if excess <= 0:
                    self._open[one] = trial
                    return one
                self._dropped.add(one)
                self.trials.drop(trial, excess, "predicted over the budget", self._mean())
        return self._other()

    def _other(self) -> Architecture:
        """A mutant of one of the best or a random draw; a new one if one is found."""
        best = sorted(self._values, key=lambda one: (-self._values[one][0], str(one)))[:5]
        for _ in range(MAX_RESAMPLES):
            if best and self.rng.random() < 0.5:
                one = mutant(self.space, pick(best, self.rng), self.rng, MUTATION_RATE)
            else:
                one = draw(self.space, self.rng)
            params = self.trials.coding.params(one)
            new = not self._taken(one) and one not in self._values and one not in self._dropped
            if params is not None and new and self._predicted_excess(one) <= 0:
                break
        if params is not None and new:
            self._open[one] = self.trials.ask_of(params)
            self.trials.open(self._open[one], one)
        return one

    def _taken(self, architecture: Architecture) -> bool:
        return architecture in self._open or (self.shared and str(architecture) in self._elsewhere)

    def _values_of(self, one: Evaluation) -> tuple[float, ...] | None:
        values = (one.quality, one.latency_ms)[: self.objectives]
        return values if all(map(math.isfinite, values)) else None

    def _mean(self) -> list[float] | None:
        """The mean values so far, for an architecture without quality, if the sampler needs a value. It is the most neutral."""
        return np.mean(list(self._values.values()), axis=0).tolist() if self._values else None

    def _predicted_excess(self, architecture: Architecture) -> float:
        if self.context.terms is None or self.context.budget_ms is None:
            return 0.0
        codes = self.space.encode([architecture])
        return float(self.context.terms.values(codes)[0]) - self.context.budget_ms

    def _synchronise(self) -> None:
        """Learn what other processes have evaluated, and what they are about to evaluate."""
        if self.shared:
            for one in self.trials.evaluated():
                values = self._values_of(one)
                if values is not None:
                    self._values.setdefault(one.architecture, values)
            self._elsewhere = self.trials.under_way()


def front_nsgaii(
    name: str, space: SearchSpace, rng: np.random.Generator, evaluations: int, context: StrategyContext
) -> OptunaStrategy:
    """The strategy `front-nsgaii`: Optuna's NSGA-II for quality and latency."""
    return OptunaStrategy(name, space, rng, evaluations, context, objectives=2)
