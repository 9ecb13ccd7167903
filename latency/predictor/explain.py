"""Explains which parts of a network its predicted milliseconds come from.

A linear predictor has a cost for each node, a cost for each edge and a constant, so its parts are exact. Half of an edge's
cost goes to the node that gives and half to the node that takes; the constant stands by itself. With any other predictor, a
layer's part is its Shapley value among the layers (L. S. Shapley, *A value for n-person games*, 1953). It is taken against
networks drawn at random from the space and sampled over orders of the layers (E. Štrumbelj, I. Kononenko, *Explaining
prediction models and individual predictions with feature contributions*, 2014). One layer after another changes from the
drawn network's operator to the explained one's, and each layer gets the change of the prediction at its turn. The changes of
each order sum to the difference of the two predictions, so the means sum exactly too, however few orders there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor.features import edge_features, node_features, unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.regression import BayesianLinear
from latlas.spaces.graph import INPUT, Node, executed_inputs

CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class NodeParts:
    """Milliseconds `(nodes + 1,)` of each node of a graph, the constant last; they sum to the prediction.

    `covariance_ms2` `(nodes + 1, nodes + 1)` is their covariance, if the predictor knows how sure it is of its coefficients.
    """

    latency_ms: FloatArray
    covariance_ms2: FloatArray | None


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A linear predictor's coefficients, one for each feature and the constant last; their `covariance`, if it is known."""

    names: tuple[str, ...]
    coef: FloatArray
    covariance: FloatArray | None


def linear_model(predictor: LatencyPredictor) -> LinearModel | None:
    """The coefficients of a predictor that is linear in its features; None for any other."""
    model = getattr(predictor, "model_", None)
    if not isinstance(model, BayesianLinear):
        return None
    known = model.covariance_ if len(model.y_) else None
    return LinearModel(tuple(predictor.names_), model.coef_, known)


def node_parts(predictor: LatencyPredictor, graph: Sequence[Node], covariances: bool = True) -> NodeParts | None:
    """What each node adds to the prediction; a dead node adds nothing. None if the predictor is not linear.

    Without `covariances` the covariance is None, which takes a fraction of the time.
    """
    model = linear_model(predictor)
    if model is None:
        return None
    column = {name: index for index, name in enumerate(model.names)}
    rows = np.zeros((len(graph) + 1, len(column) + 1))
    rows[-1, -1] = 1.0
    cost_of = predictor.cost_of or unit_cost

    def add(row: int, found: dict[str, float], share: float) -> None:
        for name, value in found.items():
            if name in column:
                rows[row, column[name]] += share * value

    for index, sources in executed_inputs(graph).items():
        spec = graph[index].spec
        add(index, node_features(spec, cost_of(spec)), 1.0)
        for source in sources:
            if source != INPUT:
                found = edge_features(graph[source].spec, spec)
                add(source, found, 0.5)
                add(index, found, 0.5)
    latency_ms = rows @ model.coef
    # A prediction far below the samples is raised to a limit; the constant takes what that adds.
    latency_ms[-1] += max(0.0, float(predictor.bounded(np.zeros(1))[0] - latency_ms.sum()))
    covariance = None if model.covariance is None or not covariances else rows @ model.covariance @ rows.T
    return NodeParts(latency_ms, covariance)


@dataclass(frozen=True, slots=True)
class Shapley:
    """Milliseconds `(layers,)` that each layer adds to `base_ms`, the mean of the drawn networks; with standard errors.

    The standard errors only cover the sampling.
    """

    base_ms: float
    latency_ms: FloatArray
    se_ms: FloatArray


def shapley(
    predict: Callable[[Codes], FloatArray], own: Sequence[int], drawn: Codes, rng: np.random.Generator
) -> Shapley:
    """What each layer adds, averaged over one order of the layers and its reverse for each drawn network.

    Args:
        predict: milliseconds `(m,)` of networks `(m, layers)`, each layer's operator by number.
        own: the network to explain, `(layers,)`.
        drawn: networks of the space `(count, layers)`, at least 2.
        rng: draws the orders.
    """
    mine = np.asarray(own, dtype=int)
    if drawn.ndim != 2 or len(drawn) < 2 or drawn.shape[1] != len(mine):
        raise UsageError(f"drawn networks are {drawn.shape}; at least 2 of {len(mine)} layers are needed")
    layers = len(mine)
    orders = np.stack([rng.permutation(layers) for _ in drawn])
    added = np.zeros((len(drawn), layers))
    base = np.zeros(len(drawn))
    for backwards in (False, True):
        taken = orders[:, ::-1] if backwards else orders
        chain = np.repeat(drawn[:, None, :], layers + 1, axis=1)  # (count, step, layers)
        for row, order in enumerate(taken):
            for step, layer in enumerate(order):
                chain[row, step + 1 :, layer] = mine[layer]
        milliseconds = np.asarray(predict(chain.reshape(-1, layers))).reshape(len(drawn), layers + 1)
        steps = np.zeros_like(added)
        np.put_along_axis(steps, taken, np.diff(milliseconds, axis=1), axis=1)
        added += steps / 2
        base += milliseconds[:, 0] / 2
    return Shapley(float(base.mean()), added.mean(axis=0), added.std(axis=0, ddof=1) / np.sqrt(len(drawn)))


def grouped(parts: FloatArray, members: Sequence[Sequence[int]]) -> FloatArray:
    """The sum of the parts in each group of indices, `(len(members),)`."""
    return np.array([parts[list(group)].sum() for group in members])


def grouped_se(covariance: FloatArray, members: Sequence[Sequence[int]]) -> FloatArray:
    """The standard deviation of each group's sum, `(len(members),)`."""
    found: list[Any] = [np.sqrt(max(0.0, covariance[np.ix_(list(group), list(group))].sum())) for group in members]
    return np.array(found)
