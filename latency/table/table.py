"""The latency table: one environment, one row for each operator. A missing operator is an error, never a guess."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.errors import MissingEntryError, UsageError
from latlas.latency.table.manifest import SCHEMA_VERSION, Manifest
from latlas.latency.table.parquet import read_rows, to_arrow, write_rows
from latlas.latency.table.row import STATUSES, Row, rows_checksum
from latlas.spaces.operators.spec import OpSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SCHEMA_VERSION", "STATUSES", "Manifest", "Row", "Table"]


@dataclass(frozen=True, eq=False)
class Table:
    """Latencies of operators in one environment; immutable, rows sorted by operator.

    `len` and iteration cover all rows, also failed ones; `spec in table` says whether there is a latency.

    Args:
        rows: the rows, in any order.
        manifest: where the rows come from; its checksum is set to the checksum of the rows.
        path: the file that the table was read from, for messages.

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

    def __repr__(self) -> str:
        """One line: name, space, device, setting and number of operators."""
        its = self.manifest.environment
        setting = f"{its.precision or 'unknown precision'}, {its.threads or 'unknown'} thread(s)"
        doubtful = "".join(f", {self.count(status)} {status}" for status in ("noisy", "failed") if self.count(status))
        told = (self.name, self.manifest.space, its.cpu_model, setting, f"{len(self)} operators{doubtful}")
        return f"<Table: {'; '.join(told)}>"

    @property
    def name(self) -> str:
        """The name in messages: the table's path, or `(not saved)`."""
        return str(self.path) if self.path is not None else "(not saved)"

    @classmethod
    def read(cls, path: Path | str) -> Table:
        """The table of a Parquet file, all of it checked.

        Raises `UsageError` if there is no such file, and `FileFormatError` if it is broken or hostile.
        """
        rows, manifest = read_rows(Path(path))
        return cls(tuple(rows), manifest, Path(path))

    def write(self, path: Path | str, overwrite: bool = False) -> None:
        """Save as one Parquet file, whole or not at all.

        Raises `UsageError` if the file exists and `overwrite` is false, or if it cannot be written.
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
        if self.manifest.origin == "imported":
            raise MissingEntryError(
                f"table {self.name} has no {spec}, and it is imported; measure a table of your own with "
                "`latlas profile-ops`"
            )
        options = f"--precision {environment.precision} --threads {environment.threads} --update --out {path}"
        if environment.batch not in (None, 1):
            options = f"--batch {environment.batch} {options}"
        space = shlex.quote(self.manifest.space) if len(self.manifest.spaces) == 1 else "SPACE"
        command = f"`latlas profile-ops --space {space} {options}`"
        if row is None:
            raise MissingEntryError(f"table {self.name} has no {spec}; measure it with {command}")
        raise MissingEntryError(
            f"table {self.name} has no latency of {spec}: measuring it failed: {row.reason}; try again with {command}"
        )

    def latency_ms(self, spec: OpSpec) -> float:
        """The isolated latency of an operator in milliseconds.

        Raises `MissingEntryError`, which names the operator, the table and the command that measures it.
        """
        latency = self[spec].latency_ms
        assert latency is not None  # only failed rows have none
        return latency

    def count(self, status: str) -> int:
        """How many rows are `ok`, `noisy` or `failed`."""
        return sum(row.status == status for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """A data frame as `pandas.read_parquet` returns it: the rows' fields, then the environment's key fields."""
        frame: pd.DataFrame = to_arrow(self.rows, self.manifest).to_pandas()
        return frame
