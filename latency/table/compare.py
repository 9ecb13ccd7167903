"""Compares two tables: which operators got slower or faster, and which change rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from latlas.errors import UsageError
from latlas.latency.machine.environment import UNKNOWN, differing_fields, require_same
from latlas.latency.table.row import Row
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.places import Place, choices

if TYPE_CHECKING:
    from latlas.latency.table.table import Table

_NORMAL = NormalDist()
_Z95 = _NORMAL.inv_cdf(0.975)
_NOTED = ("reference_ms", "kernel", "latlas_version", "started_at")
"""Fields that need not agree, but that a reader of a comparison wants to know."""


@dataclass(frozen=True, slots=True)
class Change:
    """An operator in two tables; `ratio` is after over before, so above 1 it got slower.

    `lower` and `upper` are the smallest and largest ratio that the two intervals allow. If 1 is not between them, the operator
    changed beyond both intervals. Without an interval both are None.
    """

    spec: OpSpec
    before: Row
    after: Row
    ratio: float
    lower: float | None = None
    upper: float | None = None

    def beyond(self, threshold: float = 1.0) -> bool:
        """Whether the operator changed beyond both intervals, and by a factor of at least `threshold`, up or down."""
        if self.lower is None or self.upper is None or not (self.lower > 1 or self.upper < 1):
            return False
        return max(self.ratio, 1 / self.ratio) >= threshold


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`. Unless said otherwise, the tuples hold operators with a latency in both tables.

    `changed` holds the changes beyond both intervals, the largest change, up or down, first. `pairs` holds all operators with
    intervals, `no_interval` the operators that lack one in a table (an imported one), and `failed` the operators that failed in
    at least one. `by_chance` is how many would be in `changed` if nothing had changed: the sum over `pairs` of the probability
    that two normal readings of one latency lie this far apart, if the intervals are honest.
    """

    by_ratio: bool
    differing: dict[str, tuple[object, object]]
    confidence: float
    threshold: float
    pairs: tuple[Change, ...]
    changed: tuple[Change, ...]
    by_chance: float
    no_interval: tuple[Change, ...]
    only_before: tuple[OpSpec, ...]
    only_after: tuple[OpSpec, ...]
    failed: tuple[OpSpec, ...]

    @property
    def slower(self) -> tuple[Change, ...]:
        """The operators in `changed` that got slower."""
        return tuple(change for change in self.changed if change.ratio > 1)

    @property
    def faster(self) -> tuple[Change, ...]:
        """The operators in `changed` that got faster."""
        return tuple(change for change in self.changed if change.ratio < 1)

    @property
    def geometric_mean(self) -> float | None:
        """The geometric mean of all ratios, with or without an interval; None if there are none."""
        logs = [math.log(change.ratio) for change in (*self.pairs, *self.no_interval)]
        return math.exp(fmean(logs)) if logs else None


def compare(
    before: Table, after: Table, *, threshold: float = 1.0, confidence: float = 0.95, bonferroni: bool = False
) -> Comparison:
    """Compare two tables operator by operator.

    Tables of one environment are compared by the ratio to the reference network, which does not move when the machine drifts
    between sessions. Other tables are compared by milliseconds, which include that drift.

    Args:
        before: the earlier table.
        after: the later one.
        threshold: a change counts from this ratio on, up or down; at least 1.
        confidence: the intervals of 95 % are scaled to this confidence, as for a normal error.
        bonferroni: divide the remaining probability by the number of operators, so that with this confidence none of
            them changes by chance (Bonferroni's correction).

    Raises `UsageError` for an impossible threshold or confidence.
    """
    require_comparable(threshold, confidence)
    # An imported table leaves much unknown, and then nothing says that the references are the same.
    differing = differing_fields(before.manifest.environment, after.manifest.environment)
    by_ratio = not differing
    shared = [row.spec for row in before if row.spec in before and row.spec in after]
    both = [(spec, before[spec], after[spec]) for spec in shared]
    known = [found for found in both if all(interval_of(row, by_ratio) is not None for row in found[1:])]
    if bonferroni and known:
        confidence = 1 - (1 - confidence) / len(known)
    factor = _NORMAL.inv_cdf((1 + confidence) / 2) / _Z95
    pairs = [_change(*found, by_ratio, factor) for found in known]
    changed = [change for change in pairs if change.beyond(threshold)]
    specs = {row.spec for row in before}, {row.spec for row in after}
    exact = {change.spec for change in pairs}
    return Comparison(
        by_ratio=by_ratio,
        differing=differing,
        confidence=confidence,
        threshold=threshold,
        pairs=tuple(pairs),
        changed=tuple(sorted(changed, key=lambda change: (-abs(math.log(change.ratio)), change.spec))),
        by_chance=sum(_chance(change, by_ratio, factor, threshold) for change in pairs),
        no_interval=tuple(
            Change(spec, old, new, _value(new, False) / _value(old, False))
            for spec, old, new in both
            if spec not in exact
        ),
        only_before=tuple(sorted(specs[0] - specs[1])),
        only_after=tuple(sorted(specs[1] - specs[0])),
        failed=tuple(sorted(specs[0] & specs[1] - set(shared))),
    )


def require_comparable(threshold: float, confidence: float) -> None:
    """Raises `UsageError` for a threshold or confidence that `compare` cannot take."""
    if not 1 <= threshold < math.inf:
        raise UsageError(f"threshold is {threshold}; it must be a ratio of at least 1, such as 1.05")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence is {confidence}; it must be at least 0.5 and below 1")


