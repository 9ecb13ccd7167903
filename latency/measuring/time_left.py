"""How far a campaign is and how long it still takes, from how many of its passes count per second.

A busy pass does not count and is measured again; a noisy network gets further passes. So the time left is not simply the
passes left times the time of one. It is the passes that must still count, divided by how many counted per second so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean
from typing import Protocol

from latlas.latency.measuring.stopwatch import CAMPAIGN_SD, Pass, Reading, StopRule


class Counting(Protocol):
    """A network of a campaign: its passes, the passes that count, and their reading."""

    @property
    def passes(self) -> Sequence[Pass]: ...

    @property
    def reason(self) -> str: ...

    def pass_ratios(self) -> tuple[float, ...]: ...

    def reading(self, rule: StopRule) -> Reading: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign is: how many passes count, how many are needed at least, and the seconds left.

    `total` stays the same through a campaign. `label` tells of passes beyond it, which noisy networks get. `eta_seconds` is
    None while nothing is known. `phase` names the work if it is something else than timing networks.
    """

    done: int
    total: int
    label: str
    eta_seconds: float | None
    phase: str = ""


@dataclass
class TimeLeft:
    """The progress of one campaign; `clock` gives seconds since the campaign began.

    Each network needs `passes` that count, and a noisy one up to `most`.
    """

    passes: int
    most: int
    rule: StopRule
    clock: Callable[[], float]
    _started: float = field(init=False)
    _counted_before: int | None = field(init=False, default=None)
    _tried: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._started = self.clock()

    def tried(self) -> None:
        """One more pass was made here, whether it counts or not."""
        self._tried += 1

    def progress(self, networks: Mapping[str, Counting], label: str) -> Progress:
        """Where the campaign over these networks is, before it times the network with this label."""
        alive = [one for one in networks.values() if not one.reason]
        counts = [len(one.pass_ratios()) for one in alive]
        if self._counted_before is None:
            self._counted_before = sum(counts)
        needs = [self._need(one, count) for one, count in zip(alive, counts, strict=True)]
        total = self.passes * len(networks)
        missing = sum(max(0, self.passes - count) for count in counts)
        if not missing:
            again = sum(need > count for need, count in zip(needs, counts, strict=True))
            label = f"{again} noisy ones again, {label}"
        return Progress(total - missing, total, label, self._left(alive, counts, needs))

    def _need(self, one: Counting, count: int) -> int:
        """How many passes of a network must count in all, judged by its passes so far: the error falls with their square root."""
        if count < self.passes or self.most <= self.passes:
            return self.passes
        reading = one.reading(self.rule)
        if reading.status == "ok":
            return count
        z = NormalDist().inv_cdf(0.5 + self.rule.confidence / 2)
        own = math.sqrt(max(reading.relative_half_width**2 / 2 - (z * CAMPAIGN_SD) ** 2, 0.0))
        return min(self.most, max(count + 1, math.ceil(count * (own / self.rule.relative_half_width) ** 2)))

    def _left(self, networks: Sequence[Counting], counts: list[int], needs: list[int]) -> float | None:
        """Seconds left: the passes that must still count, over how many count per second; no network exceeds its limit."""
        counted = sum(counts) - (self._counted_before or 0)
        if not self._tried:
            return None
        told = [need for count, need in zip(counts, needs, strict=True) if count >= self.passes]
        typical = fmean(told) if told else float(self.passes)
        tries = 0.0
        for one, count, need in zip(networks, counts, needs, strict=True):
            wanted = (need if count >= self.passes else typical) - count
            allowed = 2 * self.most - len(one.passes)
            tries += max(0.0, min(wanted * self._tried / counted if counted else math.inf, allowed))
        return tries * (self.clock() - self._started) / self._tried
