"""A predictor in the session's milliseconds, which learns the session's measurements."""

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
"""After so many networks of a space the predictor is compiled for it. Compiling for `portrait` takes as long as 40 networks."""


class Forecast:
    """Predicts milliseconds and the relative half widths of the intervals, for architectures or for codes.

    A `LatencyPredictor` is compiled for a space after `WORTH_COMPILING` predictions in it. The compiled one gives the same
    values, apart from rounding. Baselines, other people's architectures, and spaces that cannot be compiled are predicted from
    their graphs.
    """

    def __init__(self, predictor: Predicts, confidence: float) -> None:
        self.predictor, self.confidence = predictor, confidence
        self._asked: dict[SearchSpace, int] = {}
        self._compiled: dict[SearchSpace, CompiledPredictor | None] = {}

    def of(self, architectures: Sequence[HasGraph]) -> tuple[FloatArray, FloatArray]:
        """The milliseconds and the relative half widths, `(len(architectures),)` each."""
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
        """What `of` gives, for a space's codes `(n, columns)`."""
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
        """The predictor compiled for the space; None if it cannot be compiled."""
        if space not in self._compiled:
            self._compiled[space] = None
            if isinstance(self.predictor, LatencyPredictor):
                # `CompiledPredictor` refuses dead branches, choices that depend on each other, and too many pairs.
                with suppress(UsageError):
                    self._compiled[space] = CompiledPredictor(self.predictor, space.template())
        return self._compiled[space]


def has_codes(architecture: HasGraph) -> TypeGuard[Architecture]:
    """Whether it is a searchable architecture of a `SearchSpace`, which has codes."""
    return isinstance(architecture, Architecture) and not architecture.is_baseline


log = logging.getLogger(__name__)

Bounds = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
"""Milliseconds of the session, lower bounds, upper bounds, and relative half widths without the widening, `(n,)` each."""
Key = Hashable
"""Identifies an architecture: the architecture itself if it has codes, which is quicker to compare, else its graph."""


def key_of(architecture: HasGraph) -> Key:
    """The key that identifies an architecture; see `Key`."""
    return architecture if has_codes(architecture) else architecture.graph()


class SessionPredictor:
    """Predicts milliseconds of a session, with bounds.

    It multiplies the predictor's milliseconds by the session's factor and widens the bounds as `calibration` says. Predictor
    and calibration both learn the measurements. `tested` has, for each measured architecture, the prediction made before its
    measurement; `latest` has its last measurement.
    """

    def __init__(self, predictor: Predicts, calibration: Calibration) -> None:
        self.calibration = calibration
        self.tested: dict[Key, tuple[HasGraph, Tested]] = {}
        self.latest: dict[Key, Interval] = {}
        self._base = self._now = Forecast(predictor, calibration.confidence)
        self._stale = False

    @property
    def predictor(self) -> Predicts:
        """The predictor after it learnt the measurements. It predicts its own milliseconds."""
        return self._forecast().predictor

    @property
    def scale(self) -> float:
        """The current estimate of this session's milliseconds divided by the predictor's."""
        return self.calibration.scale * self.calibration.factor()[0]

    def bounds(self, architectures: Sequence[HasGraph]) -> Bounds:
        """The bounds of architectures."""
        return self._in_session(*self._forecast().of(architectures))

    def bounds_of_codes(self, space: SearchSpace, codes: IntArray) -> Bounds:
        """The bounds of a space's codes `(n, columns)`."""
        return self._in_session(*self._forecast().of_codes(space, codes))

    def learn(self, found: Mapping[Key, tuple[HasGraph, Interval]]) -> None:
        """Learn the first measurements of architectures."""
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
        """The measurements, in the predictor's milliseconds."""
        scale, samples = self.scale, []
        for key, (architecture, tested) in self.tested.items():
            latest = self.latest[key]
            bounds = (latest.latency_ms / scale, latest.lower_ms / scale, latest.upper_ms / scale)
            samples.append(Learnt(architecture, *bounds, tested.predicted_ms / scale))
        return samples

    def _forecast(self) -> Forecast:
        if self._stale and self.calibration.learns:
            # Learn all measurements anew each time: every measurement changes the session's factor that divides them all.
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
