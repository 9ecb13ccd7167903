"""What a predictor and its networks must offer: the interfaces that a constraint asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from latlas.latency.predictor.predictor import Prediction
from latlas.spaces.graph import Graph


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
