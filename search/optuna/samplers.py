"""Optuna's samplers by name, each with its coding of architectures and its settings."""

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
    """A sampler, its coding of architectures, and how to use it.

    - `attempts`: how often the sampler is asked for a suggestion that is new and predicted to be within the budget.
    - `repeats`: whether the sampler is told the values of a known architecture again, because it has populations.
    - `values`: whether an architecture over the budget needs a value, so that the sampler can learn from it.
    - `constrained`: whether the sampler supports constraints.
    - `points`: the number of points of a grid, after which it ends; 0 for other samplers.
    """

    sampler: BaseSampler
    coding: Coding
    attempts: int = 8
    repeats: bool = False
    values: bool = False
    constrained: bool = True
    points: int = 0


def sampler_setting(kind: str, space: SearchSpace, seed: int, evaluations: int) -> SamplerSetting:
    """The sampler of a kind in `SAMPLERS`, set up for so many evaluations."""
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
        # A suggestion takes long, and the Gaussian process uses only trials that have values.
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
        """Optuna's grid sampler for ask and tell: it does not try to stop the study at the end, which would raise."""

        def after_trial(self, *arguments: Any) -> None:
            pass

    return Grid({name: list(options) for name, options in coding.choices.items()}, seed=seed)
