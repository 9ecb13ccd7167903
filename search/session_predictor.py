"""The predictor in a session's milliseconds, learning what the session measures."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from latlas.latency.encoding import IntArray
from latlas.latency.errors import UsageError
from latlas.search.calibration import Calibration, Tested
from latlas.search.forecast import Forecast, has_codes
from latlas.search.interval import Interval, stated_error
from latlas.search.verdict import HasGraph, Learnt, Predicts
from latlas.supernet.space import SearchSpace

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float64]
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
            try:
                predictor = self._base.predictor.updated(  # type: ignore[attr-defined]  # asked for by hasattr
                    [one.graph() for one, _ in self.tested.values()],
                    [one.latency_ms / scale for one in intervals],
                    [stated_error(one.latency_ms, one.lower_ms, one.upper_ms) for one in intervals],
                )
                self._now = Forecast(predictor, self.calibration.confidence)
            except UsageError as error:  # one of an earlier version; the session's factor is then all that learns
                log.warning("%s; the search goes on with it as it is", error)
                self.calibration.learns = False
        self._stale = False
        return self._now

    def _in_session(self, latency: FloatArray, half: FloatArray) -> Bounds:
        factor, factor_error = self.calibration.factor()
        unwidened = np.hypot(half, self.calibration.z * factor_error)
        latency = latency * (self.calibration.scale * factor)
        share = np.minimum(unwidened * self.calibration.widening(), 0.99)
        return latency, latency * (1 - share), latency * (1 + share), unwidened
