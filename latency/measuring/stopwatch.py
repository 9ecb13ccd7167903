"""The stopwatch: a network's latency as a ratio to a reference that runs in turn with it, with an interval and a stop rule.

A *pass* is a tenth of a second of one network, compiled anew. It takes samples of a reference and of the candidate in turn.
Its ratio divides the fastest sample of the candidate by the fastest of the reference, which bursts of other work do not
reach. On a shared machine the speed drifts by ten per cent within minutes, and the reference drifts with it. From compile
to compile, a network's place in memory moves its latency by one to two per cent; timing one compile longer does not show
that. So an entry has many short passes, spread over the campaign. Its reading is their trimmed mean, with an interval from
their differences. The reference has a *quiet level*, a low quantile over the minutes around a pass. A pass whose reference
ran above it is *busy*: other work does not slow all networks alike, so the pass does not count and is measured again.
`benchmarks/estimators.py` is the experiment behind each of these choices.

This module only calculates: the functions that run a network and return its milliseconds are passed in, so tests can
script them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist, fmean, median

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.errors import UsageError

PASS_SD = 0.012
"""The prior for the relative standard deviation of a network's passes; two or three passes say little about it."""
PASS_DF = 4
"""The prior weighs as much as this many passes."""
CAMPAIGN_SD = 0.005
"""Relative standard deviation of the error that all passes of one entry in one campaign share."""
TRIM = 0.2
"""The share of the passes that a reading leaves out at either end."""
QUIET_QUANTILE = 0.1
"""The reference's quiet level is this quantile of its passes' minima around a pass."""
QUIET_SECONDS = 300.0
"""The quiet level of a pass is taken this far before and after it: busy spells last a minute, drift takes longer."""
PATIENCE_SHARE = 0.4
"""A pass that is busy for this share of its time is given up: its ratio would not count."""
ENOUGH_PASSES = 20
"""With this many passes around it, a pass needs no earlier knowledge of its quiet level."""


