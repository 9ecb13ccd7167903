"""Successive halving: many are trained briefly, the best of them longer (Jamieson and Talwalkar 2016, arXiv 1502.07943)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from latlas.errors import UsageError

ETA = 3
"""From rung to rung a third goes on with three times the steps (Li et al. 2018, Hyperband, recommend 3 or 4)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial(Generic[T]):
    """A candidate with the quality, larger better, that it reached after so many steps; of its last rung."""

    candidate: T
    steps: int
    quality: float


def successive_halving(
    candidates: Sequence[T], train: Callable[[T, int], float | None], steps: int, max_steps: int
) -> list[Trial[T]]:
    """The candidates best first: the last rung's by their quality, then the ones that left before it.

    `train(candidate, steps)` trains it from its start for so many steps and gives its quality, or None where that failed:
    such a candidate is left out altogether. The first rung has all candidates at `steps`; each further rung the best third
    of the one before at `ETA` times its steps, as long as that is no more than `max_steps` and there are two to compare. Of
    equal quality, those given first come first.
    """
    if steps < 1:
        raise UsageError(f"steps is {steps}; it must be at least 1")
    left, out = list(candidates), list[Trial[T]]()
    while True:
        reached = [(one, train(one, steps)) for one in left]
        rung = [Trial(one, steps, quality) for one, quality in reached if quality is not None]
        rung.sort(key=lambda trial: -trial.quality)
        kept, steps = math.ceil(len(rung) / ETA), steps * ETA
        if kept < 2 or steps > max_steps:
            return rung + out
        left, out = [trial.candidate for trial in rung[:kept]], rung[kept:] + out
