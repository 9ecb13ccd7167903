"""Boundary-corrected latency: an operator's isolated latency without the costs of being isolated.

Alone, an operator takes and returns planar f32 tensors. The plugin converts layout and precision at both borders, quantises
at int8, and needs one call for this operator. Within a network, its neighbours mostly pass tensors in the layout that it
needs, and one call runs all operators. Performance counters, in separate compiles, say which share of the time is the
operator's own; the latency itself never comes from counters. `benchmarks/borders.py` compares the result with chains of
the same operator: the second operator of a chain adds no borders.
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
"""The most that the counters cut off a node's time: they drop the fraction of each run's microseconds and of their mean."""


class NodeTimer(Protocol):
    """The bench, or a scripted timer in tests."""

    def node_times(self, network: Network) -> dict[str, Any]:
        """Where a network's time goes, as `worker.Host.node_times` returns it."""
        ...


def inner_share(record: Mapping[str, Any]) -> float:
    """The share of a latency that belongs to the operator itself, from 0 to 1: the median over the record's compiles.

    The share is `inner / (inner + border + call)`. The counters cut their times to whole microseconds. If the wall clock
    shows more than the counters and the call, the nodes get the rest back in equal parts, at most `MAX_CUT_US` each.
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
    """`inner_share` of each network by label, without networks that cannot be timed. Records of the journal count as done."""
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
