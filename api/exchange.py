"""Latency tables of other projects: their file as a table, and a table as their file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.latency.formats.table_format import FORMATS, ImportOptions, format_to_write
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.formats.interchange import Imported

HARDLY_MS = 0.1
"""If the slowest latency of a file without a unit is below this, the file more likely has seconds than milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFileOptions:
    """What `import_file` is asked for beside what is said of the file.

    Attributes:
        command: What the table's manifest says it was made by.
    """

    format: str | None = option(None, f"{', '.join(FORMATS.own())}, or another package's; else by ending or content.")
    force: bool = option(False, "Replace what is there.")
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What `export_file` is asked for beside the format."""

    value: str = option("isolated", "Which latency: isolated, boundary or in-network.")
    force: bool = option(False, "Replace what is there.")


def import_file(path: Path, out: Path, asked: ImportOptions, options: ImportFileOptions) -> Imported:
    """The table of another project's file, or of a CSV of ours, which is written to `out`; what is not said stays unknown.

    Raises:
        UsageError: There is no such file; its format, unit or column is not said; `out` is there already and `force` is false.
        FileFormatError: The file is broken or hostile, or has impossible values.
    """
    from latlas.latency.formats.interchange import import_table

    found = import_table(path, options.format, asked, options.command)
    found.table.write(out, overwrite=options.force)
    return found


def hardly_ms(found: Imported, asked: ImportOptions) -> float | None:
    """The slowest latency of an imported table, if no unit was given and the latencies look like seconds; else None."""
    slowest = found.slowest_ms
    if found.table.manifest.origin != "imported" or asked.unit is not None or slowest is None:
        return None
    return slowest if slowest < HARDLY_MS else None


def export_file(path: Path, format: str, out: Path, options: ExportOptions) -> dict[str, Any]:
    """A record of a table that was written as another project's file: how many entries it has, and which rows were left out.

    Raises:
        UsageError: The format or the value is not known, no row has such a latency, or `out` is there already and `force` is
            false.
        FileFormatError: The table is not valid.
    """
    format_to_write(format, options.value)  # before the table is read
    from latlas.files.write import write_text
    from latlas.latency.formats.interchange import export_table
    from latlas.latency.table.table import Table

    table = Table.read(path)
    text, left_out = export_table(table, format, options.value)
    write_text(out, text, overwrite=options.force)
    return {
        "file": str(out),
        "format": format,
        "value": options.value,
        "entries": len(table) - len(left_out),
        "left_out": left_out,
    }
