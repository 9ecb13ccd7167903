"""A campaign: it measures many networks in interleaved passes; after a kill, the next run continues from its journal."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files import signals as interrupt
from latlas.files.journal import Journal
from latlas.latency.measuring.bench import Network, ProcessDiedError, Timer
from latlas.latency.measuring.stopwatch import (
    CAMPAIGN_SD,
    Pass,
    Reading,
    StopRule,
    combine,
    controlled,
    disagreement,
    with_quiet_levels,
)
from latlas.latency.measuring.time_left import Progress, TimeLeft

log = logging.getLogger(__name__)

ALONG_A_ROUND = 2
"""How many of the known networks (`along`) get a pass in each round over the others."""


@dataclass(slots=True)
class Measured:
    """One network of a campaign: its passes, or the reason why it has none."""

    label: str
    passes: list[Pass] = field(default_factory=list)
    reason: str = ""

    def reading(self, rule: StopRule, campaign_sd: float = CAMPAIGN_SD) -> Reading:
        """Its ratio to the reference; only for a network that has not failed."""
        return combine(self.passes, rule, campaign_sd)

    def times_ms(self) -> list[float]:
        """The raw times of all passes."""
        return [time for done in self.passes for time in done.times_ms]

    def pass_ratios(self) -> tuple[float, ...]:
        """The ratio of each pass that was not busy."""
        return tuple(done.ratio for done in self.passes if done.quiet)


def measure_all(
    timer: Timer,
    networks: Sequence[Network],
    *,
    passes: int = 6,
    max_passes: int = 24,
    repeat_noisy: bool = True,
    along: Sequence[Network] = (),
    seed: int = 0,
    journal: Journal | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Measured]:
    """Every network's passes, by label.

    Each round over the networks has another random order, so that the machine's drift does not always hit the same networks.
    Each network gets `passes` that were not busy; with `repeat_noisy`, a network whose interval is too wide gets up to
    `max_passes`. Busy passes do not count, but no network gets more than twice these numbers in all. A network that cannot be
    built or timed is kept with the reason and not tried again. Records of the journal count as done. `along` are known
    networks, which compare this campaign with others: each round times the next `ALONG_A_ROUND` of them. The time left is
    reckoned with `clock`.
    """
    if not 1 <= passes <= max_passes:
        raise UsageError(f"passes is {passes} and max_passes {max_passes}; at least 1, in order")
    labels = [network.label for network in (*networks, *along)]
    if len(set(labels)) != len(labels):
        raise UsageError("two networks of a campaign have the same label")
    origin, records = ("", []) if journal is None else (str(journal.path), journal.records)
    found = restored(labels, records, timer.rule, origin)
    rng = np.random.default_rng(seed)
    most = max_passes if repeat_noisy else passes
    own = {network.label: found[network.label] for network in networks}
    time_left = TimeLeft(passes, most, timer.rule, clock)
    for index in range(2 * most):
        _complete_passes(found)
        order = [networks[i] for i in rng.permutation(len(networks))]
        pending = [n for n in order if _wants(found[n.label], index, passes, most, timer.rule)]
        if pending and along:
            places = range(index * ALONG_A_ROUND, (index + 1) * ALONG_A_ROUND)
            beside = dict.fromkeys(place % len(along) for place in places)
            pending += [along[i] for i in beside if not found[along[i].label].reason]
            pending = [pending[i] for i in rng.permutation(len(pending))]
        for network in pending:
            interrupt.check()
            measured = found[network.label]
            if on_progress is not None:
                on_progress(time_left.progress(own, network.label))
            record = _time_one(timer, network, measured)
            time_left.tried()
            if journal is not None:
                journal.append(record)
    _complete_passes(found)
    return found


def restored(
    labels: Sequence[str], records: Sequence[dict[str, Any]], rule: StopRule, origin: str
) -> dict[str, Measured]:
    """The networks by label as the records of a journal have them; raises `FileFormatError` for a record that does not fit."""
    found = {label: Measured(label) for label in labels}
    for record in records:
        if "boundary" not in record:  # another measurement of the same run
            _restore(found, record, rule, origin)
    _complete_passes(found)
    return found


def _complete_passes(found: dict[str, Measured]) -> None:
    """Set what only later passes complete: the reference's quiet level around each pass, and each pass's adjustment."""
    levelled = iter(with_quiet_levels([done for one in found.values() for done in one.passes]))
    passes = controlled([[next(levelled) for _ in one.passes] for one in found.values()])
    for one, controlled_passes in zip(found.values(), passes, strict=True):
        one.passes = controlled_passes


def _wants(measured: Measured, index: int, passes: int, most: int, rule: StopRule) -> bool:
    """Whether a network needs its `index`-th pass."""
    if measured.reason or len(measured.passes) > index:
        return False
    quiet = len(measured.pass_ratios())
    return quiet < passes or (quiet < most and measured.reading(rule).status == "noisy")


def _time_one(timer: Timer, network: Network, measured: Measured) -> dict[str, Any]:
    try:
        done = timer.time(network)
    except LatlasError as error:
        measured.reason = str(error)
        log.warning("%s: %s", network.label, error)
        record: dict[str, Any] = {"label": network.label, "reason": measured.reason}
        if isinstance(error, ProcessDiedError):
            measured.passes.clear()  # a time from between two crashes is no latency
            record["crashed"] = True
        return record
    measured.passes.append(done)
    return _record_of(network.label, done)


def records_of(measured: Measured) -> list[dict[str, Any]]:
    """The records that a journal keeps of a network; `restored` reads them."""
    records = [_record_of(measured.label, done) for done in measured.passes]
    return [*records, {"label": measured.label, "reason": measured.reason}] if measured.reason else records


def _record_of(label: str, done: Pass) -> dict[str, Any]:
    reference, times = ([round(t, 6) for t in row] for row in (done.reference_times_ms, done.times_ms))
    known_ms = None if done.known_ms is None else round(done.known_ms, 6)
    return {"label": label, "reference": reference, "times": times, "known_ms": known_ms, "at": round(done.at, 3)}


def _restore(found: dict[str, Measured], record: dict[str, Any], rule: StopRule, origin: str) -> None:
    label, reason = record.get("label"), record.get("reason")
    if label not in found:
        raise FileFormatError(f"{origin}: it has {label!r}, which this run does not measure; delete it to begin again")
    if isinstance(reason, str):
        found[label].reason = reason
        if record.get("crashed") is True:
            found[label].passes.clear()
        return
    try:
        reference, times = (tuple(float(t) for t in record[name]) for name in ("reference", "times"))
        at, known_ms = float(record["at"]), record["known_ms"]
        known_ms = None if known_ms is None else float(known_ms)
    except (KeyError, TypeError, ValueError):
        raise FileFormatError(f"{origin}: the times of {label!r} are broken; delete it to begin again") from None
    all_times = (*reference, *times, 1.0 if known_ms is None else known_ms)
    if not times or not reference or not all(0 < t < math.inf for t in all_times):
        raise FileFormatError(f"{origin}: the times of {label!r} are not positive times; delete it to begin again")
    found[label].passes.append(Pass(reference, times, rule.quiet_tolerance, known_ms, at))


def reference_ms(measured: Sequence[Measured]) -> float:
    """The reference's own latency in a campaign: the median of the medians of all passes that were not busy.

    Raises `LatlasError` if nothing could be measured.
    """
    passes = [done for one in measured for done in one.passes]
    values = [done.reference_ms for done in passes if done.quiet] or [done.reference_ms for done in passes]
    if not values:
        reasons = sorted({one.reason for one in measured})
        raise LatlasError(f"nothing could be measured: {'; '.join(reasons)[:500] or 'no network was given'}")
    return median(values)


def noise_floor(measured: Sequence[Measured]) -> float:
    """`stopwatch.disagreement` of the networks' passes."""
    return disagreement(one.pass_ratios() for one in measured)
