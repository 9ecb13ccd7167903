"""Evolution: new architectures are mutants and crossovers of the best architectures so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latlas.errors import UsageError
from latlas.search.strategies.strategy import Evaluation
from latlas.search.strategies.variation import best_seen, crossover, mutant, pick, unknown
from latlas.spaces.sampling import draw
from latlas.spaces.space import Architecture, SearchSpace

ONCE_FOR_ALL: dict[str, Any] = {
    "population": 100,
    "parent_share": 0.25,
    "mutation_rate": 0.1,
    "mutant_share": 0.5,
    "stage_share": 0.0,
}
"""The settings of Once-for-All (arXiv 1908.09791), for searches of thousands of evaluations; the paper has 500 generations."""


@dataclass
class Evolution:
    """Elitist evolution as in Once-for-All: mutants and crossovers of the best architectures seen.

    It starts with `population` random architectures. Later it makes children of the best `parent_share` of the population;
    `mutant_share` of them are mutants, the others crossovers. A mutant changes each gene with probability `mutation_rate`, and
    at least one gene. `stage_share` of the children change whole stages: such a mutant gets one operator throughout one of its
    stages, and such a crossover takes whole stages from its parents. No child was evaluated before; otherwise the children of
    a converged population would be their own parents.

    Once-for-All carries its parents into the next generation, so they are the best ever seen. The same holds here, but the
    parents are chosen anew after every update, not once per generation.
    """

    space: SearchSpace
    rng: np.random.Generator
    population: int = 32
    parent_share: float = 0.25
    mutation_rate: float = 0.1
    mutant_share: float = 0.5
    stage_share: float = 0.33
    name: str = "evolution"
    _elite: dict[Architecture, float] = field(default_factory=dict)
    _known: set[Architecture] = field(default_factory=set)

    def __post_init__(self) -> None:
        shares = (self.parent_share, self.mutation_rate)
        open_shares = (self.mutant_share, self.stage_share)
        if (
            self.population < 2
            or not all(0 < share <= 1 for share in shares)
            or not all(0 <= share <= 1 for share in open_shares)
        ):
            raise UsageError(
                f"population is {self.population}, parent_share {self.parent_share}, mutation_rate {self.mutation_rate}, "
                f"mutant_share {self.mutant_share}, stage_share {self.stage_share}; at least 2, and shares up to 1, "
                "and only the last two may be 0"
            )

    def suggest(self, count: int) -> list[Architecture]:
        """Random draws until the first population is evaluated, then children of the best.

        One in four of the first suggestions is a mutant of a known architecture. If the budget is so tight that random draws
        are never within it, the population grows from the one architecture that is.
        """
        elite = list(self._elite)
        make = self._child if len(elite) >= self.population else self._first
        return unknown(lambda: make(elite), lambda: draw(self.space, self.rng), count, self._known)

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Keep the best `population` architectures seen."""
        self._known |= {one.architecture for one in completed}
        self._elite = best_seen(self._elite, completed, self.population)

    def _first(self, elite: Sequence[Architecture]) -> Architecture:
        if elite and self.rng.random() < 0.25:
            return self._mutant(pick(elite, self.rng))
        return draw(self.space, self.rng)

    def _child(self, elite: Sequence[Architecture]) -> Architecture:
        parents = elite[: max(2, round(self.population * self.parent_share))]
        if self.rng.random() < self.mutant_share:
            return self._mutant(pick(parents, self.rng))
        return crossover(self.space, pick(parents, self.rng), pick(parents, self.rng), self.rng, self.stage_share)

    def _mutant(self, parent: Architecture) -> Architecture:
        return mutant(self.space, parent, self.rng, self.mutation_rate, self.stage_share)


def evolution(space: SearchSpace, rng: np.random.Generator, evaluations: int) -> Evolution:
    """The strategy `evolution`. Its population is a third of the evaluations, but 4 at least and 100 at most."""
    return Evolution(space, rng, population=max(4, min(100, evaluations // 3)))


def evolution_ofa(space: SearchSpace, rng: np.random.Generator) -> Evolution:
    """The strategy `evolution-ofa`, with the settings of Once-for-All."""
    return Evolution(space, rng, name="evolution-ofa", **ONCE_FOR_ALL)
