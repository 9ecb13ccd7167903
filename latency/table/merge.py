"""Merges tables of one environment: the result is the union of their rows, unaltered, whatever the order of the tables.

If the rows of one operator agree, one of them is kept: a row with in-network latency, else one with boundary-corrected latency,
else the one with the narrowest interval. A failed row gives way to any other. If rows of any two tables disagree beyond both
intervals, they are conflicts, and nothing is merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations

from latlas.errors import EnvironmentMismatchError, LatlasError, MergeConflictError, UsageError
from latlas.files.records import canonical_json
from latlas.latency.table.compare import Change, conflicts, require_mergeable
from latlas.latency.table.manifest import MAX_TEXT, SPACES, Manifest
from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import OpSpec

PARTS = " || "
"""The separator between the parts of a merged table in its manifest's `source`."""
_PART = "rows "


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows of one operator in two tables that disagree beyond both intervals."""

    change: Change
    first: str
    second: str

    def to_record(self) -> dict[str, object]:
        """A record of the conflict: the operator, both tables, both rows' latencies with their intervals, and the ratio."""
        spec = self.change.spec
        record: dict[str, object] = {"operator": str(spec), "ratio": self.change.ratio, "spec": spec.to_record()}
        for name, table, row in (("first", self.first, self.change.before), ("second", self.second, self.change.after)):
            names = ("latency_ms", "lower_ms", "upper_ms", "ratio", "ratio_lower", "ratio_upper")
            record[name] = {"table": table} | {field: getattr(row, field) for field in names}
        return record

    def __str__(self) -> str:
        rows = self.change.before, self.change.after
        both = " against ".join(f"{row.latency_ms if row.ratio is None else row.ratio:.4g}" for row in rows)
        unit = " ms" if any(row.ratio is None for row in rows) else " of the reference"
        return f"{self.change.spec}: {both}{unit} ({self.change.ratio:.3g} times)"


def all_conflicts(tables: Sequence[Table]) -> list[Conflict]:
    """All conflicts between any two of the tables; raises `EnvironmentMismatchError` if the environments differ."""
    return [Conflict(change, a.name, b.name) for a, b in combinations(tables, 2) for change in conflicts(a, b)]


def union(tables: Sequence[Table]) -> tuple[tuple[Row, ...], Manifest]:
    """The rows and the manifest of the merged tables; neither the order of the tables nor repeating one changes them.

    Raises:
        EnvironmentMismatchError: the environments differ, each field is named; or measured and imported tables, or
            in-network latencies of two estimates, would be mixed.
        MergeConflictError: rows of one operator disagree; all of them are its `conflicts`.
        LatlasError: the text that says where the rows come from grows too long.
    """
    if not tables:
        raise UsageError("nothing to merge; give at least one table")
    first = tables[0]
    for other in tables[1:]:
        _require_joinable(first, other)
    found = all_conflicts(tables)
    if found:
        names = " with ".join(dict.fromkeys(table.name for table in tables))
        listed = "; ".join(str(one) for one in found[:10])
        more = f"; and {len(found) - 10} more" if len(found) > 10 else ""
        operators = len({one.change.spec for one in found})
        raise MergeConflictError(
            f"cannot merge {names}: {operators} operators disagree beyond both intervals: {listed}{more}; "
            "measure them again, nothing was averaged",
            found,
        )
    rows: dict[OpSpec, Row] = {}
    for row in (row for table in tables for row in table):
        rows[row.spec] = min(rows.get(row.spec, row), row, key=_preference)
    return tuple(rows.values()), reduce(_joined_manifest, (table.manifest for table in tables))


def parts(manifest: Manifest) -> tuple[str, ...]:
    """The parts that a table was merged from: a line each, with the rows' checksum, time, version and command.

    A table that was not merged is its only part.
    """
    if manifest.source.startswith(_PART):
        return tuple(manifest.source.split(PARTS))
    origin = f" (from {manifest.source})" if manifest.source else ""
    line = f"{_PART}{manifest.rows_sha256} of {manifest.created_at}, latlas {manifest.tool_version}: {manifest.command}"
    return ((line + origin).replace(PARTS.strip(), "| |").strip(),)


def _require_joinable(a: Table, b: Table) -> None:
    what = f"merge {a.name} with {b.name}"
    origins = a.manifest.origin, b.manifest.origin
    if origins[0] != origins[1]:
        raise EnvironmentMismatchError(f"cannot {what}: the one is {origins[0]} and the other {origins[1]}")
    require_mergeable(a, b, what)
    estimates = a.manifest.in_network, b.manifest.in_network
    if None not in estimates and estimates[0] != estimates[1]:
        raise EnvironmentMismatchError(
            f"cannot {what}: their in-network latencies are of two estimates, which do not add up with each other; "
            "merge tables without, and estimate once"
        )


def _preference(row: Row) -> tuple[bool, bool, bool, float, str]:
    failed = row.status == "failed"
    return (
        failed,
        row.in_network_ms is None,
        row.boundary_ms is None,
        row.relative_half_width,
        canonical_json(row.to_record()),
    )


def _joined_manifest(a: Manifest, b: Manifest) -> Manifest:
    """The joined manifest, the same for (a, b) and (b, a); it has the environment of the session that began first."""
    first = min(a, b, key=_session)
    floors = [floor for floor in (a.noise_floor, b.noise_floor) if floor is not None]
    sources = sorted({*parts(a), *parts(b)})
    return replace(
        first,
        reference=_joined(a.reference, b.reference, " + "),
        space=_joined(a.space, b.space, SPACES),
        command=_joined(a.command, b.command, " && "),
        tool_version=_joined(a.tool_version, b.tool_version, " + "),
        seed=a.seed if a.seed == b.seed else None,
        noise_floor=max(floors, default=None),
        created_at=max(a.created_at, b.created_at),
        source=_checked(PARTS.join(sources)) if len(sources) > 1 else min(a.source, b.source),
        in_network=a.in_network or b.in_network,
    )


def _session(manifest: Manifest) -> tuple[str, str]:
    """The sort key of sessions: when they began and, within one second, everything that a merge takes from the first."""
    record = manifest.to_record()
    return manifest.environment.started_at, canonical_json([record["environment"], record["end_state"]])


def _joined(a: str, b: str, separator: str) -> str:
    """Both texts joined, with each part once and in order, so that merging the same again changes nothing."""
    if a == b:
        return a  # unchanged: a reference's definition may contain the separator itself
    return _checked(separator.join(sorted({*a.split(separator), *b.split(separator)} - {""})))


def _checked(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise LatlasError(
            f"cannot merge: what says where the rows come from would have {len(text)} characters, and at most {MAX_TEXT} "
            "are kept; measure a table anew"
        )
    return text


def merge(tables: Sequence[Table]) -> Table:
    """The union of tables of one environment, in any order, with no row altered; `union` says which rows stay.

    If it returns a table, merging two at a time in any order gives the same table.

    Raises:
        UsageError: there is no table.
        EnvironmentMismatchError: the environments differ; each field is named.
        MergeConflictError: rows of the same operator disagree beyond both intervals; each is listed.
    """
    return Table(*union(tables))
