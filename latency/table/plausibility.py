"""Warns of values in a table that are possible but hardly true; no warning is proof."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from latlas.files import write
from latlas.latency.table.compare import interval_of
from latlas.latency.table.merge import parts
from latlas.latency.table.row import Row
from latlas.spaces.operators.spec import FOREIGN, OpSpec

if TYPE_CHECKING:
    from latlas.latency.table.table import Table

MAX_EXAMPLES = 5
MAX_NEIGHBOURS = 20
# Multiply-adds a second and thread, the median over a table's operators. Measured tables have 1e9 to 1e11. The limits
# catch a factor of a thousand, which no CPU explains.
_FASTEST, _SLOWEST = 1e12, 2e7
# Milliseconds, the median over operators whose multiply-adds are not known.
_LONGEST_MS, _SHORTEST_MS = 5_000.0, 1e-4
_WIDE = 0.5
"""An interval says nothing if half its width over the value is at least this."""
_CHANNELS = 1.1
"""Kernels work on multiples of 8 or 16 channels, so a few more channels may be somewhat faster."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is hardly true: the name of the rule, and a line with the operators and values."""

    rule: str
    message: str

    def to_record(self) -> dict[str, str]:
        """Both by name."""
        return asdict(self)


def implausible(table: Table) -> list[Doubt]:
    """Warnings that no schema check gives; several by one rule become one warning with the first `MAX_EXAMPLES`."""
    found: dict[str, list[str]] = defaultdict(list)
    for rule, message in _all(table):
        found[rule].append(message)
    warnings = []
    for rule, messages in found.items():
        more = f"; and {len(messages) - MAX_EXAMPLES} more" if len(messages) > MAX_EXAMPLES else ""
        warnings.append(Doubt(rule, "; ".join(messages[:MAX_EXAMPLES]) + more))
    return warnings


def leftovers(path: Path) -> list[Doubt]:
    """Warnings for what an unfinished run left beside a table: its journal, and half-written files."""
    found = []
    entries = sorted(entry.name for entry in path.parent.iterdir())
    for name in entries:
        if name.startswith(f"{path.name}.") and name.endswith(".journal"):
            line = f"{path.parent / name} is there: a run has not ended; the same command goes on from it"
            found.append(Doubt("journal", line))
    names = [left.name for left in write.leftovers(path)]
    if names:
        listed = ", ".join(names[:MAX_EXAMPLES])
        line = f"{len(names)} half-written files lie beside it, which nothing reads and may be deleted: {listed}"
        found.append(Doubt("temporary", line))
    return found


def _all(table: Table) -> Iterator[tuple[str, str]]:
    rows = [row for row in table if row.status != "failed"]
    if not rows:
        yield "empty", "it has no row with a latency"
        return
    yield from _unit(table, rows)
    for row in rows:
        yield from _row(row)
    yield from _reference(table, rows)
    yield from _sizes(rows)
    yield from _network(table, rows)


def _unit(table: Table, rows: list[Row]) -> Iterator[tuple[str, str]]:
    threads = table.manifest.environment.threads or 1
    latencies = [_ms(row) for row in rows]
    rates = [
        row.spec.macs / (_ms(row) / 1000) / threads for row in rows if row.spec.kind != FOREIGN and row.spec.macs > 0
    ]
    middle = median(latencies)
    if rates:
        rate = median(rates)
        if rate > _FASTEST:
            yield "unit", f"the median operator does {rate:.2g} multiply-adds a second and thread; are these seconds?"
        elif rate < _SLOWEST:
            yield (
                "unit",
                f"the median operator does {rate:.2g} multiply-adds a second and thread; are these microseconds?",
            )
    elif not _SHORTEST_MS <= middle <= _LONGEST_MS:
        yield "unit", f"the median operator takes {middle:.3g} ms; are these milliseconds?"


