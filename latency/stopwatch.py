"""The stopwatch: latency as a ratio to a reference run in turn, with an interval and a stop rule.

A *round* is reference, candidate, candidate, reference. On a shared machine the speed drifts by 10 % within minutes and
bursts of other work multiply single samples, so a round's evidence is the ratio of the smaller candidate time to the
smaller reference time, and a round in which a reference run is well above the quiet level is discarded as contaminated.
A *pass* is the rounds of one compiled network; the median ratio of its accepted rounds is one reading. Where a network
lies in memory moves it by about half a per cent, so an entry has several passes, each compiled anew, and its interval
holds both the scatter of rounds within a pass and that between passes.

Pure arithmetic: what runs a network and returns its milliseconds is passed in, so tests script it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, median

import numpy as np

from latlas.latency.errors import UsageError

LAYOUT_SD = 0.006
"""Relative standard deviation between compiles of one network, as a prior: `benchmarks/repeatability.py` measures it."""
LAYOUT_DF = 8
"""How many passes' worth of belief the prior carries."""
PASS_SHARE = 0.6
"""A pass aims at this share of the asked error: two passes' rounds and their layouts together then meet it."""
QUIET_QUANTILE = 0.2
"""The reference's quiet level is this quantile of its own times within the pass."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a pass may stop, and what counts as contaminated.

    `relative_error` is the asked half width of the interval over the estimate; `bracket_tolerance` how far above the
    quiet level a reference run may be before its round is discarded.
    """

    relative_error: float = 0.01
    confidence: float = 0.95
    min_rounds: int = 12
    max_rounds: int = 400
    max_seconds: float = 3.0
    bracket_tolerance: float = 0.10

    def __post_init__(self) -> None:
        if not 0 < self.relative_error < 1:
            raise UsageError(f"relative_error is {self.relative_error}; it must lie between 0 and 1, as 0.01 for 1 %")
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"confidence is {self.confidence}; it must lie in [0.5, 1), as 0.95")
        if not 6 <= self.min_rounds <= self.max_rounds:
            raise UsageError(f"min_rounds is {self.min_rounds} and max_rounds {self.max_rounds}; at least 6, in order")
        if self.max_seconds <= 0:
            raise UsageError(f"max_seconds is {self.max_seconds}; it must be positive")


@dataclass(frozen=True, slots=True)
class Round:
    """Milliseconds of reference, candidate, candidate, reference, in that order."""

    reference_before: float
    first: float
    second: float
    reference_after: float

    @property
    def ratio(self) -> float:
        """Candidate over reference, the smaller of each pair."""
        return min(self.first, self.second) / min(self.reference_before, self.reference_after)


