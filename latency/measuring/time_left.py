"""How far a campaign is and how long it still takes, by the rate at which its passes come to count.

A busy pass does not count and is measured again; a noisy network gets further passes. So the time left is not the number of
passes left times what one takes: it is the passes that must still count, over how many have come to count a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean
from typing import Protocol

from latlas.latency.measuring.stopwatch import CAMPAIGN_SD, Pass, Reading, StopRule


class Counting(Protocol):
    """A network of a campaign: its passes, those that count, and what they say."""

    @property
    def passes(self) -> Sequence[Pass]: ...

    @property
    def reason(self) -> str: ...

    def pass_ratios(self) -> tuple[float, ...]: ...

    def reading(self, rule: StopRule) -> Reading: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a campaign is: passes that count of those that each network needs at least, and seconds left.

    `total` stays the same through a campaign. Passes beyond it, of noisy networks, are told in `label`. `eta_seconds` is None
    before anything is known. `phase` names what is done, where it is another thing than timing networks.
    """

    done: int
    total: int
    label: str
    eta_seconds: float | None
    phase: str = ""


@dataclass
class TimeLeft:
    """The progress of one campaign; `clock` gives seconds, and began with the campaign.

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
        """Where the campaign over these networks is, about to time the one of that label."""
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
        """How many passes of a network must count in all, as far as its own passes tell: the error falls with their root."""
        if count < self.passes or self.most <= self.passes:
            return self.passes
        reading = one.reading(self.rule)
        if reading.status == "ok":
            return count
        z = NormalDist().inv_cdf(0.5 + self.rule.confidence / 2)
        own = math.sqrt(max(reading.relative_half_width**2 / 2 - (z * CAMPAIGN_SD) ** 2, 0.0))
        return min(self.most, max(count + 1, math.ceil(count * (own / self.rule.relative_half_width) ** 2)))

    def _left(self, networks: Sequence[Counting], counts: list[int], needs: list[int]) -> float | None:
        """Seconds: the passes that must still count, over the rate at which they do; no network is tried more than allowed."""
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
