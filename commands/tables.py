"""`tables list | show | validate | diff | merge`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.api.tables import TableFilter, check_tables, list_tables
from latlas.commands import options
from latlas.commands.output import print_result
from latlas.commands.parsing.command_line import with_options
from latlas.distribution import ROOT
from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.records import one_line


class Value(StrEnum):
    """The value in the cells of the grid."""

    isolated = "isolated"
    boundary = "boundary"
    in_network = "in-network"
    ratio = "ratio"


class FailOn(StrEnum):
    """Which changes make `diff` end with exit code 1."""

    any = "any"
    slower = "slower"
    faster = "faster"
    none = "none"


@with_options
def tables_list(
    wanted: TableFilter,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of tables. Default: tables, else those that come with Latlas.")
    ] = None,
    json: options.JsonOption = False,
) -> None:
    """List the tables below a folder; it marks tables that cannot be read, and the exit code is then 3."""
    place = folder or (Path("tables") if Path("tables").is_dir() else ROOT / "tables")
    records = list_tables(place, wanted)
    print_result(records, json, lambda: [_list_line(record) for record in records] or [f"{place}: no such table"])
    if broken := [str(record["table"]) for record in records if not record["valid"]]:
        raise FileFormatError(f"not tables, {len(broken)} of the files: {', '.join(broken[:10])}")


def tables_show(
    path: Annotated[Path, typer.Argument(help="A table.")],
    value: Annotated[Value, typer.Option(help="What the cells show.")] = Value.isolated,
    rows: Annotated[bool, typer.Option("--rows", help="List every row with its interval instead of the grid.")] = False,
    json: options.JsonOption = False,
) -> None:
    """Show a table: its origin, and a grid of its operators by place."""
    from latlas.commands.grid import console_of, grid_lines, head_lines, row_lines
    from latlas.latency.table.merge import parts
    from latlas.latency.table.table import Table

    table = Table.read(path)
    record = {
        "table": str(path),
        "manifest": table.manifest.to_record(),
        "unknown": list(table.manifest.environment.unknown),
        "parts": list(parts(table.manifest)),
        "counts": {status: table.count(status) for status in ("ok", "noisy", "failed")},
        "rows": [row.to_record() for row in table],
    }
    print_result(
        record,
        json,
        lambda: [*head_lines(table), "", *(row_lines(table) if rows else grid_lines(table, value.value, console_of()))],
    )


def tables_validate(
    paths: Annotated[list[Path], typer.Argument(help="Tables, or folders of them.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if there are warnings.")] = False,
    json: options.JsonOption = False,
) -> None:
    """Check tables completely; exit code 3 if one is broken, warnings for doubtful values."""
    found = check_tables(paths)
    errors = [error for error, _ in found if error is not None]
    if errors and len(found) == 1 and not (json and errors[0].exit_code == FileFormatError.exit_code):
        raise errors[0]
    records = [record for _, record in found]
    worst = max(errors, key=lambda error: error.exit_code, default=None)
    print_result(records, json, lambda: [line for record in records for line in _validate_lines(record)])
    if worst is not None:
        broken = [str(record["table"]) for record in records if not record["valid"]]
        raise type(worst)(f"{len(broken)} of {len(records)} tables not valid: {', '.join(broken)}")
    doubtful = [str(record["table"]) for record in records if record["warnings"]]
    if strict and doubtful:
        raise LatlasError(f"{len(doubtful)} of {len(records)} tables have warnings: {', '.join(doubtful)}")


def tables_diff(
    before: Annotated[Path, typer.Argument(help="The earlier table.")],
    after: Annotated[Path, typer.Argument(help="The later table.")],
    threshold: Annotated[float, typer.Option(help="Smallest ratio, up or down, that counts as a change.")] = 1.0,
    confidence: Annotated[float, typer.Option(help="Compare intervals of this confidence.")] = 0.95,
    bonferroni: Annotated[
        bool, typer.Option("--bonferroni", help="Divide 1 - confidence by the number of operators.")
    ] = False,
    fail_on: Annotated[FailOn, typer.Option(help="Changes that make the exit code 1.")] = FailOn.any,
    ranks: Annotated[bool, typer.Option("--ranks", help="Say which operators change rank at each place.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    json: options.JsonOption = False,
) -> None:
    """List operators that changed beyond both intervals, the largest change first; exit code 1 if there are any."""
    from latlas.commands.diff_text import diff_lines, diff_markdown, diff_record
    from latlas.latency.table.compare import compare
    from latlas.latency.table.compare import ranks as ranks_of
    from latlas.latency.table.table import Table

    if markdown and json:
        raise UsageError("--markdown and --json are two formats; choose one")
    one, other = Table.read(before), Table.read(after)
    found = compare(one, other, threshold=threshold, confidence=confidence, bonferroni=bonferroni)
    record = diff_record(one, other, found, ranks_of(one, other) if ranks else None)
    print_result(record, json, lambda: [diff_markdown(record)] if markdown else diff_lines(record))
    counted = {"any": found.changed, "slower": found.slower, "faster": found.faster, "none": ()}
    if counted[fail_on.value]:
        raise typer.Exit(1)


def tables_merge(
    paths: Annotated[list[Path], typer.Argument(help="Tables of one environment, in any order.")],
    out: Annotated[Path, typer.Option(help="The joined table.")],
    conflicts: Annotated[Path | None, typer.Option(help="Write rows that disagree to this JSON file.")] = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Join tables of one environment. Rows are kept unchanged; rows that disagree are an error."""
    from latlas.errors import MergeConflictError
    from latlas.files.write import write_json
    from latlas.latency.table.merge import merge, parts
    from latlas.latency.table.table import Table

    try:
        merged = merge([Table.read(path) for path in paths])
    except MergeConflictError as error:
        found = [conflict.to_record() for conflict in error.conflicts]
        if conflicts is not None:
            write_json(conflicts, found, overwrite=True)
            raise LatlasError(f"{error}; all are in {conflicts}") from None
        if json:
            print_result({"table": None, "entries": None, "conflicts": found}, json, list)
        raise
    merged.write(out, overwrite=force)
    record = {"table": str(out), "entries": len(merged), "conflicts": [], "parts": list(parts(merged.manifest))}
    print_result(record, json, lambda: [f"{out}: {len(merged)} operators"])


def _list_line(record: dict[str, Any]) -> str:
    if not record["valid"]:
        return f"not a table: {one_line(record['reason'], 2000)}"  # a stranger may have named the file
    unknown = {name: "unknown" if record[name] is None else record[name] for name in ("precision", "threads", "batch")}
    origin = "" if record["origin"] == "measured" else f", {record['origin']}"
    doubtful = "".join(f", {record[status]} {status}" for status in ("noisy", "failed") if record[status])
    return (
        f"{one_line(record['table'], 1000)}: {record['space']}, {record['entries']} operators{doubtful}, {record['cpu_model']}, "
        f"{unknown['precision']}, {unknown['threads']} thread(s), batch {unknown['batch']}, "
        f"OpenVINO {record['openvino_version']}{origin}"
    )


def _validate_lines(record: dict[str, Any]) -> list[str]:
    if not record["valid"]:
        return [f"not valid: {one_line(record['reason'], 2000)}"]
    warnings = [f"  warning, {one['rule']}: {one['message']}" for one in record["warnings"]]
    return [f"{record['table']}: valid, {record['entries']} operators", *warnings]
