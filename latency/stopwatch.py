"""The stopwatch: latency as a ratio to a reference run in turn, with an interval and a stop rule.

A *round* is two samples of the candidate between two of the reference. On a shared machine the speed drifts by 10 % within
minutes, so a round's evidence is the ratio of the candidate's mean to the reference's. Other work does not slow all
networks alike: in a busy minute a ratio was off by up to 25 %, and all of its reference runs were slow. So a round counts
only where the reference ran at its *quiet level*, its low quantile over the minutes around, and a pass without enough such
rounds is *busy*: it is measured again later. Bursts that hit the candidate alone are the median's to bear.
A *pass* is the rounds of one compiled network; the median ratio of its accepted rounds is one reading. Where a network
lies in memory moves it by up to a per cent, so an entry has several passes, each compiled anew, and its interval
holds both the scatter of rounds within a pass and that between passes.

Pure arithmetic: what runs a network and returns its milliseconds is passed in, so tests script it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, fmean, median

import numpy as np
import numpy.typing as npt

from latlas.latency.errors import UsageError

LAYOUT_SD = 0.009
"""Relative standard deviation between compiles of one network, as a prior: `benchmarks/repeatability.py` measures it."""
LAYOUT_DF = 8
"""How many passes' worth of belief the prior carries."""
PASS_SHARE = 0.6
"""A pass aims at this share of the asked error: four passes' rounds and their layouts together then meet one per cent."""
QUIET_QUANTILE = 0.1
"""The reference's quiet level is this quantile of its times around a pass."""
QUIET_SECONDS = 300.0
"""How far before and after a pass its quiet level is looked for: busy spells last a minute, drift takes longer."""
SETTLED_PASSES = 20
"""So many passes around a pass say its quiet level by themselves."""
QUIET_ROUNDS = 6
"""Accepted rounds that a pass needs to count; with fewer it is busy. They are what a 95 % interval of a median needs."""
OVERTIME = 8.0
"""A network so slow that a pass's time holds fewer rounds than it needs may take so many times as long."""
PATIENCE_SHARE = 0.4
"""A pass that has no `QUIET_ROUNDS` after this share of its time is given up: the spell will outlast the rest."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """When a pass may stop, and what counts as contaminated.

    `relative_error` is the asked half width of the interval over the estimate; `bracket_tolerance` how far above the
    reference's quiet level its runs may be before their round is discarded.
    """

    relative_error: float = 0.01
    confidence: float = 0.95
    min_rounds: int = 12
    max_rounds: int = 400
    max_seconds: float = 3.0
    bracket_tolerance: float = 0.08

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
    """Milliseconds of reference, candidate, candidate, reference, in that order; rounds in a row share a reference."""

    reference_before: float
    first: float
    second: float
    reference_after: float

    @property
    def ratio(self) -> float:
        """Candidate over reference, the mean of each pair."""
        return (self.first + self.second) / (self.reference_before + self.reference_after)


@dataclass(frozen=True, slots=True)
class Pass:
    """All rounds of one compiled network; which were contaminated is derived, not stored.

    `quiet_ms` is the reference's quiet level around the pass, None for that within the pass itself; `known_ms` what was
    known of it when the pass ran; `at` is when the pass began, in seconds of any clock that the passes of a campaign share.
    `adjustment` is what the ratios are multiplied with: see `control.py`.
    """

    rounds: tuple[Round, ...]
    bracket_tolerance: float = 0.08
    known_ms: float | None = None
    at: float = 0.0
    quiet_ms: float | None = None
    adjustment: float = 1.0
    accepted: tuple[Round, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.rounds:
            raise UsageError("a pass needs at least one round")
        level = self.quiet_ms or self.known_ms or quiet_level(self.reference_times_ms())
        limit = level * (1 + self.bracket_tolerance)
        kept = tuple(r for r in self.rounds if max(r.reference_before, r.reference_after) <= limit)
        object.__setattr__(self, "accepted", kept)

    @property
    def quiet(self) -> bool:
        """Whether enough of its rounds count."""
        return len(self.accepted) >= QUIET_ROUNDS

    def reference_times_ms(self) -> list[float]:
        """The reference's raw times, contaminated rounds included."""
        return [time for r in self.rounds for time in (r.reference_before, r.reference_after)]

    @property
    def discarded(self) -> int:
        """How many rounds were contaminated."""
        return len(self.rounds) - len(self.accepted)

    @property
    def plain_ratio(self) -> float:
        """Median ratio of the accepted rounds; of all of them where the pass is busy."""
        return median(r.ratio for r in (self.accepted if self.quiet else self.rounds))

    @property
    def ratio(self) -> float:
        """The plain ratio, adjusted."""
        return self.plain_ratio * self.adjustment

    def half_width(self, confidence: float) -> float:
        """Half width of the order-statistic interval of the ratio; infinite with too few accepted rounds."""
        low, high = median_interval([r.ratio for r in self.accepted], confidence)
        return (high - low) / 2 * self.adjustment

    @property
    def reference_ms(self) -> float:
        """Median time of the reference in the accepted rounds: the machine's speed during this pass."""
        kept = self.accepted if self.quiet else self.rounds
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


