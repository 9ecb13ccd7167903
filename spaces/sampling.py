"""Architectures drawn from a space at random."""

from __future__ import annotations

import numpy as np

from latlas.spaces.space import Architecture, SearchSpace


def draw(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """A random architecture. Many draws are spread over the space's latencies.

    A third of the draws are uniform. Their latencies lie close to the mean, as a sum over many independent layers does, and
    almost none of them repeats an operator as hand-made networks do. A third draw each layer from a random subset of the
    operators, which reaches the fast and the slow end. A third repeat one operator throughout each stage.
    """
    kind = rng.integers(3)
    if kind == 0:
        return space.random(rng)
    if kind == 1:
        return space.random_by_stage(rng)
    names = sorted({name for options in space.choices for name in options})
    subset = set(rng.choice(names, size=rng.integers(1, max(2, len(names))), replace=False))
    layers = [[name for name in options if name in subset] or list(options) for options in space.choices]
    return space.architecture([options[rng.integers(len(options))] for options in layers])


def draw_different(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Architecture]:
    """`count` different architectures, spread over the space's latencies; all of them if the space has no more."""
    found: dict[Architecture, None] = {}
    attempts = 0
    while len(found) < min(count, space.size) and attempts < 1000 * count:
        attempts += 1
        found[draw(space, rng)] = None
    return list(found)
