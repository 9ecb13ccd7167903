"""The last word on finalists: measured anew with care, and kept only where another process would find them within the budget.

What a search likes best lies at the edge of its budget, and was let through by a prediction or a short measurement that
happened to be low. So finalists are measured afresh. A finalist is kept where the one-sided bound of its readings is within
the budget, and so is that of its readings and the prediction of it together: a reading far below what was predicted
is rather luck than truth, one above it is taken as it is. Those just above are measured again: more passes narrow the bound.
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
"""That another process finds a verified network within the budget."""
ROUNDS = 3
"""How often a finalist is measured at most."""
LEAST_USE = 0.97
"""Share of the budget. Verified networks that use less come after all that use as much."""
CERTIFICATE_CONFIDENCE = 0.95
"""That the whole interval of a later campaign, of the exported network, lies within the budget."""
MORE_GROUPS = 2
"""Further groups of candidates measured where none so far uses the budget."""


@dataclass(frozen=True, slots=True)
class Finalist(Generic[A]):
    """A measured finalist: all its readings as one, how many there are, and the bound that must be within the budget."""

    architecture: A
    interval: Interval
    bound_ms: float
    readings: int
    within: bool

    def certifiable(self, budget_ms: float) -> bool:
        """Whether the exported network's whole interval, measured later, is likely to lie within the budget."""
        return certificate_bound_of(self.interval) <= budget_ms


def certificate_bound_of(interval: Interval, confidence: float = CERTIFICATE_CONFIDENCE) -> float:
    """The milliseconds below which the upper bound of another such reading stays with this confidence.

    The other reading differs by what the interval says, and has an interval as wide.
    """
    return interval.upper_at(confidence) + interval.half_ms


def bound_of(interval: Interval, prior: tuple[float, float] | None, confidence: float) -> float:
    """The milliseconds below which another reading stays with this confidence.

    `prior` is a prediction's milliseconds and relative standard deviation. The two are combined by precision where the
    prediction is the higher one; it does not make a reading look better.
    """
    if prior is None or prior[0] <= interval.latency_ms:
        return interval.upper_at(confidence)
    z = NormalDist().inv_cdf(confidence)
    own = (interval.relative_se * interval.latency_ms) ** 2
    prior_variance = max((prior[0] * prior[1]) ** 2 - own, own)  # what it was tested against had an error of its own
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
    """Each architecture measured in turn with the others, in their order; one that cannot be measured is left out.

    Those that further passes could bring within the budget are measured up to `rounds` times. The constraint learns of it.
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
) -> list[Finalist[A]]:
    """Those of `ranked`, best first, that are within the budget when measured anew; empty where none is.

    `count` of them are measured at once. Where none holds the budget the next are; where some do and none uses `least_use`
    of it, up to `more_groups` further groups of those that are now predicted to. If one is certifiable and uses as much, those
    that are not certifiable are left out. First come those that use as much, each part in the order of `ranked`.
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
    if any(one.interval.latency_ms >= least_use * constraint.budget_ms for one in sure):
        kept = sure
    return sorted(kept, key=lambda one: one.interval.latency_ms < least_use * constraint.budget_ms)


def _prior(constraint: LatencyConstraint, architecture: HasGraph) -> tuple[float, float]:
    """Predicted milliseconds before it was measured and their relative standard deviation."""
    tested, z = constraint.tested(architecture), constraint.calibration.z
    if tested is not None:
        return tested.predicted_ms, (tested.upper_ms - tested.predicted_ms) / tested.predicted_ms / z
    now = constraint.predict([architecture])[0]
    return now.latency_ms, (now.upper_ms - now.latency_ms) / now.latency_ms / z


def _undecided(readings: Sequence[Interval], prior: tuple[float, float], budget_ms: float, confidence: float) -> bool:
    """Whether the readings are not yet within the budget, and would be if as many more said the same."""
    now, then = (pooled(list(readings) * times) for times in (1, 2))
    return bound_of(now, prior, confidence) > budget_ms >= bound_of(then, prior, confidence)


def _use(constraint: LatencyConstraint, architectures: Sequence[HasGraph], confidence: float) -> list[float]:
    """The share of the budget that each is predicted to use; 0 for one that would hardly be found within it."""
    if not architectures:
        return []
    readings = [one.measured for one in constraint.calibration.tested]
    margin = min(one.upper_at(confidence) / one.latency_ms - 1 for one in readings)
    shares = constraint.bounds(architectures)[0] / constraint.budget_ms
    return [float(share) if share <= 1 - margin / 2 else 0.0 for share in shares]
