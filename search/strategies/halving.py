"""Successive halving: trains many candidates briefly and the best of them longer (Jamieson and Talwalkar 2016, arXiv
1502.07943)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from latlas.errors import UsageError

ETA = 3
"""After each rung the best third continues, with three times the steps (Li et al. 2018, Hyperband, recommend 3 or 4)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trial(Generic[T]):
    """A candidate, the steps of its last rung, and the quality it reached there (larger is better)."""

    candidate: T
    steps: int
    quality: float


def successive_halving(
    candidates: Sequence[T], train: Callable[[T, int], float | None], steps: int, max_steps: int
) -> list[Trial[T]]:
    """The candidates, best first: those of the last rung by their quality, then those that left earlier.

    `train(candidate, steps)` trains a candidate from its start for so many steps and gives its quality. It gives None if the
    training failed; such a candidate is left out. The first rung trains all candidates for `steps`. Each further rung trains the
    best third of the rung before for `ETA` times its steps, as long as this is at most `max_steps` and two candidates are left
    to compare. Among candidates of equal quality, those given first come first.
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
