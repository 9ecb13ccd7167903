"""Variation: mutants of an architecture and crossovers of two, gene by gene or by whole stages; and none that is known."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from latlas.search.strategies.strategy import Evaluation
from latlas.spaces.space import Architecture, SearchSpace

MAX_RESAMPLES = 50
"""How often a child that is known already is made anew, before a random architecture stands in for it."""


def mutant(
    space: SearchSpace, parent: Architecture, rng: np.random.Generator, rate: float, stage_share: float = 0.0
) -> Architecture:
    """`parent` with each gene drawn anew at `rate`, at least one; or, in a share of cases, with one operator through a stage."""
    if rng.random() < stage_share:
        stages = space.stage_slices()
        stage, genes = stages[rng.integers(len(stages))], list(parent.operators)
        genes[stage] = space.fill_stage(stage, rng)
        return space.architecture(genes)
    changed = rng.random(len(parent.operators)) < rate
    changed[rng.integers(len(parent.operators))] = True
    genes = [
        options[rng.integers(len(options))] if change else gene
        for gene, options, change in zip(parent.operators, space.choices, changed, strict=True)
    ]
    return space.architecture(genes)


def crossover(
    space: SearchSpace,
    mother: Architecture,
    father: Architecture,
    rng: np.random.Generator,
    stage_share: float = 0.0,
) -> Architecture:
    """Each gene from either parent with equal chance (uniform crossover); or, in a share of cases, each whole stage."""
    if rng.random() < stage_share:
        parts = space.stage_slices()
    else:
        parts = [slice(layer, layer + 1) for layer in range(len(mother.operators))]
    taken = [(mother if rng.random() < 0.5 else father).operators[part] for part in parts]
    return space.architecture([name for part in taken for name in part])


def unknown(
    make: Callable[[], Architecture],
    otherwise: Callable[[], Architecture],
    count: int,
    known: Container[Architecture],
) -> list[Architecture]:
    """`count` architectures of `make`, in their canonical form, that differ from one another and are not `known`.

    Children of few parents are soon all known. After `MAX_RESAMPLES` of `make` as many of `otherwise` are tried; where these
    are known too, as in a space that is nearly exhausted, the last one stands.
    """
    found: dict[Architecture, None] = {}
    repeats: list[Architecture] = []
    for _ in range(count):
        child = _first(make, found, known) or _first(otherwise, found, known)
        if child is None:
            repeats.append(otherwise())
        else:
            found[child] = None
    return [*found, *repeats]


def best_seen(
    seen: Mapping[Architecture, float], completed: Sequence[Evaluation], count: int
) -> dict[Architecture, float]:
    """The `count` best of those seen before and of those completed, best first; baselines, which have no children, left out."""
    both = {**seen, **{one.architecture: one.quality for one in completed if not one.architecture.is_baseline}}
    return dict(sorted(both.items(), key=lambda item: (-item[1], str(item[0])))[:count])


def pick(parents: Sequence[Architecture], rng: np.random.Generator) -> Architecture:
    """One of the parents, each with equal chance."""
    return parents[int(rng.integers(len(parents)))]


def _first(
    make: Callable[[], Architecture], found: Container[Architecture], known: Container[Architecture]
) -> Architecture | None:
    for _ in range(MAX_RESAMPLES):
        child = make().canonical()
        if child not in found and child not in known:
            return child
    return None