def quiet_level(times_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """The reference's quiet level: a low quantile of its times."""
    return float(np.quantile(times_ms, QUIET_QUANTILE))


def settle(passes: Sequence[Pass]) -> list[Pass]:
    """The same passes, each with the reference's quiet level in the minutes around it, those after it included.

    The level that a pass knew of when it ran counts where it is lower and few passes are around: those of a search are of
    many short campaigns. Settling settled passes again, with more of them, is as settling them all at once.
    """
    order = sorted(range(len(passes)), key=lambda i: passes[i].at)
    starts = np.array([passes[i].at for i in order])
    settled = list(passes)
    for i in order:
        one = passes[i]
        first, last = np.searchsorted(starts, (one.at - QUIET_SECONDS, one.at + QUIET_SECONDS), side="left")
        around = [passes[j].reference_times_ms() for j in order[first : max(last, first + 1)]]
        level = quiet_level(np.concatenate(around))
        if len(around) < SETTLED_PASSES:
            level = min(level, one.known_ms or level)
        settled[i] = replace(one, quiet_ms=level)
    return settled


def run_pass(
    candidate: Callable[[], tuple[float, float]],
    reference: Callable[[], float],
    rule: StopRule,
    clock: Callable[[], float],
    quiet_ms: float | None = None,
) -> Pass:
    """Rounds until the interval of the median ratio is within `PASS_SHARE` of the asked error, bounded in time.

    `candidate` returns two samples in milliseconds, `reference` one; `clock` returns seconds; `quiet_ms` is the reference's
    quiet level as far as it is known. Contaminated rounds do not count towards `min_rounds`, so a short burst is waited
    out, and a long one given up.
    """
    started = clock()
    rounds: list[Round] = []
    before = reference()
    while True:
        first, second = candidate()
        after = reference()
        rounds.append(Round(before, first, second, after))
        before = after
        spent = clock() - started
        if len(rounds) >= rule.max_rounds or spent >= rule.max_seconds * (
            1 if len(rounds) >= QUIET_ROUNDS else OVERTIME
        ):
            break
        # Looking after every round would stop on lucky ones: look at min_rounds and then each quarter further.
        if len(rounds) < rule.min_rounds or len(rounds) % max(4, rule.min_rounds // 4):
            continue
        so_far = _known(rounds, rule, quiet_ms)
        if not so_far.quiet and spent >= PATIENCE_SHARE * rule.max_seconds:
            break
        if len(so_far.accepted) < rule.min_rounds:
            continue
        if so_far.half_width(rule.confidence) <= PASS_SHARE * rule.relative_error * so_far.ratio:
            break
    return _known(rounds, rule, quiet_ms)


def _known(rounds: Sequence[Round], rule: StopRule, quiet_ms: float | None) -> Pass:
    """The pass so far, at the lower of the quiet level known before and that seen since."""
    own = quiet_level([time for r in rounds for time in (r.reference_before, r.reference_after)])
    return Pass(tuple(rounds), rule.bracket_tolerance, min(own, quiet_ms or own))


def combine(passes: Sequence[Pass], rule: StopRule) -> Reading:
    """One reading of several passes: the mean of their medians, and an interval of both scatters.

    Busy passes count only where there is no other, and the reading is then `noisy`. The scatter between passes is the
    sample variance shrunk to `LAYOUT_SD` (a scaled-inverse-chi-square prior of `LAYOUT_DF` degrees), because two or three
    passes say little of it by themselves.
    """
    if not passes:
        raise UsageError("no pass to combine")
    quiet = [p for p in passes if p.quiet and math.isfinite(p.half_width(rule.confidence))]
    kept = quiet or list(passes)
    ratios = [p.ratio for p in kept]
    count = len(ratios)
    estimate = fmean(ratios)
    within = math.sqrt(sum(p.half_width(rule.confidence) ** 2 for p in kept)) / count
    squares = sum((ratio / estimate - 1) ** 2 for ratio in ratios)
    between_variance = (LAYOUT_DF * LAYOUT_SD**2 + squares) / (LAYOUT_DF + count - 1)
    quantile = NormalDist().inv_cdf(0.5 + rule.confidence / 2)
    between = quantile * estimate * math.sqrt(between_variance / count)
    half = math.hypot(within, between)
    if not quiet:
        # What was seen bounds it: order statistics of contaminated rounds would promise too much.
        seen = [r.ratio * p.adjustment for p in kept for r in p.rounds]
        half = max(max(seen) - estimate, estimate - min(seen), between)
    lower, upper = max(estimate - half, estimate * 1e-3), estimate + half
    return Reading(
        ratio=estimate,
        lower=lower,
        upper=upper,
        passes=len(passes),
        rounds=sum(len(p.accepted) for p in passes),
        discarded=sum(p.discarded for p in passes),
        status="ok" if quiet and half <= rule.relative_error * estimate else "noisy",
    )


def disagreement(pass_ratios: Iterable[Sequence[float]]) -> float:
    """Mean relative difference of two passes of one network, NaN where no network has two: the noise floor.

    It is the error that no predictor of these measurements can go below when a measurement is one pass; the mean of two
    passes has about 0.7 of it.
    """
    pairs = [ratios[:2] for ratios in pass_ratios if len(ratios) > 1]
    return fmean(abs(a - b) / ((a + b) / 2) for a, b in pairs) if pairs else math.nan