def _row(row: Row) -> Iterator[tuple[str, str]]:
    value = _ms(row)
    found = interval_of(row)
    if found is not None:
        low, _, high = found
        if low == high and row.origin == "measured":
            yield "interval", f"{row.spec} has an interval of no width at {value:.4g} ms"
        elif row.status == "ok" and (high - low) / 2 > _WIDE * value:
            yield "interval", f"{row.spec} is called ok with {low:.4g} to {high:.4g} ms"
    if row.p10_ms is not None and row.p90_ms is not None and not row.p10_ms / 2 <= value <= row.p90_ms * 2:
        span = f"{row.p10_ms:.4g} to {row.p90_ms:.4g} ms"
        yield "percentiles", f"{row.spec} takes {value:.4g} ms, and its raw times are {span}"
    if row.boundary_ms is not None and found is not None and row.boundary_ms > found[2]:
        yield "boundary", f"{row.spec} takes {row.boundary_ms:.4g} ms without its borders and {value:.4g} ms with them"
    if row.origin == "measured" and (row.rounds == 0 or row.passes == 0):
        yield "rounds", f"{row.spec} has a latency from {row.rounds} rounds in {row.passes} passes"


def _reference(table: Table, rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Milliseconds over ratio is the reference's latency, which is the same for all rows and bounds of one session."""
    stated = table.manifest.environment.reference_ms
    merged = len(parts(table.manifest)) > 1 or " && " in table.manifest.command
    for row in rows:
        took = [
            getattr(row, ms) / getattr(row, ratio)
            for ms, ratio in (("latency_ms", "ratio"), ("lower_ms", "ratio_lower"), ("upper_ms", "ratio_upper"))
            if getattr(row, ms) is not None and getattr(row, ratio) is not None
        ]
        if not took:
            continue
        if max(took) > min(took) * (1 + 1e-6):
            yield (
                "reference",
                f"{row.spec}: latency and bounds are of references of {min(took):.5g} to {max(took):.5g} ms",
            )
        elif stated is not None:
            factor = max(took[0] / stated, stated / took[0])
            if factor > (3 if merged else 1 + 1e-6):  # the rows of a merged table come from several sessions
                yield (
                    "reference",
                    f"{row.spec} is of a reference of {took[0]:.5g} ms, the manifest says {stated:.5g} ms",
                )


_GROUPS = {
    "resolution": ("height", "width"),
    "channels": ("in_channels", "out_channels", "hidden_channels", "squeeze_channels"),
}


def _sizes(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Finds operators that differ only by being larger, and are faster beyond both intervals."""
    for rule, names in _GROUPS.items():
        groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
        for row in rows:
            if interval_of(row) is not None:
                same = (value for name, value in row.spec.to_record().items() if name not in names)
                # Squeeze-and-excite makes another operator, and so does a projection instead of an identity.
                ratio = row.spec.in_channels == row.spec.out_channels, row.spec.squeeze_channels == 0
                groups[(*same, *ratio)].append(row)
        for group in groups.values():
            group.sort(key=lambda row: _sum(row.spec, names))
            for small, large in _pairs(group):
                if not all(getattr(small.spec, name) <= getattr(large.spec, name) for name in names):
                    continue
                least, most = interval_of(small), interval_of(large)
                assert least is not None and most is not None
                if most[2] < least[0] and _ms(small) > _ms(large) * (_CHANNELS if rule == "channels" else 1):
                    yield (
                        rule,
                        f"{large.spec} takes {_ms(large):.4g} ms and {small.spec}, the smaller, {_ms(small):.4g} ms",
                    )


def _pairs(group: list[Row]) -> Iterator[tuple[Row, Row]]:
    """Pairs of each row with some rows after it: few enough that a table of 100,000 rows does not take hours."""
    for index, row in enumerate(group):
        for other in group[index + 1 : index + 1 + MAX_NEIGHBOURS]:
            yield row, other


def _network(table: Table, rows: list[Row]) -> Iterator[tuple[str, str]]:
    estimate = table.manifest.in_network
    estimated = [row for row in rows if row.in_network_ms is not None]
    if estimated and estimate is None:
        yield "in-network", f"{len(estimated)} rows have in-network latency, and nothing says of what it was estimated"
    if estimate is not None and not estimated:
        yield (
            "in-network",
            f"it says that in-network latency was estimated of {estimate.subnets} subnets; no row has one",
        )
    for row in estimated:
        if row.in_network_se_ms is None:
            yield "in-network", f"{row.spec} has in-network latency without its standard error"


def _sum(spec: OpSpec, names: tuple[str, ...]) -> int:
    return sum(getattr(spec, name) for name in names)


def _ms(row: Row) -> float:
    assert row.latency_ms is not None
    return row.latency_ms