@dataclass(frozen=True, slots=True)
class StopRule:
    """How long a pass takes, when an entry has enough passes, and which passes count as busy.

    `relative_half_width` is the largest allowed half width of the latency's confidence interval, relative to the estimate. A
    pass takes `pass_seconds`, or `min_rounds` rounds of reference, candidate, candidate if these take longer, but at most
    `max_seconds` beyond its first round. `quiet_tolerance` is how far above its quiet level the reference may run.
    """

    relative_half_width: float = 0.01
    confidence: float = 0.95
    pass_seconds: float = 0.1
    min_rounds: int = 6
    max_seconds: float = 20.0
    quiet_tolerance: float = 0.08

    def __post_init__(self) -> None:
        if not 0 < self.relative_half_width < 1:
            raise UsageError(
                f"relative_half_width is {self.relative_half_width} (--relative-error); it must lie between 0 and 1, as 0.01 for "
                "1 %"
            )
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"confidence is {self.confidence}; it must lie in [0.5, 1), as 0.95")
        if self.min_rounds < 1:
            raise UsageError(f"min_rounds is {self.min_rounds}; it must be at least 1")
        for name in ("pass_seconds", "max_seconds", "quiet_tolerance"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be positive and finite")


@dataclass(frozen=True, slots=True)
class Pass:
    """The samples of one compiled network and of the reference in turn with it, in milliseconds.

    `quiet_ms` is the reference's quiet level around the pass, None if it is not known. `known_ms` is the quiet level as it was
    known when the pass ran. `at` is when the pass began, in seconds of any clock that the passes of a campaign share. The
    ratio is multiplied by `adjustment`, see `controlled`.
    """

    reference_times_ms: tuple[float, ...]
    times_ms: tuple[float, ...]
    quiet_tolerance: float = 0.08
    known_ms: float | None = None
    at: float = 0.0
    quiet_ms: float | None = None
    adjustment: float = 1.0
    reference_level_ms: float = field(init=False, repr=False, compare=False)
    plain_ratio: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.times_ms or not self.reference_times_ms:
            raise UsageError("a pass needs at least one sample of the reference and of the candidate")
        level = min(self.reference_times_ms)
        object.__setattr__(self, "reference_level_ms", level)
        object.__setattr__(self, "plain_ratio", min(self.times_ms) / level)

    @property
    def quiet(self) -> bool:
        """Whether the reference ran at its quiet level."""
        level = self.quiet_ms or self.known_ms
        return level is None or self.reference_level_ms <= level * (1 + self.quiet_tolerance)

    @property
    def ratio(self) -> float:
        """Candidate over reference, adjusted."""
        return self.plain_ratio * self.adjustment

    @property
    def rounds(self) -> int:
        """How often the candidate was run in turn with the reference: two samples each."""
        return (len(self.times_ms) + 1) // 2

    @property
    def reference_ms(self) -> float:
        """Median time of the reference: how fast the machine ran during this pass."""
        return median(self.reference_times_ms)


@dataclass(frozen=True, slots=True)
class Reading:
    """Latency over the reference's latency. Another campaign's reading is expected between `lower` and `upper`.

    `passes` and `rounds` count, `discarded` are the rounds of busy passes, which do not. `status` is `ok` if the latency's own
    confidence interval, which is narrower, meets the asked error, else `noisy`.
    """

    ratio: float
    lower: float
    upper: float
    passes: int
    rounds: int
    discarded: int
    status: str

    @property
    def relative_half_width(self) -> float:
        """Half width of the interval, relative to the estimate."""
        return (self.upper - self.lower) / 2 / self.ratio


def quiet_level(levels_ms: Sequence[float] | FloatArray) -> float:
    """The reference's quiet level, from its fastest sample in each pass."""
    return float(np.quantile(levels_ms, QUIET_QUANTILE))


def trimmed_mean(values: Sequence[float] | FloatArray) -> float:
    """The mean without the lowest and highest `TRIM` of the values."""
    ordered, cut = np.sort(values), int(TRIM * len(values))
    return float(ordered[cut : len(ordered) - cut].mean())


def with_quiet_levels(passes: Sequence[Pass]) -> list[Pass]:
    """The same passes, each with the reference's quiet level in the minutes before and after it.

    If few passes are around a pass, the level that was known when it ran counts if it is lower: a search has many short
    campaigns. This may be done again together with later passes; the result is the same as doing all at once.
    """
    order = sorted(range(len(passes)), key=lambda i: passes[i].at)
    starts = np.array([passes[i].at for i in order])
    levels = np.array([passes[i].reference_level_ms for i in order])
    levelled = list(passes)
    for i in order:
        one = passes[i]
        first, last = np.searchsorted(starts, (one.at - QUIET_SECONDS, one.at + QUIET_SECONDS), side="left")
        around = levels[first : max(last, first + 1)]
        level = quiet_level(around)
        if len(around) < ENOUGH_PASSES:
            level = min(level, one.known_ms or level)
        levelled[i] = replace(one, quiet_ms=level)
    return levelled


def run_pass(
    candidate: Callable[[], tuple[float, float]],
    reference: Callable[[], float],
    rule: StopRule,
    clock: Callable[[], float],
    quiet_ms: float | None = None,
) -> Pass:
    """Run rounds of reference, candidate, candidate until the pass's time is over; the reference also runs last.

    `candidate` returns two samples in milliseconds, `reference` one; `clock` returns seconds. `quiet_ms` is the reference's
    quiet level, if it is known: a pass that has not reached it after `PATIENCE_SHARE` of its time is busy and ends.
    """
    started = clock()
    references, times = [reference()], list[float]()
    while True:
        times += candidate()
        references.append(reference())
        spent, rounds = clock() - started, len(references) - 1
        busy = quiet_ms is not None and min(references) > quiet_ms * (1 + rule.quiet_tolerance)
        share = PATIENCE_SHARE if busy else 1.0
        if (spent >= share * rule.pass_seconds and rounds >= share * rule.min_rounds) or spent >= rule.max_seconds:
            return Pass(tuple(references), tuple(times), rule.quiet_tolerance)


def combine(passes: Sequence[Pass], rule: StopRule, campaign_sd: float = CAMPAIGN_SD) -> Reading:
    """One reading from several passes: their trimmed mean, with an interval from their differences.

    The variance of the passes is Yuen's winsorised variance, shrunk to `PASS_SD` (a scaled-inverse-chi-square prior of
    `PASS_DF` degrees). The interval is Student's (Wilcox, *Introduction to Robust Estimation*, 4.3.2). The reading's interval is
    wider than the latency's own by the square root of two, because another reading has its own error; it includes the
    difference between campaigns, `campaign_sd`. Busy passes count only if there are no others; the reading is then `noisy`.
    """
    if not passes:
        raise UsageError("no pass to combine")
    quiet = [one for one in passes if one.quiet]
    counted = quiet or list(passes)
    ratios = np.sort([one.ratio for one in counted])
    count, cut = len(ratios), int(TRIM * len(ratios))
    estimate = trimmed_mean(ratios)
    degrees = PASS_DF + count - 2 * cut - 1
    variance = (PASS_DF * PASS_SD**2 + (count - 1) * _winsorised_variance(ratios / estimate, cut)) / (
        PASS_DF + count - 1
    )
    own = _student(rule.confidence, degrees) * math.sqrt(variance / count)
    campaign = NormalDist().inv_cdf(0.5 + rule.confidence / 2) * campaign_sd
    half = math.sqrt(2) * math.hypot(own, campaign) * estimate
    if not quiet:
        # Nobody knows what a busy minute does to the reading, so the difference seen is the least that is assumed.
        half = max(half, float(ratios[-1]) - estimate, estimate - float(ratios[0]))
    return Reading(
        ratio=estimate,
        lower=max(estimate - half, estimate * 1e-3),
        upper=estimate + half,
        passes=count,
        rounds=sum(one.rounds for one in counted),
        discarded=sum(one.rounds for one in passes if not one.quiet),
        status="ok" if quiet and own <= rule.relative_half_width else "noisy",
    )


def _winsorised_variance(values: FloatArray, cut: int) -> float:
    """The variance of a trimmed mean, times the number of values; 0 for a single value."""
    count, left = len(values), len(values) - 2 * cut
    if left < 2:
        return 0.0
    held = np.clip(values, values[cut], values[count - cut - 1])
    return float(held.var(ddof=1)) * (count - 1) * count / (left * (left - 1))


def _student(confidence: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def disagreement(pass_ratios: Iterable[Sequence[float]]) -> float:
    """The noise floor: mean relative difference of two readings of one network; NaN if no network has two passes.

    Every other pass of a network makes one half reading, and the rest make the other. Whole readings differ by less than
    halves, by the square root of two. The difference between campaigns is not included.
    """
    pairs = [(trimmed_mean(ratios[::2]), trimmed_mean(ratios[1::2])) for ratios in pass_ratios if len(ratios) > 1]
    return fmean(abs(a - b) / ((a + b) / 2) for a, b in pairs) / math.sqrt(2) if pairs else math.nan


LEVEL_SECONDS = 300.0
"""The references of all passes this far before and after a pass make its level."""
PRIOR_SHARE = 1.0
"""The share that is assumed before any network is looked at: the plain ratio."""
PRIOR_PASSES, PRIOR_SD = 6, 0.01
"""How much the assumption weighs: as much as this many passes with this relative scatter of the reference."""


def controlled(networks: Sequence[Sequence[Pass]]) -> list[list[Pass]]:
    """The passes of a campaign's networks, each with its `adjustment`; busy passes neither count nor are adjusted.

    With few passes the share stays near `PRIOR_SHARE`, and the readings are plain ratios.
    """
    quiet = [(index, done) for index, passes in enumerate(networks) for done in passes if done.quiet]
    deviations = _deviations([done for _, done in quiet])
    ratios = np.log([done.plain_ratio for _, done in quiet])
    share = _share(np.array([index for index, _ in quiet], dtype=int), ratios + deviations, deviations)
    adjustments = iter(np.exp((1 - share) * deviations).tolist())
    return [
        [replace(done, adjustment=next(adjustments) if done.quiet else 1.0) for done in passes] for passes in networks
    ]


def _deviations(passes: Sequence[Pass]) -> FloatArray:
    """Logarithm of each pass's reference time over the level around it."""
    times, at = np.log([done.reference_level_ms for done in passes]), np.array([done.at for done in passes])
    levels = [np.median(times[np.abs(at - moment) <= LEVEL_SECONDS]) for moment in at]
    return times - np.array(levels)


def _share(network: npt.NDArray[np.int_], candidate: FloatArray, reference: FloatArray) -> float:
    """How far the candidates' log times follow the reference's, both over their level: a slope from 0 to 1.

    It is fitted within networks and drawn to the prior.
    """
    prior = PRIOR_PASSES * PRIOR_SD**2
    counts = np.maximum(np.bincount(network), 1)
    own = reference - (np.bincount(network, reference) / counts)[network]
    return float(np.clip((own @ candidate + PRIOR_SHARE * prior) / (own @ own + prior), 0.0, 1.0))
