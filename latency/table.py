"""The latency table: one environment, one row an operator. A miss is an error, never a guess."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.latency.environment import differing_fields, require_same
from latlas.latency.errors import LatlasError, MissingEntryError, UsageError
from latlas.latency.manifest import SCHEMA_VERSION, Manifest
from latlas.latency.ops import OpSpec
from latlas.latency.record import canonical_json
from latlas.latency.row import STATUSES, Row, rows_checksum
from latlas.latency.table_file import read_rows, write_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA_VERSION", "STATUSES", "Change", "Manifest", "Row", "Table", "conflicts", "diff"]


@dataclass(frozen=True, eq=False)
class Table:
    """Latencies of operators in one environment; immutable, rows sorted by operator.

    `len` and iteration are over all rows, failed ones too; `spec in table` says whether there is a latency.

    Args:
        rows: in any order.
        manifest: where they come from; its checksum is set to that of the rows.
        path: the file it was read from, for messages.

    Raises:
        UsageError: two rows are of one operator.
    """

    rows: tuple[Row, ...]
    manifest: Manifest
    path: Path | None = None
    _by_spec: dict[OpSpec, Row] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = tuple(sorted(self.rows, key=lambda row: row.spec))
        by_spec = {row.spec: row for row in rows}
        if len(by_spec) < len(rows):
            twice = next(spec for spec, count in Counter(row.spec for row in rows).items() if count > 1)
            raise UsageError(f"table {self.name}: two rows are of one operator, {twice}")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "_by_spec", by_spec)
        object.__setattr__(self, "manifest", replace(self.manifest, rows_sha256=rows_checksum(rows)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self.rows == other.rows and self.manifest == other.manifest

    __hash__ = None  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """What messages call it: its path, or `(not saved)`."""
        return str(self.path) if self.path is not None else "(not saved)"

    @classmethod
    def read(cls, path: Path | str) -> Table:
        """The table of a Parquet file, all of it checked.

        Raises `UsageError` where there is no such file, and `FileFormatError` for a broken or hostile one.
        """
        rows, manifest = read_rows(Path(path))
        return cls(tuple(rows), manifest, Path(path))

    def write(self, path: Path | str, overwrite: bool = False) -> None:
        """Save as one Parquet file, whole or not at all.

        Raises `UsageError` where it exists and `overwrite` is false, or where it cannot be written.
        """
        write_rows(Path(path), self.rows, self.manifest, overwrite)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __contains__(self, spec: object) -> bool:
        row = self._by_spec.get(spec) if isinstance(spec, OpSpec) else None
        return row is not None and row.status != "failed"

    def __getitem__(self, spec: OpSpec) -> Row:
        row = self._by_spec.get(spec)
        if row is not None and row.status != "failed":
            return row
        path = "PATH" if self.path is None else shlex.quote(str(self.path))
        environment = self.manifest.environment
        options = f"--precision {environment.precision} --threads {environment.threads} --update --out {path}"
        if environment.batch not in (None, 1):
            options = f"--batch {environment.batch} {options}"
        command = f"`latlas profile-ops --space {shlex.quote(self.manifest.space)} {options}`"
        if row is None:
            raise MissingEntryError(f"table {self.name} has no {spec}; measure it with {command}")
        raise MissingEntryError(
            f"table {self.name} has no latency of {spec}: measuring it failed: {row.reason}; try again with {command}"
        )

    def latency_ms(self, spec: OpSpec) -> float:
        """The isolated latency of an operator in milliseconds.

        Raises `MissingEntryError` that names the operator, the table and the command that measures it.
        """
        latency = self[spec].latency_ms
        assert latency is not None  # only failed rows have none
        return latency

    def count(self, status: str) -> int:
        """How many rows are `ok`, `noisy` or `failed`."""
        return sum(row.status == status for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """A data frame as `pandas.read_parquet` gives it: the rows' fields, then the environment's key fields."""
        import pandas as pd

        from latlas.latency.row import ESTIMATES, NUMBERS, ROW_FIELDS

        key = self.manifest.environment.key()
        frame = pd.DataFrame([{**row.to_dict(), **key} for row in self.rows], columns=[*ROW_FIELDS, *key])
        return frame.astype(dict.fromkeys((*NUMBERS, *ESTIMATES), "float64"))

    def merged(self, other: Table) -> Table:
        """The union of two tables of one environment; the order does not matter and no row is altered.

        Where both have an operator and agree, the row with the narrower interval stays; a row that failed gives way.

        Raises:
            EnvironmentMismatchError: the environments differ; each field is named.
            LatlasError: rows of the same operator disagree beyond both intervals; each is listed.
        """
        require_same(self.manifest.environment, other.manifest.environment, f"merge {self.name} with {other.name}")
        disagreeing = conflicts(self, other)
        if disagreeing:
            listed = "; ".join(f"{change.spec} ({change.ratio:.3g} times)" for change in disagreeing[:10])
            more = f" and {len(disagreeing) - 10} more" if len(disagreeing) > 10 else ""
            raise LatlasError(
                f"cannot merge {self.name} with {other.name}: {len(disagreeing)} operators disagree beyond both "
                f"intervals: {listed}{more}; measure them again, nothing was averaged"
            )
        rows: dict[OpSpec, Row] = {}
        for row in (*self.rows, *other.rows):
            rows[row.spec] = min(rows.get(row.spec, row), row, key=_preference)
        return Table(tuple(rows.values()), _merged_manifest(self.manifest, other.manifest))


@dataclass(frozen=True, slots=True)
class Change:
    """An operator whose two intervals do not overlap; `ratio` is after over before, above 1 for slower."""

    spec: OpSpec
    before: Row
    after: Row
    ratio: float


def diff(before: Table, after: Table) -> list[Change]:
    """Operators whose latencies differ beyond both intervals, the largest change, up or down, first.

    Tables of one environment are compared by the ratio to the reference network, which the machine's drift from one
    session to the next does not move; others by milliseconds. Operators that only one of them has, that
    failed, or that were imported without an interval are left out.
    """
    by_ratio = not differing_fields(before.manifest.environment, after.manifest.environment)
    changes = []
    for old in before:
        if old.spec not in before or old.spec not in after:
            continue
        new = after[old.spec]
        intervals = _interval(old, by_ratio), _interval(new, by_ratio)
        if None in (*intervals[0], *intervals[1]):
            continue  # imported without an interval
        (old_low, old_mid, old_high), (new_low, new_mid, new_high) = intervals
        if new_low > old_high or old_low > new_high:
            changes.append(Change(old.spec, old, new, new_mid / old_mid))
    return sorted(changes, key=lambda change: (-abs(math.log(change.ratio)), change.spec))


def conflicts(a: Table, b: Table) -> list[Change]:
    """Operators of which two tables of one environment disagree beyond both intervals, the largest first.

    Raises `EnvironmentMismatchError` where the environments differ.
    """
    require_same(a.manifest.environment, b.manifest.environment, f"compare {a.name} with {b.name}")
    return diff(a, b)


def _interval(row: Row, by_ratio: bool) -> tuple[float, float, float]:
    names = ("ratio_lower", "ratio", "ratio_upper") if by_ratio else ("lower_ms", "latency_ms", "upper_ms")
    low, middle, high = (getattr(row, name) for name in names)
    return low, middle, high


def _preference(row: Row) -> tuple[float, str]:
    return row.relative_error, canonical_json(row.to_dict())


def _merged_manifest(a: Manifest, b: Manifest) -> Manifest:
    """A manifest that is the same for (a, b) and (b, a): the environment of the session that began first."""
    first = min(a, b, key=_session)
    floors = [floor for floor in (a.noise_floor, b.noise_floor) if floor is not None]
    return replace(
        first,
        reference=_joined(a.reference, b.reference, " + "),
        space=_joined(a.space, b.space, " + "),
        command=_joined(a.command, b.command, " && "),
        tool_version=_joined(a.tool_version, b.tool_version, " + "),
        seed=a.seed if a.seed == b.seed else None,
        noise_floor=max(floors, default=None),
        created_at=max(a.created_at, b.created_at),
    )


def _session(manifest: Manifest) -> tuple[str, str]:
    """What orders sessions: when they began; for those of one second, all that a merge takes from the first."""
    record = manifest.to_dict()
    return manifest.environment.started_at, canonical_json([record["environment"], record["end_state"]])


def _joined(a: str, b: str, separator: str) -> str:
    """Both texts, each part once and in order, so that merging the same again changes nothing."""
    return separator.join(sorted({*a.split(separator), *b.split(separator)} - {""}))
