"""How fast a session is: subnets that a predictor was learnt from, measured again.

Between sessions, and between the campaigns of one, other work on the machine slows networks and the reference differently, so
that ratios to the reference alone change by up to four per cent. Known subnets are slowed as networks like them are.
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
"""Relative standard error of one anchor's reading against its prediction, at least: that of another campaign."""
SCALE_SD, SCALE_DF = 0.004, 4
"""How far the scales of a session's campaigns are believed to lie from 1 before any is seen, and how many count for as much."""
UNSEEN_SCALE_ERROR = 0.02
"""Standard error of a campaign's scale where none of its anchors had a pass that counts."""


def anchors_of(saved: SavedPredictor, count: int = ANCHORS) -> list[Architecture]:
    """Architectures that the predictor was learnt from, spread over their latencies; none where the file names none."""
    learnt = sorted((one for one in saved.samples if one.role == "train"), key=lambda one: one.latency_ms)
    if not learnt:
        return []
    # The middle nine tenths: at the ends a predictor is at its least sure.
    places = np.rint(np.linspace(0.05, 0.95, count) * (len(learnt) - 1)).astype(int)
    space = saved.space
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
    predicted = saved.predictor.latency_ms([one.graph() for one in known])
    logs = np.log([measured_ms[one] for one in known]) - np.log(predicted)
    spread = max(float(np.std(logs, ddof=1)) if len(logs) > 1 else 0.0, LEAST_ERROR)
    # The median: one reading in a burst is not to move all.
    return math.exp(float(np.median(logs))), spread / math.sqrt(len(logs)) * math.sqrt(math.pi / 2)


@dataclass
class Anchors:
    """The anchors of a predictor as networks that are measured along, and what they say.

    `describe` makes the timing process's description of a graph. `open` is told a session's first campaign, which has all
    anchors; `scale` a later one.
    """

    saved: SavedPredictor
    describe: Callable[[Graph], Sequence[tuple[str, list[int]]]]
    architectures: list[Architecture] = field(init=False)
    networks: list[Network] = field(init=False)
    scales: list[tuple[float, float]] = field(init=False, default_factory=list)
    """Of each later campaign: the logarithm as its anchors' passes have it, and its standard error."""
    _expected: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.architectures = anchors_of(self.saved)
        self.networks = [network_of_graph(f"anchor {one}", self.describe(one.graph())) for one in self.architectures]

    def open(self, found: Mapping[str, Measured], reference_ms: float, rule: StopRule) -> tuple[float, float]:
        """`session_scale` by the session's first campaign, at `reference_ms`; raises as it does."""
        pairs = zip(self.architectures, self.networks, strict=True)
        ratios = {a: found[n.label].reading(rule).ratio for a, n in pairs if found[n.label].passes}
        scale, error = session_scale(self.saved, self.architectures, {a: r * reference_ms for a, r in ratios.items()})
        predicted = self.saved.predictor.latency_ms([one.graph() for one in self.architectures]) * scale / reference_ms
        self.scales.clear()
        # Half its reading, half what the predictor makes of all readings: each is off by something of its own.
        self._expected = {
            f"anchor {a}": math.sqrt(float(ratio) * ratios.get(a, float(ratio)))
            for a, ratio in zip(self.architectures, predicted, strict=True)
        }
        return scale, error

    def scale(self, found: Mapping[str, Measured]) -> tuple[float, float]:
        """A campaign's ratios over those of the session's first, and the relative standard error of that.

        The trimmed mean of the anchors' passes, drawn towards 1 by how far the scales of this session's campaigns lay from 1
        (a normal prior about 1, whose variance has a scaled inverse chi-square prior of its own).
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
        # However many calm campaigns there were: a run that goes on another day has a scale like none of them.
        between = (SCALE_DF * before + max(raw**2 - error**2, 0.0)) / (SCALE_DF + 1)
        self.scales.append((raw, error))
        kept = between / (between + error**2)
        return math.exp(kept * raw), math.sqrt(kept) * error
