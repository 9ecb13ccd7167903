"""`tables list | show | validate | diff | merge`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.api.compare import CompareOptions, FailOn, compare_tables
from latlas.api.merge import MergeOptions, merge_tables, merged_record
from latlas.api.tables import TableFilter, check_tables, list_tables, load_table, table_record
from latlas.commands import options
from latlas.commands.output import print_result
from latlas.commands.parsing.command_line import with_options
from latlas.distribution import ROOT
from latlas.errors import FileFormatError, LatlasError, MergeConflictError, UsageError
from latlas.files.records import one_line
from latlas.option import option


class Value(StrEnum):
    """The value in the cells of the grid."""

    isolated = "isolated"
    boundary = "boundary"
    in_network = "in-network"
    ratio = "ratio"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTable:
    """How `tables show` prints a table."""

    value: Value = option(Value.isolated, "What the cells show.", offered=lambda: tuple(Value))
    rows: bool = option(False, "List every row with its interval instead of the grid.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDiff:
    """How `tables diff` prints a comparison, and ends."""

    fail_on: FailOn = option(FailOn.any, "Changes that make the exit code 1.", offered=lambda: tuple(FailOn))
    markdown: bool = option(False, "Print Markdown, for a pull request.")


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


@with_options
def tables_show(
    how: ShownTable,
    path: Annotated[Path, typer.Argument(help="A table.")],
    json: options.JsonOption = False,
) -> None:
    """Show a table: its origin, and a grid of its operators by place."""
    from latlas.commands.grid import console_of, grid_lines, head_lines, row_lines

    table = load_table(path)
    print_result(
        table_record(path, table),
        json,
        lambda: [
            *head_lines(table),
            "",
            *(row_lines(table) if how.rows else grid_lines(table, how.value.value, console_of())),
        ],
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


@with_options
def tables_diff(
    asked: CompareOptions,
    how: ShownDiff,
    before: Annotated[Path, typer.Argument(help="The earlier table.")],
    after: Annotated[Path, typer.Argument(help="The later table.")],
    json: options.JsonOption = False,
) -> None:
    """List operators that changed beyond both intervals, the largest change first; exit code 1 if there are any."""
    from latlas.commands.diff_text import diff_lines, diff_markdown

    if how.markdown and json:
        raise UsageError("--markdown and --json are two formats; choose one")
    compared = compare_tables(before, after, asked)
    record = compared.to_record()
    print_result(record, json, lambda: [diff_markdown(record)] if how.markdown else diff_lines(record))
    if compared.fails(how.fail_on):
        raise typer.Exit(1)


@with_options
def tables_merge(
    asked: MergeOptions,
    paths: Annotated[list[Path], typer.Argument(help="Tables of one environment, in any order.")],
    out: Annotated[Path, typer.Option(help="The joined table.")],
    json: options.JsonOption = False,
) -> None:
    """Join tables of one environment. Rows are kept unchanged; rows that disagree are an error."""
    try:
        merged = merge_tables(paths, out, asked)
    except MergeConflictError as error:
        if json:
            found = [conflict.to_record() for conflict in error.conflicts]
            print_result({"table": None, "entries": None, "conflicts": found}, json, list)
        raise
    print_result(merged_record(out, merged), json, lambda: [f"{out}: {len(merged)} operators"])


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
