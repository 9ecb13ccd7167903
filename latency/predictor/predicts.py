"""What a predictor and its networks must offer, and what a prediction is."""

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
    """Anything with a graph: an architecture of ours, or of somebody else's search."""

    def graph(self) -> Graph:
        """Its operators in topological order."""
        ...


class Predicts(Protocol):
    """A predictor: `LatencyPredictor`, or another with this method. One that also has `updated` learns during the search."""

    def predict_interval(self, X: Sequence[Graph], confidence: float = 0.95) -> Sequence[Prediction]:
        """Milliseconds of each graph with an interval."""
        ...


class PredictsNetworks(Protocol):
    """A predictor of any kind, asked for networks: saved, learnt from graphs, adapted, compiled, or of samples."""

    def predict(self, networks: Sequence[Any], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds of each network with an interval."""
        ...


def graphs_of(networks: Sequence[HasGraph | Graph]) -> list[Graph]:
    """The graph of each network, which is one or has one."""
    return [network.graph() if not isinstance(network, tuple) else network for network in networks]
