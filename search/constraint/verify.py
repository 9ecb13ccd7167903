"""Verifies finalists: measures them anew, and keeps those that another process would also find within the budget.

The best networks of a search lie at the edge of its budget. A prediction or a short measurement that happened to be low may
have let them through, so finalists are measured anew. A finalist is kept if two one-sided bounds are within the budget: the
bound of its readings, and the bound of its readings combined with its prediction. (A reading far below the prediction is
probably luck; a reading above it is used as it is.) A finalist just above the budget is measured again, because more passes
narrow the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Generic, TypeVar

from latlas.latency.measuring.interval import Interval, pooled
from latlas.search.constraint.constraint import HasGraph, LatencyConstraint

A = TypeVar("A", bound=HasGraph)

CONFIDENCE = 0.99
"""The confidence that another process finds a verified network within the budget."""
ROUNDS = 3
"""A finalist is measured at most this often."""
LEAST_USE = 0.97
"""Share of the budget. Verified networks that use less come after all networks that use this share or more."""
CERTIFICATE_CONFIDENCE = 0.95
"""The confidence that the exported network's whole interval, in a later campaign, lies within the budget."""
MORE_GROUPS = 2
"""How many more groups of candidates are measured if no verified network uses the budget."""


@dataclass(frozen=True, slots=True)
class Finalist(Generic[A]):
    """A measured finalist: its readings pooled into one interval, their number, and the bound that must be within the budget."""

    architecture: A
    interval: Interval
    bound_ms: float
    readings: int
    within: bool

    def certifiable(self, budget_ms: float) -> bool:
        """Whether the exported network's whole interval, measured later, is likely to lie within the budget."""
        return certificate_bound_of(self.interval) <= budget_ms


def certificate_bound_of(interval: Interval, confidence: float = CERTIFICATE_CONFIDENCE) -> float:
    """The milliseconds below which the upper bound of another such reading stays, with this confidence.

    The other reading varies as the interval says, and its own interval is as wide as this one.
    """
    return interval.upper_at(confidence) + interval.half_ms


def bound_of(interval: Interval, prior: tuple[float, float] | None, confidence: float) -> float:
    """The milliseconds below which another reading stays, with this confidence.

    `prior` is a prediction's milliseconds and relative standard deviation. If the prediction is above the reading, the two are
    combined, weighted by their precision. A lower prediction is not used: it must not make a reading look better.
    """
    if prior is None or prior[0] <= interval.latency_ms:
        return interval.upper_at(confidence)
    z = NormalDist().inv_cdf(confidence)
    own = (interval.relative_se * interval.latency_ms) ** 2
    prior_variance = max((prior[0] * prior[1]) ** 2 - own, own)  # the readings it was tested against had errors too
    mean = (interval.latency_ms / own + prior[0] / prior_variance) / (1 / own + 1 / prior_variance)
    variance = 1 / (1 / own + 1 / prior_variance)
    return max(mean + z * math.sqrt(variance + own), interval.upper_at(confidence))


def verify(
    constraint: LatencyConstraint,
    architectures: Sequence[A],
    measure_all: Callable[[Sequence[A]], Sequence[Interval | None]],
    *,
    confidence: float = CONFIDENCE,
    rounds: int = ROUNDS,
) -> list[Finalist[A]]:
    """The finalists, measured in turn with one another, in the given order. One that cannot be measured is left out.

    If more passes could bring a finalist within the budget, it is measured again, up to `rounds` times in all. The constraint
    learns the measurements.
    """
    readings: list[list[Interval]] = [[] for _ in architectures]
    priors = [_prior(constraint, one) for one in architectures]
    pending = list(range(len(architectures)))
    for _ in range(rounds):
        if not pending:
            break
        measured = measure_all([architectures[i] for i in pending])
        pending = [i for i, interval in zip(pending, measured, strict=True) if interval is not None]
        for i, interval in zip(pending, (one for one in measured if one is not None), strict=True):
            readings[i].append(interval)
        constraint.confirm_all([architectures[i] for i in pending], [pooled(readings[i]) for i in pending])
        pending = [i for i in pending if _undecided(readings[i], priors[i], constraint.budget_ms, confidence)]
    found = []
    for one, own, prior in zip(architectures, readings, priors, strict=True):
        if own:
            bound_ms = bound_of(pooled(own), prior, confidence)
            found.append(Finalist(one, pooled(own), bound_ms, len(own), bound_ms <= constraint.budget_ms))
    return found


def select(
    constraint: LatencyConstraint,
    ranked: Sequence[A],
    count: int,
    measure_all: Callable[[Sequence[A]], Sequence[Interval | None]],
    *,
    confidence: float = CONFIDENCE,
    rounds: int = ROUNDS,
    least_use: float = LEAST_USE,
    more_groups: int = MORE_GROUPS,
    certain_use: float | None = None,
) -> list[Finalist[A]]:
    """The networks of `ranked` (best first) that are within the budget when measured anew; empty if there are none.

    `count` of them are measured at once. If none of these keeps the budget, the next `count` are measured. If some keep it but
    none uses the share `least_use`, up to `more_groups` further groups are measured, of networks that are now predicted to use
    it. If a network is certifiable and uses the share `certain_use` (None: `least_use`), all networks that are not certifiable
    are left out. Networks that use `least_use` come first; within each part the order is that of `ranked`.
    """
    left, kept, further = list(ranked), list[Finalist[A]](), 0
    while left and further <= more_groups:
        if kept:
            further += 1
            left = [one for one, use in zip(left, _use(constraint, left, confidence), strict=True) if use >= least_use]
        group, left = left[:count], left[count:]
        kept += [
            one for one in verify(constraint, group, measure_all, confidence=confidence, rounds=rounds) if one.within
        ]
        if any(one.interval.latency_ms >= least_use * constraint.budget_ms for one in kept):
            break
    sure = [one for one in kept if one.certifiable(constraint.budget_ms)]
    enough = least_use if certain_use is None else certain_use
    if any(one.interval.latency_ms >= enough * constraint.budget_ms for one in sure):
        kept = sure
    return sorted(kept, key=lambda one: one.interval.latency_ms < least_use * constraint.budget_ms)


def _prior(constraint: LatencyConstraint, architecture: HasGraph) -> tuple[float, float]:
    """The milliseconds predicted before the architecture was measured, and their relative standard deviation."""
    tested, z = constraint.tested(architecture), constraint.calibration.z
    if tested is not None:
        return tested.predicted_ms, (tested.upper_ms - tested.predicted_ms) / tested.predicted_ms / z
    now = constraint.predict([architecture])[0]
    return now.latency_ms, (now.upper_ms - now.latency_ms) / now.latency_ms / z


def _undecided(readings: Sequence[Interval], prior: tuple[float, float], budget_ms: float, confidence: float) -> bool:
    """Whether the readings are not yet within the budget, but would be if as many more readings said the same."""
    now, then = (pooled(list(readings) * times) for times in (1, 2))
    return bound_of(now, prior, confidence) > budget_ms >= bound_of(then, prior, confidence)


def _use(constraint: LatencyConstraint, architectures: Sequence[HasGraph], confidence: float) -> list[float]:
    """The share of the budget that each is predicted to use; 0 for one that would probably not be found within it."""
    if not architectures:
        return []
    readings = [one.measured for one in constraint.calibration.tested]
    margin = min(one.upper_at(confidence) / one.latency_ms - 1 for one in readings)
    shares = constraint.bounds(architectures)[0] / constraint.budget_ms
    return [float(share) if share <= 1 - margin / 2 else 0.0 for share in shares]
