"""Writes an architecture as the parameters of an Optuna trial, and reads it back.

Operators have no order, so most samplers get one categorical parameter per layer. A grid of many layers would have too many
points; it then gets one parameter per stage. CMA-ES needs numbers: it gets a score for each operator of each layer, and the
operator with the largest score is taken. Unlike a numbering, scores treat all operators alike. But a layer of seven operators
has seven dimensions, nearly all steps change no operator, and nothing is learnt about the scores of operators that were not
taken. So CMA-ES needs thousands of evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latlas.errors import UsageError
from latlas.spaces.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MAX_GRID = 20_000
"""A grid may have so many points; Optuna's sampler holds all of them in memory."""


class Coding:
    """One categorical parameter per layer."""

    def __init__(self, space: SearchSpace) -> None:
        from optuna.distributions import CategoricalDistribution

        self.space = space
        self.choices = {f"layer{index:02d}": options for index, options in enumerate(space.choices)}
        self.distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(options) for name, options in self.choices.items()
        }

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """The architecture of a trial's parameters. Raises `UsageError` if the parameters do not fit the space."""
        if set(params) != set(self.choices) or any(params[name] not in self.choices[name] for name in self.choices):
            raise UsageError(f"a trial's parameters {dict(params)!r} are no architecture of {self.space.text}")
        return self.space.architecture([params[name] for name in self.choices])

    def params(self, architecture: Architecture) -> dict[str, Any] | None:
        """The parameters of an architecture; None if it cannot be written in this coding."""
        return dict(zip(self.choices, architecture.operators, strict=True))


class StageCoding(Coding):
    """One categorical parameter per stage: the operator of all its layers. A layer without it gets a substitute."""

    def __init__(self, space: SearchSpace) -> None:
        from optuna.distributions import CategoricalDistribution

        super().__init__(space)
        self._stages = space.stage_slices()
        self.choices = {
            f"stage{index}": tuple(sorted({name for options in space.choices[stage] for name in options}))
            for index, stage in enumerate(self._stages)
        }
        self.distributions = {name: CategoricalDistribution(options) for name, options in self.choices.items()}

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """The architecture of a trial's parameters. Raises `UsageError` if the parameters do not fit the space."""
        if set(params) != set(self.choices) or any(params[name] not in self.choices[name] for name in self.choices):
            raise UsageError(f"a trial's parameters {dict(params)!r} are no stages of {self.space.text}")
        parts = zip(self._stages, self.choices, strict=True)
        return self.space.architecture(
            [one for stage, name in parts for one in self._filled(stage, name, params[name])]
        )

    def params(self, architecture: Architecture) -> dict[str, Any] | None:
        """The parameters of an architecture; None if it mixes operators within a stage."""
        params: dict[str, Any] = {}
        for stage, (name, options) in zip(self._stages, self.choices.items(), strict=True):
            found = [one for one in options if self._filled(stage, name, one) == list(architecture.operators[stage])]
            if not found:
                return None
            params[name] = found[0]
        return params

    def _filled(self, stage: slice, name: str, wanted: str) -> list[str]:
        place = self.choices[name].index(wanted)
        return [wanted if wanted in layer else layer[place % len(layer)] for layer in self.space.choices[stage]]


class ScoreCoding(Coding):
    """One number from 0 to 1 for each operator of each layer. The operator with the largest number is taken."""

    def __init__(self, space: SearchSpace) -> None:
        from optuna.distributions import FloatDistribution

        super().__init__(space)
        self._names = [
            [f"layer{index:02d}.{name}" for name in options] if len(options) > 1 else []
            for index, options in enumerate(space.choices)
        ]
        self.distributions = {name: FloatDistribution(0.0, 1.0) for names in self._names for name in names}

    def architecture(self, params: Mapping[str, Any]) -> Architecture:
        """The architecture of a trial's scores. Raises `UsageError` if the parameters do not fit the space."""
        if set(params) != set(self.distributions) or not all(isinstance(one, float) for one in params.values()):
            raise UsageError(f"a trial's parameters are no scores of the operators of {self.space.text}")
        chosen = [max(range(len(names)), key=lambda i: params[names[i]]) if names else 0 for names in self._names]
        return self.space.architecture([options[i] for options, i in zip(self.space.choices, chosen, strict=True)])

    def params(self, architecture: Architecture) -> dict[str, Any] | None:
        """The parameters of an architecture: 1 for its operators and 0 for the others."""
        rows = zip(self._names, self.space.choices, architecture.operators, strict=True)
        return {
            name: float(option == taken)
            for names, options, taken in rows
            for name, option in zip(names, options, strict=False)
        }


def grid_coding(space: SearchSpace) -> Coding:
    """The finest coding of a space with at most `MAX_GRID` points: by layers, else by stages.

    Raises `UsageError` if both have more points.
    """
    if space.size <= MAX_GRID:
        return Coding(space)
    coding, points = StageCoding(space), 1
    for options in coding.choices.values():
        points *= len(options)
    if points > MAX_GRID:
        raise UsageError(
            f"a grid over {space.text} has {points} points with one operator a stage, {MAX_GRID} are the most; "
            "take optuna-random or another strategy"
        )
    return coding
