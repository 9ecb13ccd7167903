"""Random search, and random search near the best architectures seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from latlas.errors import UsageError
from latlas.search.strategies.strategy import Evaluation, StrategyContext
from latlas.search.strategies.variation import best_seen, mutant, pick, unknown
from latlas.spaces.sampling import draw
from latlas.spaces.space import Architecture, SearchSpace


@dataclass
class NearBest:
    """Uniform draws mixed with draws near the best architectures seen, whose share is `near_share`.

    A draw near the best is a mutant of one of the `best` best: each gene is drawn anew with probability `mutation_rate`, and at
    least one gene is. The paper defines neither the share nor the word near.
    """

    space: SearchSpace
    rng: np.random.Generator
    near_share: float = 0.5
    best: int = 5
    mutation_rate: float = 0.1
    name: str = "near_best"
    _best: dict[Architecture, float] = field(default_factory=dict)
    _known: set[Architecture] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not 0 <= self.near_share <= 1 or not 0 < self.mutation_rate <= 1 or self.best < 1:
            raise UsageError(
                f"near_share is {self.near_share}, mutation_rate {self.mutation_rate}, best {self.best}; shares from 0 to 1, "
                "the rate above 0, and at least 1 of the best"
            )

    def suggest(self, count: int) -> list[Architecture]:
        """Different architectures that were not evaluated yet, drawn near the best or uniformly."""
        best = list(self._best)

        def make() -> Architecture:
            if best and self.rng.random() < self.near_share:
                return mutant(self.space, pick(best, self.rng), self.rng, self.mutation_rate)
            return self.space.random(self.rng)

        return unknown(make, lambda: self.space.random(self.rng), count, self._known)

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Keep the `best` best architectures seen."""
        self._known |= {one.architecture for one in completed}
        self._best = best_seen(self._best, completed, self.best)


def near_best(space: SearchSpace, rng: np.random.Generator, context: StrategyContext) -> NearBest:
    """The strategy `near_best`, with the context's `near_share`."""
    return NearBest(space, rng, near_share=context.near_share)


@dataclass
class RandomSearch:
    """Random architectures, spread over the space's latencies."""

    space: SearchSpace
    rng: np.random.Generator
    name: str = "random"

    def suggest(self, count: int) -> list[Architecture]:
        """`count` random architectures."""
        return [draw(self.space, self.rng) for _ in range(count)]

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Do nothing; random search does not learn."""
