"""Strategies: what to try next. They only suggest and learn; the loop applies the constraint and evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from latlas.latency.errors import UsageError
from latlas.supernet.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A feasible architecture and its quality, larger better, from 0 to 1."""

    architecture: Architecture
    quality: float


class Strategy(Protocol):
    """The whole interface of a search strategy."""

    name: str

    def suggest(self, count: int) -> list[Architecture]:
        """`count` architectures to try next; repeats and infeasible ones are the loop's to drop."""
        ...

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Learn from evaluated architectures."""
        ...


def draw(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """A random architecture, spread over the space's latencies.

    Half of the draws are uniform; these crowd round the mean latency, because a sum of many independent layers does. The
    others draw each layer from a random subset of the operators, which reaches the fast and the slow end.
    """
    if rng.random() < 0.5:
        return space.random(rng)
    names = sorted({name for options in space.choices for name in options})
    subset = set(rng.choice(names, size=rng.integers(1, max(2, len(names))), replace=False))
    layers = [[name for name in options if name in subset] or list(options) for options in space.choices]
    return space.architecture([options[rng.integers(len(options))] for options in layers])


@dataclass
class RandomSearch:
    """Random architectures, spread over the space's latencies."""

    space: SearchSpace
    rng: np.random.Generator
    name: str = "random"

    def suggest(self, count: int) -> list[Architecture]:
        """Draws of `draw`."""
        return [draw(self.space, self.rng) for _ in range(count)]

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Nothing to learn."""


@dataclass
class Evolution:
    """Regularisation-free evolution after Once-for-All: elitist, half mutants, half uniform crossover.

    `population` random architectures come first, then children of the best `parent_share` of the population. A mutant
    changes each gene with `mutation_rate`, at least one.
    """

    space: SearchSpace
    rng: np.random.Generator
    population: int = 32
    parent_share: float = 0.25
    mutation_rate: float = 0.1
    name: str = "evolution"
    _elite: dict[Architecture, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.population < 2 or not 0 < self.parent_share <= 1 or not 0 < self.mutation_rate <= 1:
            raise UsageError(
                f"population is {self.population}, parent_share {self.parent_share}, mutation_rate "
                f"{self.mutation_rate}; at least 2, and shares above 0 up to 1"
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
        changed = self.rng.random(len(parent)) < self.mutation_rate
        changed[self.rng.integers(len(parent))] = True
        genes = [
            options[self.rng.integers(len(options))] if change else gene
            for gene, options, change in zip(parent, self.space.choices, changed, strict=True)
        ]
        return self.space.architecture(genes)

    def _crossover(self, parents: Sequence[Architecture]) -> Architecture:
        mother, father = (parents[int(self.rng.integers(len(parents)))].operators for _ in range(2))
        return self.space.architecture(
            [a if self.rng.random() < 0.5 else b for a, b in zip(mother, father, strict=True)]
        )


STRATEGIES = ("random", "evolution")


def make_strategy(name: str, space: SearchSpace, rng: np.random.Generator, evaluations: int) -> Strategy:
    """The strategy of a name, sized for so many evaluations; raises `UsageError` for an unknown one."""
    if name == "random":
        return RandomSearch(space, rng)
    if name == "evolution":
        return Evolution(space, rng, population=max(4, min(100, evaluations // 3)))
    raise UsageError(f"unknown strategy {name!r}; known: {', '.join(STRATEGIES)}")
