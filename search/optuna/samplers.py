"""Optuna's samplers by name, each with how it writes architectures and what it needs to be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latlas.choices import unknown
from latlas.errors import UsageError
from latlas.search.optuna.coding import MAX_GRID, Coding, ScoreCoding, grid_coding
from latlas.spaces.space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SAMPLERS = ("grid", "random", "tpe", "gp", "nsgaii", "cmaes")


@dataclass(frozen=True, slots=True)
class SamplerSetting:
    """A sampler, how it writes architectures, and what it needs of whoever asks it.

    `attempts` is how often it is asked for a suggestion until that is new and predicted to be within the budget. `repeats`:
    whether it is told of a known architecture again, as a member of its population is. `values`: whether what is over the
    budget must have a value for the sampler to learn from it. `constrained`: whether it takes constraints. `points`: of a
    grid, which comes to an end.
    """

    sampler: BaseSampler
    coding: Coding
    attempts: int = 8
    repeats: bool = False
    values: bool = False
    constrained: bool = True
    points: int = 0


def sampler_setting(kind: str, space: SearchSpace, seed: int, evaluations: int) -> SamplerSetting:
    """The sampler of a kind in `SAMPLERS`, sized for so many evaluations."""
    from optuna import samplers

    startup = max(4, min(10, evaluations // 4))
    population = max(4, min(50, evaluations // 10))
    if kind == "grid":
        coding = grid_coding(space)
        return SamplerSetting(
            _grid_sampler(coding, seed),
            coding,
            attempts=2 * MAX_GRID,
            points=math.prod(map(len, coding.choices.values())),
        )
    if kind == "random":
        return SamplerSetting(samplers.RandomSampler(seed=seed), Coding(space))
    if kind == "tpe":
        return SamplerSetting(samplers.TPESampler(seed=seed, n_startup_trials=startup), Coding(space))
    if kind == "gp":
        # Asking takes long, and the Gaussian process sees only trials that have values.
        return SamplerSetting(
            samplers.GPSampler(seed=seed, n_startup_trials=startup), Coding(space), attempts=2, values=True
        )
    if kind == "nsgaii":
        sampler = samplers.NSGAIISampler(population_size=population, seed=seed)
        return SamplerSetting(sampler, Coding(space), repeats=True)
    if kind == "cmaes":
        return SamplerSetting(
            samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            ScoreCoding(space),
            repeats=True,
            constrained=False,
        )
    raise UsageError(unknown("sampler", kind, SAMPLERS))


def _grid_sampler(coding: Coding, seed: int) -> BaseSampler:
    from optuna.samplers import GridSampler

    class Grid(GridSampler):
        """Optuna's, for ask and tell: it stops a study that is not being run, which raises."""

        def after_trial(self, *arguments: Any) -> None:
            pass

    return Grid({name: list(options) for name, options in coding.choices.items()}, seed=seed)
