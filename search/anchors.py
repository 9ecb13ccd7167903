"""How fast a session is: subnets that a predictor was learnt from, measured again.

Between sessions other work on the machine slows networks and the reference by different factors, so that ratios to the
reference alone shift by up to three per cent. Known subnets are slowed as their like are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from latlas.latency.errors import UsageError
from latlas.latency.predictor_file import SavedPredictor
from latlas.supernet.space import Architecture, parse_architecture, parse_space

ANCHORS = 8
LEAST_ERROR = 0.008
"""Relative standard error of one anchor's reading against its prediction, at least: that of another campaign."""


def anchors_of(saved: SavedPredictor, count: int = ANCHORS) -> list[Architecture]:
    """Architectures that the predictor was learnt from, spread over their latencies; none where the file names none."""
    learnt = sorted((one for one in saved.samples if one.role == "train"), key=lambda one: one.latency_ms)
    if not learnt:
        return []
    # The middle nine tenths: at the ends a predictor is at its least sure.
    places = np.rint(np.linspace(0.05, 0.95, count) * (len(learnt) - 1)).astype(int)
    space = parse_space(saved.space)
    return [parse_architecture(learnt[place].architecture, space) for place in dict.fromkeys(places.tolist())]


def session_scale(
    saved: SavedPredictor, anchors: Sequence[Architecture], measured_ms: Mapping[Architecture, float]
) -> tuple[float, float]:
    """This session's milliseconds over the predictor's, and the standard error of that, relative.

    `measured_ms` is what those anchors took that could be measured. Raises `UsageError` where that is none of them.
    """
    known = [one for one in anchors if one in measured_ms]
    if not known:
        raise UsageError("none of the subnets that the predictor was learnt from could be measured here")
    predicted = saved.predictor.predict([one.graph() for one in known])
    logs = np.log([measured_ms[one] for one in known]) - np.log(predicted)
    spread = max(float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0, LEAST_ERROR)
    # The median: one reading in a burst is not to move all.
    return math.exp(float(np.median(logs))), spread / math.sqrt(len(logs)) * math.sqrt(math.pi / 2)
