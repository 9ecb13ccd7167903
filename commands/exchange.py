"""`tables import | export`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from latlas.commands import options
from latlas.commands.output import note, print_result
from latlas.latency.formats.table_format import FORMATS, format_to_write


def tables_import(
    path: Annotated[Path, typer.Argument(help="The file of another project, or a CSV of ours.")],
    out: Annotated[Path, typer.Option(help="The table.")],
    format_name: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS.own())}, or another package's; else by ending or content."),
    ] = None,
    cpu_model: Annotated[str | None, typer.Option(help="CPU that it was measured on.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=4096, help="Inference threads.")] = None,
    precision: Annotated[str | None, typer.Option(help="Precision, such as f32.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=2**20, help="Batch size.")] = None,
    space: Annotated[str | None, typer.Option(help="Search space of the operators.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of the latencies: s, ms, us or ns.")] = None,
    source: Annotated[str, typer.Option(help="Project and licence of the file.")] = "",
    latency_column: Annotated[str | None, typer.Option(help="Column or field of the latencies.")] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            help="Activation, if keys do not say it: relu, hswish, or ofa (Once-for-All's MobileNetV3, by stage)."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Keep entries without a latency as failed rows, and list them.")
    ] = False,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Make a table from another project's latencies; fields of their environment that are not given stay unknown."""
    from latlas.latency.formats.interchange import import_table
    from latlas.latency.formats.table_format import ImportOptions

    asked = ImportOptions(
        cpu_model, threads, precision, batch, space, unit, source, latency_column, activation, skip_bad
    )
    found = import_table(path, format_name, asked, shlex.join(["latlas", *sys.argv[1:]]))
    found.table.write(out, overwrite=force)
    for line in found.failed:
        note(f"failed: {line}")
    environment = found.table.manifest.environment
    record = {
        "table": str(out),
        "format": found.format,
        "origin": found.table.manifest.origin,
        "entries": len(found.table),
        "foreign": found.foreign,
        "failed": found.failed,
        "unknown": list(environment.unknown),
        "ignored": list(found.ignored),
        "source": found.table.manifest.source,
    }

    def lines() -> list[str]:
        total = len(found.table)
        shown = [
            f"{out}: {total} operators of {path} ({found.format}), {total - found.foreign} as ours, {found.foreign} foreign"
        ]
        if found.failed:
            shown[0] += f", {len(found.failed)} of them failed"
        slowest = max((row.latency_ms for row in found.table if row.latency_ms is not None), default=1.0)
        if found.table.manifest.origin == "imported" and unit is None and slowest < 0.1:
            shown.append(f"the slowest takes {slowest:.4g} ms: if those are seconds, say --unit s")
        if found.undecided and activation is None:
            shown.append(f"{found.undecided} of those do not say their activation; --activation does")
        if environment.unknown:
            shown.append(f"unknown of their environment: {', '.join(environment.unknown)}")
        if found.ignored:
            shown.append(f"not kept: {', '.join(found.ignored)}")
        return shown

    print_result(record, json, lines)


def tables_export(
    path: Annotated[Path, typer.Argument(help="A table.")],
    format_name: Annotated[str, typer.Option("--format", help="ofa, fbnet or csv, or another package's.")],
    out: Annotated[Path, typer.Option(help="The file.")],
    value: Annotated[str, typer.Option(help="Which latency: isolated, boundary or in-network.")] = "isolated",
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Write a table as another project's file; rows without this latency are left out and counted."""
    format_to_write(format_name, value)  # before the table is read
    from latlas.files.write import write_text
    from latlas.latency.formats.interchange import export_table
    from latlas.latency.table.table import Table

    table = Table.read(path)
    text, left_out = export_table(table, format_name, value)
    write_text(out, text, overwrite=force)
    for line in left_out:
        note(f"left out: {line}")
    kept = len(table) - len(left_out)
    record = {"file": str(out), "format": format_name, "value": value, "entries": kept, "left_out": left_out}
    print_result(record, json, lambda: [f"{out}: {kept} operators ({format_name}), {len(left_out)} left out"])
