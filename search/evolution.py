"""Evolution: children of the best architectures so far, by mutation and by crossover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from latlas.latency.errors import UsageError
from latlas.search.random_search import draw
from latlas.search.strategy import Evaluation
from latlas.supernet.space import Architecture, SearchSpace


@dataclass
class Evolution:
    """Regularisation-free evolution after Once-for-All: elitist, half mutants, half crossover.

    `population` random architectures come first, then children of the best `parent_share` of the population. A mutant
    changes each gene with `mutation_rate`, at least one. `stage_share` of the children change by stages: a mutant has one
    operator throughout one of its stages, a crossover takes whole stages from its parents.
    """

    space: SearchSpace
    rng: np.random.Generator
    population: int = 32
    parent_share: float = 0.25
    mutation_rate: float = 0.1
    stage_share: float = 0.33
    name: str = "evolution"
    _elite: dict[Architecture, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = (self.parent_share, self.mutation_rate)
        if self.population < 2 or not all(0 < share <= 1 for share in shares) or not 0 <= self.stage_share <= 1:
            raise UsageError(
                f"population is {self.population}, parent_share {self.parent_share}, mutation_rate {self.mutation_rate}, "
                f"stage_share {self.stage_share}; at least 2, and shares up to 1, of which only the last may be 0"
            )

    def suggest(self, count: int) -> list[Architecture]:
        """Draws of `draw` until the first population is evaluated, then children of the best.

        One in four of the first draws mutates what there is: where the budget is so tight that draws never hold
        it, the population grows from the one architecture that does.
        """
        if len(self._elite) < self.population:
            known = list(self._elite)
            return [
                self._mutant(known) if known and self.rng.random() < 0.25 else draw(self.space, self.rng)
                for _ in range(count)
            ]
        parents = list(self._elite)[: max(2, round(self.population * self.parent_share))]
        return [self._mutant(parents) if self.rng.random() < 0.5 else self._crossover(parents) for _ in range(count)]

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Keep the best `population` seen."""
        self._elite |= {one.architecture: one.quality for one in completed}
        ranked = sorted(self._elite.items(), key=lambda item: (-item[1], str(item[0])))
        self._elite = dict(ranked[: self.population])

    def _mutant(self, parents: Sequence[Architecture]) -> Architecture:
        parent = parents[int(self.rng.integers(len(parents)))].operators
        if self.rng.random() < self.stage_share:
            stages = self.space.stage_slices()
            stage, genes = stages[self.rng.integers(len(stages))], list(parent)
            genes[stage] = self.space.fill_stage(stage, self.rng)
            return self.space.architecture(genes)
        changed = self.rng.random(len(parent)) < self.mutation_rate
        changed[self.rng.integers(len(parent))] = True
        genes = [
            options[self.rng.integers(len(options))] if change else gene
            for gene, options, change in zip(parent, self.space.choices, changed, strict=True)
        ]
        return self.space.architecture(genes)

    def _crossover(self, parents: Sequence[Architecture]) -> Architecture:
        mother, father = (parents[int(self.rng.integers(len(parents)))].operators for _ in range(2))
        if self.rng.random() < self.stage_share:
            stages = self.space.stage_slices()
        else:
            stages = [slice(layer, layer + 1) for layer in range(len(mother))]
        parts = [(mother if self.rng.random() < 0.5 else father)[stage] for stage in stages]
        return self.space.architecture([name for part in parts for name in part])
