"""Latency tables of one environment, joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.errors import LatlasError, MergeConflictError
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.table.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """What `merge_tables` is asked for beside the tables and the file of the joined one."""

    conflicts: Path | None = option(None, "Write rows that disagree to this JSON file.")
    force: bool = option(False, "Replace what is there.")


def merge_tables(paths: Sequence[Path], out: Path, options: MergeOptions) -> Table:
    """The joined table, which is written to `out`; rows are kept as they are.

    Raises:
        UsageError: There is no such file, or `out` is there already and `force` is false.
        FileFormatError: A file is no valid table.
        EnvironmentMismatchError: The tables are of several environments.
        MergeConflictError: Rows disagree; `error.conflicts` has them.
        LatlasError: Rows disagree, and all of them were written to the file `conflicts`.
    """
    from latlas.files.write import write_json
    from latlas.latency.table.merge import merge
    from latlas.latency.table.table import Table

    try:
        merged = merge([Table.read(path) for path in paths])
    except MergeConflictError as error:
        if options.conflicts is None:
            raise
        write_json(options.conflicts, [conflict.to_record() for conflict in error.conflicts], overwrite=True)
        raise LatlasError(f"{error}; all are in {options.conflicts}") from None
    merged.write(out, overwrite=options.force)
    return merged


def merged_record(out: Path, merged: Table) -> dict[str, object]:
    """What `tables merge --json` prints of a joined table."""
    from latlas.latency.table.merge import parts

    return {"table": str(out), "entries": len(merged), "conflicts": [], "parts": list(parts(merged.manifest))}
