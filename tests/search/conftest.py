"""Predictors without a stopwatch: one for simulations, fast, learning, honest about what it does not know; and scripted ones."""

import math
from collections import Counter
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve

from latlas.latency.predictor.features import edge_name, unit_cost
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.spaces.graph import INPUT, live_nodes

SPREADS = {"all": 3.0, "name": 0.15, "spec": 0.15, "pair": 0.1}
MISFIT = 0.008


@cache
def of_node(spec):
    return ("all", f"name {spec.name}", f"spec {spec}"), unit_cost(spec)


@cache
def of_edge(producer, consumer):
    return "pair " + edge_name(producer, consumer)


class Learner:
    """A Bayesian regression in relative error on an operator's and an edge's costs, with intervals from left-out errors."""

    features: ClassVar[dict[int, Any]] = {}

    def fit(self, graphs, latencies_ms, errors=None):
        self.samples = list(graphs), np.asarray(latencies_ms, float), np.asarray(errors or [0.008] * len(graphs))
        records = [self._features(graph) for graph in graphs]
        self.names = {name: column for column, name in enumerate(sorted({name for one in records for name in one}))}
        X, y, own = self._matrix(records), self.samples[1], self.samples[2]
        self.prior = np.array([SPREADS[name.split(" ", 1)[0]] ** 2 for name in self.names])
        shares = X / y[:, None]
        noise = np.diag(own**2 + MISFIT**2)
        inverse = cho_solve(cho_factor((shares * self.prior) @ shares.T + noise), np.eye(len(y)))
        self.coef = self.prior * (shares.T @ inverse.sum(axis=1))
        self.covariance = np.diag(self.prior) - (self.prior[:, None] * shares.T) @ inverse @ (shares * self.prior)
        # Left out of the learning, in closed form (Rasmussen and Williams, 5.4.2), relative to what was measured.
        left_out = 1 - inverse.sum(axis=1) / np.diag(inverse)
        spread = np.sqrt(np.maximum(1 / np.diag(inverse) - own**2, MISFIT**2)) / left_out
        self.scores = np.sort(np.abs(1 - 1 / left_out) / spread)
        return self

    def updated(self, graphs, latencies_ms, relative_sds=None):
        before = self.samples
        return Learner().fit([*before[0], *graphs], [*before[1], *latencies_ms], [*before[2], *relative_sds])

    def predict(self, graphs):
        return self._matrix([self._features(graph) for graph in graphs]) @ self.coef

    def predict_interval(self, graphs, confidence=0.95):
        X = self._matrix([self._features(graph) for graph in graphs])
        latencies = X @ self.coef
        rank = min(len(self.scores), math.ceil((len(self.scores) + 1) * confidence))
        halves = latencies * self._spread(X, latencies) * self.scores[rank - 1]
        return [Prediction(float(v), float(v - h), float(v + h)) for v, h in zip(latencies, halves, strict=True)]

    def _spread(self, X, latencies):
        return np.sqrt(((X @ self.covariance) * X).sum(axis=1) / latencies**2 + MISFIT**2)

    def _features(self, graph):
        known = self.features.get(id(graph))  # hashing a graph takes longer than all else here
        if known is not None:
            return known[1]
        total: Counter[str] = Counter()
        for index in live_nodes(graph):
            spec = graph[index].spec
            names, cost = of_node(spec)
            for name in names:
                total[name] += cost
            for source in graph[index].inputs:
                if source != INPUT:
                    total[of_edge(graph[source].spec, spec)] += cost
        self.features[id(graph)] = graph, total
        return total

    def _matrix(self, records):
        matrix = np.zeros((len(records), len(self.names)))
        for row, record in enumerate(records):
            for name, value in record.items():
                if name in self.names:
                    matrix[row, self.names[name]] = value
        return matrix


@pytest.fixture(scope="session")
def learner():
    """The class, as importing between tests is not."""
    return Learner


class _Net(NamedTuple):
    """A network that is predicted to take `ms`; the graph is only a key."""

    ms: float
    name: str = ""

    def graph(self):
        return (self,)


class _Scripted:
    """A predictor that reads the milliseconds from the network, with an interval of +- `margin`."""

    def __init__(self, margin=0.1):
        self.margin = margin

    def predict_interval(self, graphs, confidence):
        return [Prediction(ms, (1 - self.margin) * ms, (1 + self.margin) * ms) for ms in map(self.latency_of, graphs)]

    def latency_of(self, graph):
        return graph[0].ms


class _Learning(_Scripted):
    """It learns what each network takes, and notes what it was told."""

    def __init__(self, known=()):
        super().__init__()
        self.known = dict(known)

    def latency_of(self, graph):
        return self.known.get(graph[0].name, graph[0].ms)

    def updated(self, graphs, latencies_ms, relative_sds=None):
        self.told = list(latencies_ms), list(relative_sds)
        return _Learning({graph[0].name: ms for graph, ms in zip(graphs, latencies_ms, strict=True)})


@pytest.fixture(scope="session")
def Net():
    return _Net


@pytest.fixture(scope="session")
def Scripted():
    return _Scripted


@pytest.fixture(scope="session")
def Learning():
    return _Learning


@pytest.fixture(scope="session")
def constraint_of():
    """Make a constraint of a budget, its predictor scripted, at a scale that is known for certain."""

    def make(budget_ms, measure=None, predictor=None, margin=0.1, **options):
        options.setdefault("scale_error", 0.0)
        return LatencyConstraint(predictor or _Scripted(margin), budget_ms, measure=measure, **options)

    return make


@pytest.fixture(scope="session")
def differences():
    """A function that gives the gradient of a function of a distribution by its parameters, by central differences."""

    def of(distribution, function, step=1e-6):
        found = []
        for one in distribution.parameters:
            gradient = np.zeros_like(one)
            for index in np.ndindex(one.shape):
                kept = one[index]
                one[index] = kept + step
                above = function(distribution)
                one[index] = kept - step
                gradient[index] = (above - function(distribution)) / (2 * step)
                one[index] = kept
            found.append(gradient)
        return found

    return of