def diff(before: Table, after: Table) -> list[Change]:
    """Operators whose latencies differ beyond both intervals, the largest change, up or down, first.

    Operators that are in only one table, that failed, or that have no interval are left out; `compare` lists them.
    """
    return list(compare(before, after).changed)


def require_mergeable(a: Table, b: Table, what: str) -> None:
    """Raises `EnvironmentMismatchError` unless two tables are of one environment.

    For imported tables, everything that is known must agree, including the CPU; a field that neither knows is no difference.
    """
    one, other = a.manifest.environment, b.manifest.environment
    untold: tuple[str, ...] = ()
    if a.manifest.origin == b.manifest.origin == "imported" and UNKNOWN not in (one.cpu_model, other.cpu_model):
        untold = tuple(
            name for name, value in one.key().items() if value == other.key()[name] and value in (None, UNKNOWN)
        )
    require_same(one, other, what, but=untold)


def conflicts(a: Table, b: Table) -> list[Change]:
    """Operators on which two tables of one environment disagree beyond both intervals, the largest difference first.

    A latency without an interval disagrees with every other latency. Raises `EnvironmentMismatchError` if the environments
    differ.
    """
    require_mergeable(a, b, f"compare {a.name} with {b.name}")
    found = compare(a, b)
    inexact = [change for change in found.no_interval if change.ratio != 1]
    return sorted((*found.changed, *inexact), key=lambda change: (-abs(math.log(change.ratio)), change.spec))


def interval_of(row: Row, by_ratio: bool = False, factor: float = 1.0) -> tuple[float, float, float] | None:
    """Lower bound, value and upper bound of a row, in milliseconds or as the ratio to the reference; None without an interval.

    `factor` widens the interval on a logarithmic scale, so it stays above 0.
    """
    names = ("ratio_lower", "ratio", "ratio_upper") if by_ratio else ("lower_ms", "latency_ms", "upper_ms")
    low, middle, high = (getattr(row, name) for name in names)
    if low is None or middle is None or high is None:
        return None
    if factor == 1.0:
        return low, middle, high
    return middle * (low / middle) ** factor, middle, middle * (high / middle) ** factor


def _value(row: Row, by_ratio: bool) -> float:
    value = row.ratio if by_ratio else row.latency_ms
    assert value is not None
    return value


def _change(spec: OpSpec, before: Row, after: Row, by_ratio: bool, factor: float) -> Change:
    old, new = interval_of(before, by_ratio, factor), interval_of(after, by_ratio, factor)
    assert old is not None and new is not None
    return Change(spec, before, after, new[1] / old[1], new[0] / old[2], new[2] / old[0])


def _chance(change: Change, by_ratio: bool, factor: float, threshold: float) -> float:
    """The probability that two readings of one latency with these intervals would count as a change."""
    halves = []
    for row in (change.before, change.after):
        found = interval_of(row, by_ratio)
        assert found is not None
        halves.append(math.log(found[2] / found[0]) / 2)
    sd = math.hypot(*halves) / _Z95
    apart = max(factor * sum(halves), math.log(threshold))
    return 2 * (1 - _NORMAL.cdf(apart / sd)) if sd else 0.0


@dataclass(frozen=True, slots=True)
class Reversal:
    """Two operators at one place that change rank: `first` is faster before and `second` after, beyond the intervals.

    `before_ratio` is how many times faster `first` was before, `after_ratio` how many times faster `second` is after.
    """

    first: OpSpec
    second: OpSpec
    before_ratio: float
    after_ratio: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """The operators at one place in two tables: the fastest in each, and the pairs that change rank."""

    place: Place
    operators: int
    best_before: OpSpec
    best_after: OpSpec
    reversals: tuple[Reversal, ...]


def ranks(before: Table, after: Table) -> list[Ranks]:
    """For each place where both tables have a choice: the fastest operator in each, and the pairs that change rank.

    A pair changes rank if one operator is faster in the first table and the other in the second, each beyond both
    intervals. Operators without an interval are in no such pair. The clearest pair comes first. Latencies are compared within
    each table, so the tables may be of different environments.
    """
    found = []
    for place, specs in choices(row.spec for row in before if row.spec in before and row.spec in after).items():
        reversals = [
            Reversal(a, b, before.latency_ms(b) / before.latency_ms(a), after.latency_ms(a) / after.latency_ms(b))
            for a, b in permutations(specs, 2)
            if _faster(before[a], before[b]) and _faster(after[b], after[a])
        ]
        reversals.sort(key=lambda one: (-min(one.before_ratio, one.after_ratio), one.first, one.second))
        best = [min(specs, key=lambda spec: (table.latency_ms(spec), spec)) for table in (before, after)]
        found.append(Ranks(place, len(specs), best[0], best[1], tuple(reversals)))
    return found


def _faster(a: Row, b: Row) -> bool:
    one, other = interval_of(a), interval_of(b)
    return one is not None and other is not None and one[2] < other[0]


def differences(before: Table, after: Table) -> dict[str, tuple[object, object]]:
    """The fields of the environments that differ or are not known in one; the fields that must agree come first."""
    one, other = before.manifest.environment, after.manifest.environment
    found = dict(differing_fields(one, other))
    for name in _NOTED:
        if getattr(one, name) != getattr(other, name):
            found[name] = getattr(one, name), getattr(other, name)
    return found