@dataclass(frozen=True, slots=True)
class Pass:
    """All rounds of one compiled network; which were contaminated is derived, not stored."""

    rounds: tuple[Round, ...]
    bracket_tolerance: float = 0.10
    accepted: tuple[Round, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.rounds:
            raise UsageError("a pass needs at least one round")
        times = [time for r in self.rounds for time in (r.reference_before, r.reference_after)]
        limit = float(np.quantile(times, QUIET_QUANTILE)) * (1 + self.bracket_tolerance)
        kept = tuple(r for r in self.rounds if max(r.reference_before, r.reference_after) <= limit)
        object.__setattr__(self, "accepted", kept)

    @property
    def discarded(self) -> int:
        """How many rounds were contaminated."""
        return len(self.rounds) - len(self.accepted)

    @property
    def ratio(self) -> float:
        """Median ratio of the accepted rounds; of all of them where none was quiet."""
        return median(r.ratio for r in self.accepted or self.rounds)

    def half_width(self, confidence: float) -> float:
        """Half width of the order-statistic interval of the median ratio; infinite with too few accepted rounds."""
        low, high = median_interval([r.ratio for r in self.accepted], confidence)
        return (high - low) / 2

    @property
    def reference_ms(self) -> float:
        """Median time of the reference in the accepted rounds: the machine's speed during this pass."""
        kept = self.accepted or self.rounds
        return median(time for r in kept for time in (r.reference_before, r.reference_after))

    def times_ms(self) -> list[float]:
        """The candidate's raw times, contaminated rounds included."""
        return [time for r in self.rounds for time in (r.first, r.second)]


@dataclass(frozen=True, slots=True)
class Reading:
    """Latency over the reference's latency, with its interval; `status` is `ok` or `noisy`."""

    ratio: float
    lower: float
    upper: float
    passes: int
    rounds: int
    discarded: int
    status: str

    @property
    def relative_error(self) -> float:
        """Half width of the interval over the estimate."""
        return (self.upper - self.lower) / 2 / self.ratio


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Distribution-free confidence interval `(low, high)` of the median, from order statistics.

    The ranks are the largest k with P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2 (David and Nagaraja, *Order
    Statistics*, 7.1). With fewer values than the confidence needs (6 for 95 %) it is `(-inf, inf)`.
    """
    n = len(values)
    tail, cumulative, rank = (1 - confidence) / 2, 0.0, 0
    for k in range(n // 2 + 1):
        cumulative += math.comb(n, k) / 2**n
        if cumulative > tail:
            break
        rank = k + 1
    if rank == 0:
        return -math.inf, math.inf
    ordered = sorted(values)
    return ordered[rank - 1], ordered[n - rank]


def run_pass(
    candidate: Callable[[], float], reference: Callable[[], float], rule: StopRule, clock: Callable[[], float]
) -> Pass:
    """Rounds until the interval of the median ratio is within `PASS_SHARE` of the asked error, bounded in time.

    `candidate` and `reference` run once and return milliseconds; `clock` returns seconds. Contaminated rounds do not
    count towards `min_rounds`, so a burst is waited out while there is time.
    """
    started = clock()
    rounds: list[Round] = []
    while True:
        rounds.append(Round(reference(), candidate(), candidate(), reference()))
        if len(rounds) >= rule.max_rounds or clock() - started >= rule.max_seconds:
            break
        # Looking after every round would stop on lucky ones: look at min_rounds and then each quarter further.
        if len(rounds) < rule.min_rounds or len(rounds) % max(4, rule.min_rounds // 4):
            continue
        so_far = Pass(tuple(rounds), rule.bracket_tolerance)
        if len(so_far.accepted) < rule.min_rounds:
            continue
        if so_far.half_width(rule.confidence) <= PASS_SHARE * rule.relative_error * so_far.ratio:
            break
    return Pass(tuple(rounds), rule.bracket_tolerance)


def combine(passes: Sequence[Pass], rule: StopRule) -> Reading:
    """One reading of several passes: the mean of their medians, and an interval of both scatters.

    The scatter between passes is the sample variance shrunk to `LAYOUT_SD` (a scaled-inverse-chi-square prior of
    `LAYOUT_DF` degrees), because two or three passes say little of it by themselves.
    """
    if not passes:
        raise UsageError("no pass to combine")
    ratios = [p.ratio for p in passes]
    count = len(ratios)
    estimate = fmean(ratios)
    within = math.sqrt(sum(p.half_width(rule.confidence) ** 2 for p in passes)) / count
    squares = sum((ratio / estimate - 1) ** 2 for ratio in ratios)
    between_variance = (LAYOUT_DF * LAYOUT_SD**2 + squares) / (LAYOUT_DF + count - 1)
    quantile = NormalDist().inv_cdf(0.5 + rule.confidence / 2)
    between = quantile * estimate * math.sqrt(between_variance / count)
    half = math.hypot(within, between)
    if not math.isfinite(half):
        # Too few quiet rounds for order statistics: what was seen bounds it, and the status says so.
        seen = [r.ratio for p in passes for r in p.rounds]
        half = max(max(seen) - estimate, estimate - min(seen), between)
    lower, upper = max(estimate - half, estimate * 1e-3), estimate + half
    return Reading(
        ratio=estimate,
        lower=lower,
        upper=upper,
        passes=count,
        rounds=sum(len(p.accepted) for p in passes),
        discarded=sum(p.discarded for p in passes),
        status="ok" if half <= rule.relative_error * estimate else "noisy",
    )
