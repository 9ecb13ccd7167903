"""Measures how fast a session is, with subnets that a predictor was learnt from: the anchors.

Other work on the machine slows networks and the reference differently. So ratios to the reference alone change by up to four
per cent between sessions, and between the campaigns of a session. Known subnets slow down as networks like them do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from latlas.errors import UsageError
from latlas.latency.measuring.bench import Network, network_of_graph
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.stopwatch import CAMPAIGN_SD, StopRule, trimmed_mean
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.spaces.graph import Graph
from latlas.spaces.space import Architecture
from latlas.spaces.text import parse_architecture

ANCHORS = 8
LEAST_ERROR = 0.008
"""The least relative standard error of one anchor's reading against its prediction, as between two campaigns."""
SCALE_SD, SCALE_DF = 0.004, 4
"""The prior for how far the scales of a session's campaigns lie from 1, and the number of campaigns it weighs as much as."""
UNSEEN_SCALE_ERROR = 0.02
"""Standard error of a campaign's scale if none of its anchors had a pass that counts."""


def anchors_of(saved: SavedPredictor, count: int = ANCHORS) -> list[Architecture]:
    """Architectures that the predictor was learnt from, spread over their latencies; empty if the file names none."""
    train_samples = sorted((one for one in saved.samples if one.role == "train"), key=lambda one: one.latency_ms)
    if not train_samples:
        return []
    # Only the middle nine tenths: at the ends a predictor is least sure.
    places = np.rint(np.linspace(0.05, 0.95, count) * (len(train_samples) - 1)).astype(int)
    space = saved.space
    return [parse_architecture(train_samples[place].architecture, space) for place in dict.fromkeys(places.tolist())]


def session_scale(
    saved: SavedPredictor, anchors: Sequence[Architecture], measured_ms: Mapping[Architecture, float]
) -> tuple[float, float]:
    """The ratio of this session's milliseconds to the predictor's, and its relative standard error.

    `measured_ms` holds the anchors that could be measured. Raises `UsageError` if there are none.
    """
    known = [one for one in anchors if one in measured_ms]
    if not known:
        raise UsageError("none of the subnets that the predictor was learnt from could be measured here")
    predicted = saved.predictor.latency_ms([one.graph() for one in known])
    logs = np.log([measured_ms[one] for one in known]) - np.log(predicted)
    spread = max(float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0, LEAST_ERROR)
    # The median, so that one reading in a burst does not move the result.
    return math.exp(float(np.median(logs))), spread / math.sqrt(len(logs)) * math.sqrt(math.pi / 2)


@dataclass
class Anchors:
    """The anchors of a predictor, which are measured along with other networks, and the scales that follow from them.

    `describe` describes a graph for the timing process. `open` takes a session's first campaign, which has all anchors; `scale`
    takes a later one.
    """

    saved: SavedPredictor
    describe: Callable[[Graph], Sequence[tuple[str, list[int]]]]
    architectures: list[Architecture] = field(init=False)
    networks: list[Network] = field(init=False)
    scales: list[tuple[float, float]] = field(init=False, default_factory=list)
    """For each later campaign: the logarithm of the scale by its anchors' passes, and its standard error."""
    _expected: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.architectures = anchors_of(self.saved)
        self.networks = [network_of_graph(f"anchor {one}", self.describe(one.graph())) for one in self.architectures]

    def open(self, found: Mapping[str, Measured], reference_ms: float, rule: StopRule) -> tuple[float, float]:
        """`session_scale` of the session's first campaign, at `reference_ms`; raises as `session_scale` does."""
        pairs = zip(self.architectures, self.networks, strict=True)
        ratios = {a: found[n.label].reading(rule).ratio for a, n in pairs if found[n.label].passes}
        scale, error = session_scale(self.saved, self.architectures, {a: r * reference_ms for a, r in ratios.items()})
        predicted = self.saved.predictor.latency_ms([one.graph() for one in self.architectures]) * scale / reference_ms
        self.scales.clear()
        # Half the anchor's reading, half the predictor's value: each has an error of its own.
        self._expected = {
            f"anchor {a}": math.sqrt(float(ratio) * ratios.get(a, float(ratio)))
            for a, ratio in zip(self.architectures, predicted, strict=True)
        }
        return scale, error

    def scale(self, found: Mapping[str, Measured]) -> tuple[float, float]:
        """The scale of a campaign's ratios against the session's first campaign, and its relative standard error.

        It is the trimmed mean of the anchors' passes, drawn towards 1. How strongly depends on how far the earlier scales of this
        session lay from 1 (a normal prior about 1, whose variance has a scaled inverse chi-square prior of its own).
        """
        rows = {
            label: np.log(np.array(found[label].pass_ratios()) / expected)
            for label, expected in self._expected.items()
            if label in found and found[label].pass_ratios()
        }
        if not rows:
            return 1.0, UNSEEN_SCALE_ERROR
        logs = np.concatenate(list(rows.values()))
        raw = trimmed_mean(logs)
        spread = max(float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0, LEAST_ERROR)
        error = math.hypot(spread / math.sqrt(len(logs)), CAMPAIGN_SD / math.sqrt(len(rows)))
        seen = sum(max(one**2 - own**2, 0.0) for one, own in self.scales)
        before = (SCALE_DF * SCALE_SD**2 + seen) / (SCALE_DF + len(self.scales))
        # However many calm campaigns there were, a run that continues on another day has a scale like none of them.
        between = (SCALE_DF * before + max(raw**2 - error**2, 0.0)) / (SCALE_DF + 1)
        self.scales.append((raw, error))
        weight = between / (between + error**2)
        return math.exp(weight * raw), math.sqrt(weight) * error
