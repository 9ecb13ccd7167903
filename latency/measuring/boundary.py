"""Boundary-corrected latency: an operator's isolated latency less what only its isolation costs.

Alone, an operator takes and gives planar f32 tensors: the plugin converts layout and precision at both borders, quantises at
int8, and is called for it. Within a network its neighbours mostly leave the tensors as it wants them, and one call is for all.
What of the time is the operator's own is read from performance counters, in compiles of their own; the latency itself never
is. `benchmarks/borders.py` holds the result against chains of the same operator, of which the second adds no borders.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Protocol

from latlas.errors import FileFormatError, LatlasError
from latlas.files import signals as interrupt
from latlas.files.journal import Journal
from latlas.latency.measuring.bench import Network
from latlas.latency.measuring.time_left import Progress

MAX_CUT_US = 1.0
"""What the counters cut off a node's time at most: a fraction of each run's, and of their mean's, half on average."""


class NodeTimer(Protocol):
    """The bench, or a scripted one in tests."""

    def node_times(self, network: Network) -> dict[str, Any]:
        """Where a network's time goes, as `host.Host.node_times` gives it."""
        ...


def inner_share(record: Mapping[str, Any]) -> float:
    """The share of a latency that is the operator's own, from 0 to 1: the median over the record's compiles.

    `inner / (inner + border + call)`. The counters' times are whole microseconds, cut off; what the wall shows beyond them
    and the call is given back to the nodes in equal parts, `MAX_CUT_US` each at most.
    """
    call_us = float(record["call_us"])
    shares = []
    for sample in record["samples"]:
        inner, border = sample["inner_us"], sample["border_us"]
        nodes = len(inner) + len(border)
        seen = sum(inner) + sum(border)
        cut = min(max((sample["wall_us"] - call_us - seen) / nodes, 0.0), MAX_CUT_US) if nodes else 0.0
        own = sum(inner) + cut * len(inner)
        shares.append(own / (seen + cut * nodes + call_us))
    return median(shares)


def measure_inner_shares(
    timer: NodeTimer,
    networks: Sequence[Network],
    journal: Journal,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, float]:
    """`inner_share` of each network by label; one that cannot be timed is left out. Records of the journal count as done."""
    found: dict[str, float] = {}
    failed: set[str] = set()
    for record in journal.records:
        if "boundary" in record:
            _restore(record, found, failed, str(journal.path))
    started, before = time.monotonic(), len(found) + len(failed)
    for network in networks:
        if network.label in found or network.label in failed:
            continue
        interrupt.check()
        if on_progress is not None:
            done = len(found) + len(failed)
            pace = (time.monotonic() - started) / (done - before) if done > before else None
            left = None if pace is None else pace * (len(networks) - done)
            on_progress(Progress(done, len(networks), network.label, left, "measuring borders"))
        try:
            share = round(inner_share(timer.node_times(network)), 6)
        except LatlasError as error:
            journal.append({"boundary": network.label, "reason": str(error)})
            failed.add(network.label)
            continue
        found[network.label] = share
        journal.append({"boundary": network.label, "share": share})
    return found


def _restore(record: Mapping[str, Any], found: dict[str, float], failed: set[str], origin: str) -> None:
    label, share = record["boundary"], record.get("share")
    if isinstance(label, str) and isinstance(record.get("reason"), str):
        failed.add(label)
    elif isinstance(label, str) and isinstance(share, int | float) and 0 <= share <= 1 and math.isfinite(share):
        found[label] = float(share)
    else:
        raise FileFormatError(f"{origin}: the borders of {label!r} are broken; delete it to begin again")
