"""Chooses the subnets to measure so that a predictor knows the others best.

The predictor is a Gaussian process with a linear kernel. A small local kernel is added for what is not linear; without it,
the most extreme subnets would be chosen, and their curvature would be learnt as everybody's slope. Each step takes the
candidate that lowers the mean variance over the networks of interest the most (active learning after D. Cohn, *Neural
network exploration using optimal experiment design*, 1996; V- or I-optimal design). Only the operators must be measured for
that, so all subnets are known beforehand. The first few of them are a good choice too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor.features import TOTAL, CostOf, features, unit_cost
from latlas.spaces.graph import Graph, live_nodes
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture, SearchSpace

SPREADS = {"base": 0.3, "kind": 0.05, "place": 0.02, "spec": 0.015, "pair": 0.15, "meeting": 0.18}
"""Spreads of the coefficients of each group of features, as predictors of `portrait` have learnt them."""
LOCAL_SPREAD, LOCAL_WIDTH = 0.03, 3.0
"""The local kernel: the relative spread of what is not linear, and its reach in median squared distances."""
NOISE = 0.012
"""Relative standard error of a measurement."""
POOL, INTEREST = 3000, 600
"""How many subnets are candidates, and how many others represent the networks that will be predicted."""


def chosen(
    space: SearchSpace,
    count: int,
    seed: int = 0,
    *,
    cost_of: CostOf | None = None,
    given: Sequence[Architecture] = (),
    avoid: Sequence[Architecture] = (),
) -> list[Architecture]:
    """The `count` architectures from which the latency of the others is learnt best; all architectures if there are no more.

    Args:
        space: the space.
        count: how many to choose.
        seed: seed of the candidates.
        cost_of: an operator's isolated milliseconds; without it, a rough estimate from its multiply-adds.
        given: architectures that are measured already; the new ones complete them and repeat none.
        avoid: architectures that must not be chosen, for example the test set of a predictor.

    Example:
        >>> from latlas.spaces.portrait import PortraitSpace
        >>> len(chosen(PortraitSpace(), 12))
        12
    """
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    rng = np.random.default_rng(seed)
    taken = {*given, *avoid}
    # Half of each are uniform, half spread over the space's latencies: users later ask about both.
    drawn = dict.fromkeys([*space.sample(POOL // 2, rng), *draw_different(space, POOL // 2, rng)])
    # From a network that is a constant there is nothing to learn.
    candidates = [one for one in drawn if one not in taken and live_nodes(one.graph())]
    interest = [*space.sample(INTEREST // 2, rng), *draw_different(space, INTEREST // 2, rng)]
    interest, given = ([one for one in group if live_nodes(one.graph())] for group in (interest, given))
    pool, asked, known = ([one.graph() for one in group] for group in (candidates, interest, given))
    order = most_informative(pool, asked, known, min(count, len(candidates)), cost_of=cost_of)
    return [candidates[index] for index in order]


def most_informative(
    candidates: Sequence[Graph],
    interest: Sequence[Graph],
    given: Sequence[Graph],
    count: int,
    *,
    cost_of: CostOf | None = None,
) -> list[int]:
    """Indices of the `count` candidates that tell most about the networks of interest when measured, the best first."""
    matrix = _relative_features([*given, *candidates, *interest], cost_of or unit_cost)
    first, last = len(given), len(given) + len(candidates)
    pool, asked = matrix[:last], matrix[last:]
    width = LOCAL_WIDTH * float(np.median(_squared_distances(asked, asked))) or 1.0
    within, across = (
        pool @ other.T + LOCAL_SPREAD**2 * np.exp(-_squared_distances(pool, other) / (2 * width))
        for other in (pool, asked)
    )
    return [row - first for row in falling_variance(within, across, NOISE, count, range(first))]


def falling_variance(
    within: FloatArray, across: FloatArray, noise: float, count: int, given: Sequence[int] = ()
) -> list[int]:
    """The `count` rows to measure, the best first: each lowers the mean variance of the rows of interest the most.

    Nothing needs to be measured for that: the variance of a Gaussian process does not depend on the measured values (Rasmussen
    and Williams, *Gaussian Processes for Machine Learning*, 2.2). Raises `UsageError` if there are fewer rows.

    Args:
        within: the rows' covariance `(n, n)` before anything is measured.
        across: their covariance `(n, m)` with the rows of interest.
        noise: standard deviation of a measurement.
        count: how many rows.
        given: rows that are measured already; they are not chosen.
    """
    left = len(within) - len(given)
    if not 1 <= count <= left:
        raise UsageError(f"count is {count}; {left} networks are there to choose from")
    chosen: list[int] = []
    free = np.ones(len(within), dtype=bool)
    free[list(given)] = False
    for step in range(len(given) + count):
        variance = np.maximum(np.diag(within), 0.0) + noise**2
        if step < len(given):
            row = given[step]
        else:
            row = int(np.argmax(np.where(free, (across**2).sum(axis=1) / variance, -1.0)))
            chosen.append(row)
            free[row] = False
        share = within[:, row] / variance[row]
        across = across - np.outer(share, across[row])
        within = within - np.outer(share, within[row])
    return chosen


def _relative_features(graphs: Sequence[Graph], cost_of: CostOf) -> FloatArray:
    """Features of each network, divided by its summed cost and multiplied by the spreads of their coefficients."""
    records = [features(graph, cost_of) for graph in graphs]
    column = {name: index for index, name in enumerate(sorted({name for record in records for name in record}))}
    matrix = np.zeros((len(graphs), len(column) + 1))
    for row, record in zip(matrix, records, strict=True):
        for name, value in record.items():
            row[column[name]] = value * SPREADS[name.split(" ", 1)[0]] / record[TOTAL]
        row[-1] = SPREADS["base"] / record[TOTAL]
    return matrix


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squared, 0.0)
