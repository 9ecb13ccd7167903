"""`tables import | export`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.api.exchange import ExportOptions, ImportFileOptions, export_file, hardly_ms, import_file
from latlas.commands import options
from latlas.commands.output import note, print_result
from latlas.commands.parsing.command_line import with_options
from latlas.latency.formats.table_format import ImportOptions

if TYPE_CHECKING:
    from latlas.latency.formats.interchange import Imported


@with_options
def tables_import(
    asked: ImportOptions,
    how: ImportFileOptions,
    path: Annotated[Path, typer.Argument(help="The file of another project, or a CSV of ours.")],
    out: Annotated[Path, typer.Option(help="The table.")],
    json: options.JsonOption = False,
) -> None:
    """Make a table from another project's latencies; fields of their environment that are not given stay unknown."""
    found = import_file(path, out, asked, replace(how, command=shlex.join(["latlas", *sys.argv[1:]])))
    for line in found.failed:
        note(f"failed: {line}")
    print_result({"table": str(out), **found.to_record()}, json, lambda: _imported_lines(path, out, found, asked))


def _imported_lines(path: Path, out: Path, found: Imported, asked: ImportOptions) -> list[str]:
    total = len(found.table)
    lines = [
        f"{out}: {total} operators of {path} ({found.format}), {total - found.foreign} as ours, {found.foreign} foreign"
    ]
    if found.failed:
        lines[0] += f", {len(found.failed)} of them failed"
    if (slowest_ms := hardly_ms(found, asked)) is not None:
        lines.append(f"the slowest takes {slowest_ms:.4g} ms: if those are seconds, say --unit s")
    if found.undecided and asked.activation is None:
        lines.append(f"{found.undecided} of those do not say their activation; --activation does")
    if unknown := found.table.manifest.environment.unknown:
        lines.append(f"unknown of their environment: {', '.join(unknown)}")
    if found.ignored:
        lines.append(f"not kept: {', '.join(found.ignored)}")
    return lines


@with_options
def tables_export(
    asked: ExportOptions,
    path: Annotated[Path, typer.Argument(help="A table.")],
    format: Annotated[str, typer.Option(help="ofa, fbnet or csv, or another package's.")],
    out: Annotated[Path, typer.Option(help="The file.")],
    json: options.JsonOption = False,
) -> None:
    """Write a table as another project's file; rows without this latency are left out and counted."""
    record = export_file(path, format, out, asked)
    for line in record["left_out"]:
        note(f"left out: {line}")
    print_result(
        record,
        json,
        lambda: [f"{out}: {record['entries']} operators ({format}), {len(record['left_out'])} left out"],
    )
