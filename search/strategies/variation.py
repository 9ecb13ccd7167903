"""Mutants of an architecture and crossovers of two, by genes or by whole stages, leaving out known architectures."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from latlas.search.strategies.strategy import Evaluation
from latlas.spaces.space import Architecture, SearchSpace

MAX_RESAMPLES = 50
"""How often a child is made anew if it is known already, before a random architecture replaces it."""


def mutant(
    space: SearchSpace, parent: Architecture, rng: np.random.Generator, rate: float, stage_share: float = 0.0
) -> Architecture:
    """A mutant of `parent`. Each gene is drawn anew with probability `rate`, and at least one gene is.

    In the share `stage_share` of cases, one stage gets a single operator throughout instead.
    """
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
    """A child that takes each gene from either parent with equal chance (uniform crossover).

    In the share `stage_share` of cases, it takes whole stages instead of genes.
    """
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
    """`count` architectures from `make`, in canonical form, that differ from one another and are not `known`.

    All children of a few parents may be known. So after `MAX_RESAMPLES` attempts with `make`, as many are made with `otherwise`.
    If these are known too, as in a space that is nearly exhausted, a known one is taken.
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
    """The `count` best architectures among the seen and the completed ones, best first. Baselines are left out: they have no
    children."""
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
