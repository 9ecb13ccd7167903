"""Reads, lists and checks the files of latency tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.errors import LatlasError, UsageError
from latlas.files.listing import files_below
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.table.table import Table

FOOTER_BYTES = 1 << 16
"""How many bytes to read from the end of a Parquet file, which says what the file holds."""
STATUSES = ("ok", "noisy", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFilter:
    """Options: which tables to list."""

    cpu: str = option("", "Only of CPUs whose name or folder name contains this.")
    space: str = option("", "Only of this space, with its options or without.")
    precision: str = option("", "Only of this precision.")
    threads: int | None = option(None, "Only of this many threads.", at_least=1)

    def __post_init__(self) -> None:
        check_options(self)

    def takes(self, table: Table) -> bool:
        """Whether a table is wanted."""
        manifest, environment = table.manifest, table.manifest.environment
        names = f"{environment.cpu_model} {environment.device}".lower()
        return (
            self.cpu.lower() in names
            and (not self.space or any(self.space in (one, one.partition(":")[0]) for one in manifest.spaces))
            and self.precision in ("", environment.precision)
            and self.threads in (None, environment.threads)
        )


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A file that was read as a table: the table, or the reason why it is none."""

    path: Path
    table: Table | None
    error: LatlasError | None


def load_table(path: str | Path) -> Table:
    """The latency table of a Parquet file, which is checked completely.

    A table is immutable and has one row for each operator. `table.latency_ms(spec)` is the operator's isolated latency in
    milliseconds, `len(table)` the number of rows, `table.manifest` its origin, `table.to_frame()` a pandas data frame.

    Raises:
        UsageError: There is no such file.
        FileFormatError: The file is broken, hostile, or of a schema that this Latlas does not read.

    Example:
        >>> import latlas
        >>> table = latlas.load_table("table.parquet")
        >>> spec = table.rows[0].spec
        >>> table.latency_ms(spec) > 0
        True
    """
    from latlas.latency.table.table import Table

    return Table.read(path)


def table_record(path: Path, table: Table) -> dict[str, Any]:
    """What `tables show --json` prints of a table: its manifest, what of it is unknown, its parts, counts and rows."""
    from latlas.latency.table.merge import parts

    return {
        "table": str(path),
        "manifest": table.manifest.to_record(),
        "unknown": list(table.manifest.environment.unknown),
        "parts": list(parts(table.manifest)),
        "counts": {status: table.count(status) for status in STATUSES},
        "rows": [row.to_record() for row in table],
    }


def read_tables(paths: Sequence[Path]) -> Iterator[ReadTable]:
    """The table of each file, or its error; files in folders are included, sorted within each folder."""
    from latlas.latency.table.table import Table

    for file in (file for path in paths for file in (table_files(path) if path.is_dir() else [path])):
        try:
            yield ReadTable(file, Table.read(file), None)
        except LatlasError as error:
            yield ReadTable(file, None, error)


def list_tables(folder: Path, wanted: TableFilter) -> list[dict[str, Any]]:
    """A record for each table below a folder: path, validity and contents; raises `UsageError` if there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    records = []
    for one in read_tables([folder]):
        if one.table is None:
            records.append({"table": str(one.path), "valid": False, "reason": str(one.error)})
        elif wanted.takes(one.table):
            records.append({"table": str(one.path), "valid": True, "reason": "", **_told(one.table)})
    return records


def _told(table: Table) -> dict[str, Any]:
    manifest, environment = table.manifest, table.manifest.environment
    return {
        "space": manifest.space,
        "entries": len(table),
        **{status: table.count(status) for status in STATUSES},
        "device": environment.device,
        "origin": manifest.origin,
        "created_at": manifest.created_at,
        "in_network": manifest.in_network is not None,
        **environment.key(),
    }


def check_tables(paths: Sequence[Path]) -> list[tuple[LatlasError | None, dict[str, Any]]]:
    """For each file the reason why it is no table, or None; and a record: whether it is valid, and warnings for doubtful values.

    Raises `UsageError` if there are no files.
    """
    from latlas.latency.table.plausibility import implausible, leftovers

    found = []
    for one in read_tables(paths):
        record: dict[str, Any] = {"table": str(one.path), "entries": None, "valid": False, "reason": "", "warnings": []}
        if one.table is None:
            record["reason"] = str(one.error)
        else:
            doubts = [*implausible(one.table), *leftovers(one.path)]
            record |= {"entries": len(one.table), "valid": True, "warnings": [doubt.to_record() for doubt in doubts]}
        found.append((one.error, record))
    if not found:
        raise UsageError(f"{', '.join(map(str, paths))}: no tables there")
    return found


def table_files(folder: Path) -> list[Path]:
    """The Parquet files below a folder, without the histories of searches."""
    return [path for path in files_below(folder, ".parquet") if not _is_history(path)]


def _is_history(path: Path) -> bool:
    from latlas.search.report.history_name import FILE_NAME, METADATA_KEY

    if path.name != FILE_NAME:
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - FOOTER_BYTES))
        return METADATA_KEY in file.read()
