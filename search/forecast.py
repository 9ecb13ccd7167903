"""What a predictor says of many architectures: looked up from their codes where they know their space, else from their graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from latlas.latency.compiled import CompiledPredictor
from latlas.latency.encoding import IntArray
from latlas.latency.errors import UsageError
from latlas.latency.graph import Graph
from latlas.latency.predictor import LatencyPredictor
from latlas.search.verdict import HasGraph, Predicts
from latlas.supernet.space import Architecture, SearchSpace

FloatArray = npt.NDArray[np.float64]

WORTH_COMPILING = 40
"""Networks of a space that are predicted from their graphs first: compiling a predictor of `portrait` takes as long as 40."""


class Forecast:
    """A predictor's milliseconds and the relative half widths of its intervals, of architectures or of codes.

    A `LatencyPredictor` is compiled for a space once `WORTH_COMPILING` of its architectures were asked about; what is looked up
    then is the same but for rounding. Of baselines, of anybody's own architectures, and in spaces that cannot be compiled, the
    graphs are predicted.
    """

    def __init__(self, predictor: Predicts, confidence: float) -> None:
        self.predictor, self.confidence = predictor, confidence
        self._asked: dict[SearchSpace, int] = {}
        self._compiled: dict[SearchSpace, CompiledPredictor | None] = {}

    def of(self, architectures: Sequence[HasGraph]) -> tuple[FloatArray, FloatArray]:
        """Milliseconds and relative half widths, `(len(architectures),)` each."""
        known: dict[SearchSpace, dict[int, Architecture]] = {}
        others: dict[int, HasGraph] = {}
        for row, one in enumerate(architectures):
            if has_codes(one):
                known.setdefault(one.space, {})[row] = one
            else:
                others[row] = one
        latency, half = np.empty(len(architectures)), np.empty(len(architectures))
        if others:
            latency[list(others)], half[list(others)] = self._of_graphs([one.graph() for one in others.values()])
        for space, some in known.items():
            latency[list(some)], half[list(some)] = self._of_architectures(space, list(some.values()))
        return latency, half

    def of_codes(self, space: SearchSpace, codes: IntArray) -> tuple[FloatArray, FloatArray]:
        """As `of`, of the networks of a space's codes `(n, columns)`."""
        return self._of_space(space, len(codes), lambda: codes, lambda: [one.graph() for one in space.decode(codes)])

    def _of_architectures(self, space: SearchSpace, some: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        return self._of_space(space, len(some), lambda: space.encode(some), lambda: [one.graph() for one in some])

    def _of_space(
        self, space: SearchSpace, count: int, codes: Callable[[], IntArray], graphs: Callable[[], Sequence[Graph]]
    ) -> tuple[FloatArray, FloatArray]:
        self._asked[space] = self._asked.get(space, 0) + count
        compiled = self._compiled_for(space) if self._asked[space] >= WORTH_COMPILING else None
        if compiled is None:
            return self._of_graphs(graphs())
        latency, lower, upper = compiled.predict_interval(codes(), self.confidence)
        return latency, (upper - lower) / 2 / latency

    def _of_graphs(self, graphs: Sequence[Graph]) -> tuple[FloatArray, FloatArray]:
        plain = self.predictor.predict_interval(graphs, self.confidence)
        latency = np.array([one.latency_ms for one in plain])
        return latency, np.array([(one.upper_ms - one.lower_ms) / 2 for one in plain]) / latency

    def _compiled_for(self, space: SearchSpace) -> CompiledPredictor | None:
        """None where this predictor cannot be compiled for the space."""
        if space not in self._compiled:
            self._compiled[space] = None
            if isinstance(self.predictor, LatencyPredictor):
                # Refused are dead branches, choices that depend on each other, and too many pairs.
                with suppress(UsageError):
                    self._compiled[space] = CompiledPredictor(self.predictor, space.template())
        return self._compiled[space]


def has_codes(architecture: HasGraph) -> TypeGuard[Architecture]:
    """Whether it is one of a `SearchSpace`'s searchable architectures, which its codes tell."""
    return isinstance(architecture, Architecture) and not architecture.is_baseline
