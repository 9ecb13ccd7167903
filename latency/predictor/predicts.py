"""The methods that a predictor and its networks must have, and the prediction that it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from latlas.spaces.graph import Graph


@dataclass(frozen=True, slots=True)
class Prediction:
    """Milliseconds with the bounds of an interval."""

    latency_ms: float
    lower_ms: float
    upper_ms: float


class HasGraph(Protocol):
    """Anything with a graph: an architecture of Latlas, or of somebody else's search."""

    def graph(self) -> Graph:
        """Its operators in topological order."""
        ...


class Predicts(Protocol):
    """A predictor: `LatencyPredictor`, or any other with this method. If it also has `updated`, it learns during the search."""

    def predict_interval(self, X: Sequence[Graph], confidence: float = 0.95) -> Sequence[Prediction]:
        """Milliseconds of each graph with an interval."""
        ...


class PredictsNetworks(Protocol):
    """A predictor of any kind that predicts networks: saved, learnt from graphs, adapted, compiled, or learnt from samples."""

    def predict(self, networks: Sequence[Any], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds of each network with an interval."""
        ...


def graphs_of(networks: Sequence[HasGraph | Graph]) -> list[Graph]:
    """The graph of each network: the network itself if it is a graph, else its `graph()`."""
    return [network.graph() if not isinstance(network, tuple) else network for network in networks]
