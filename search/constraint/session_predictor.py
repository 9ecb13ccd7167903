"""The predictor in a session's milliseconds, learning what the session measures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import TypeGuard

import numpy as np

from latlas.arrays import FloatArray, IntArray
from latlas.errors import UsageError
from latlas.latency.measuring.interval import Interval, relative_sd_of
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predicts import HasGraph, Predicts
from latlas.search.constraint.calibration import Calibration, Tested
from latlas.search.constraint.verdict import Learnt
from latlas.spaces.graph import Graph
from latlas.spaces.space import Architecture, SearchSpace

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


log = logging.getLogger(__name__)

Bounds = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Milliseconds of the session, lower and upper bounds, and the relative half widths without the widening, `(n,)` each."""
Key = Hashable
"""What an architecture is known by: itself where it knows its space, which is quicker to tell than its graph, else its graph."""


def key_of(architecture: HasGraph) -> Key:
    """What an architecture is known by; see `Key`."""
    return architecture if has_codes(architecture) else architecture.graph()


class SessionPredictor:
    """Predicts milliseconds of a session with bounds.

    They are the predictor's times the session's factor, the bounds widened as `calibration` says, and both learn from what is
    measured. `tested` holds what was predicted of an architecture before it was measured, `latest` its last measurement.
    """

    def __init__(self, predictor: Predicts, calibration: Calibration) -> None:
        self.calibration = calibration
        self.tested: dict[Key, tuple[HasGraph, Tested]] = {}
        self.latest: dict[Key, Interval] = {}
        self._base = self._now = Forecast(predictor, calibration.confidence)
        self._stale = False

    @property
    def predictor(self) -> Predicts:
        """The predictor, having learnt what was measured since; its own milliseconds."""
        return self._forecast().predictor

    @property
    def scale(self) -> float:
        """This session's milliseconds over the predictor's, as far as it is known by now."""
        return self.calibration.scale * self.calibration.factor()[0]

    def bounds(self, architectures: Sequence[HasGraph]) -> Bounds:
        """Of architectures."""
        return self._in_session(*self._forecast().of(architectures))

    def bounds_of_codes(self, space: SearchSpace, codes: IntArray) -> Bounds:
        """Of a space's codes `(n, columns)`."""
        return self._in_session(*self._forecast().of_codes(space, codes))

    def learn(self, found: Mapping[Key, tuple[HasGraph, Interval]]) -> None:
        """Take on measurements of architectures that were not measured before."""
        architectures = [one for one, _ in found.values()]
        bounds, base = self.bounds(architectures), self._base.of(architectures)
        rows = zip(*(x.tolist() for x in (*bounds, *base)), found.items(), strict=True)
        for latency, lower, upper, unwidened, base_ms, base_half, (key, (architecture, interval)) in rows:
            tested = Tested(interval, latency, lower, upper, unwidened, base_ms, base_half)
            self.calibration.tested.append(tested)
            self.tested[key] = (architecture, tested)
            self.latest[key] = interval
        self._stale = True

    def learnt(self) -> list[Learnt]:
        """What was measured, in the predictor's milliseconds."""
        scale, samples = self.scale, []
        for key, (architecture, tested) in self.tested.items():
            latest = self.latest[key]
            bounds = (latest.latency_ms / scale, latest.lower_ms / scale, latest.upper_ms / scale)
            samples.append(Learnt(architecture, *bounds, tested.predicted_ms / scale))
        return samples

    def _forecast(self) -> Forecast:
        if self._stale and self.calibration.learns:
            # From the start each time: the session's factor, which all are divided by, changes with every measurement.
            scale, intervals = self.scale, [self.latest[key] for key in self.tested]
            predictor = self._base.predictor.updated(  # type: ignore[attr-defined]  # asked for by hasattr
                [one.graph() for one, _ in self.tested.values()],
                [one.latency_ms / scale for one in intervals],
                [relative_sd_of(one.latency_ms, one.lower_ms, one.upper_ms) for one in intervals],
            )
            self._now = Forecast(predictor, self.calibration.confidence)
        self._stale = False
        return self._now

    def _in_session(self, latency: FloatArray, half: FloatArray) -> Bounds:
        factor, factor_error = self.calibration.factor()
        unwidened = np.hypot(half, self.calibration.z * factor_error)
        latency = latency * (self.calibration.scale * factor)
        share = np.minimum(unwidened * self.calibration.widening(), 0.99)
        return latency, latency * (1 - share), latency * (1 + share), unwidened
