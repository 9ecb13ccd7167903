"""The measured Pareto front of a search: networks within the budget that no other network beats in both quality and latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.verdict import Verdict
from latlas.search.run.session import Session
from latlas.search.strategies.front import front_of
from latlas.search.strategies.loop import Candidate, History

MEASURED = 16
"""At most so many networks of a front are measured, spread over its latencies."""


def measured_front(
    history: History, constraint: LatencyConstraint, session: Session, on_note: Callable[[str], None]
) -> list[Candidate]:
    """The measured front of the evaluated networks, the fastest first. Networks that turn out dominated are left out.

    `quality` is the supernet's score. The constraint learns the measurements.
    """
    chosen = spread_out(front_of(history), MEASURED)
    on_note(f"measuring {len(chosen)} networks of the front")
    architectures = [one.architecture for one in chosen]
    intervals = session.measure(architectures, session.setting.careful_passes)
    found = [(one, interval) for one, interval in zip(chosen, intervals, strict=True) if interval is not None]
    verdicts = constraint.confirm_all([one.architecture for one, _ in found], [interval for _, interval in found])
    measured = [
        replace(one, verdict=Verdict(verdict.feasible, interval.latency_ms, interval.lower_ms, interval.upper_ms, True))
        for (one, interval), verdict in zip(found, verdicts, strict=True)
    ]
    return front_of(History([one for one in measured if one.verdict.feasible]))


def spread_out(front: Sequence[Candidate], count: int) -> list[Candidate]:
    """`count` networks at even places of a front, both ends included; all if there are not more."""
    places = np.rint(np.linspace(0, len(front) - 1, min(count, len(front)))).astype(int)
    return [front[place] for place in places.tolist()]
