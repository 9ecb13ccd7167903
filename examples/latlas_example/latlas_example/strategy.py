"""Hill climbing: small changes of the best network so far, and now and then any network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latlas.search.strategies.strategy import Evaluation
from latlas.search.strategies.variation import mutant
from latlas.spaces.space import Architecture, SearchSpace


@dataclass
class HillClimb:
    """Three of four suggestions are mutants of the best network; the others are drawn at random."""

    space: SearchSpace
    rng: np.random.Generator
    name: str = "hill"
    best: Evaluation | None = None

    def suggest(self, count: int) -> list[Architecture]:
        return [self._next() for _ in range(count)]

    def _next(self) -> Architecture:
        if self.best is None or self.rng.random() < 0.25:
            return self.space.random(self.rng)
        return mutant(self.space, self.best.architecture, self.rng, rate=0.2)

    def update(self, completed: Sequence[Evaluation]) -> None:
        seen = [one for one in (self.best, *completed) if one is not None and not one.architecture.is_baseline]
        self.best = min(seen, key=lambda one: (-one.quality, str(one.architecture)), default=None)
