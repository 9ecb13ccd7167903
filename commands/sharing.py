"""`tables publish | push | pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.api.sharing import (
    PublishOptions,
    PullOptions,
    PushOptions,
    publish_table,
    published_record,
    pull_tables,
    push_table,
)
from latlas.commands import options
from latlas.commands.output import note, print_result
from latlas.commands.parsing.command_line import with_options
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.sharing.publish import CopyResult

UrlArgument = Annotated[
    str,
    typer.Argument(help="Root of the shared tables: a folder, or a URL that fsspec knows, such as s3, gs, az or http."),
]


@with_options
def tables_publish(
    asked: PublishOptions,
    path: Annotated[Path | None, typer.Argument(help="The table. Leave it out with --check.", metavar="TABLE")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only compare the folder's tables with its indexes; exit code 1 if they differ."),
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Put a table into the folder of published tables, and bring its two indexes up to date."""
    if check == (path is not None):
        raise UsageError("name the table to publish, or --check the folder; one of the two")
    if path is None:
        _check(asked.tables_dir, json)
        return
    copied = publish_table(path, asked)
    print_result(copied.to_record(), json, lambda: [_line(copied)])


def _check(folder: Path, json: bool) -> None:
    record = published_record(folder)
    print_result(
        record, json, lambda: record["problems"] or [f"{folder}: {record['tables']} tables, as its indexes say"]
    )
    if record["problems"]:
        raise typer.Exit(1)


@with_options
def tables_push(
    asked: PushOptions,
    path: Annotated[Path, typer.Argument(help="The table.", metavar="TABLE")],
    url: UrlArgument,
    json: options.JsonOption = False,
) -> None:
    """Put a table into a shared store. It uses the credentials of the store's own tools, such as AWS_PROFILE."""
    copied = push_table(path, url, asked)
    print_result(
        {**copied.to_record(), "dry_run": asked.dry_run},
        json,
        lambda: [("would be: " if asked.dry_run else "") + _line(copied)],
    )


@with_options
def tables_pull(asked: PullOptions, url: UrlArgument, json: options.JsonOption = False) -> None:
    """Copy tables from a shared store and check each; if the store cannot be reached, from the cache."""
    pulled = pull_tables(url, asked)
    if pulled.offline:
        note(f"from the cache, last seen in {pulled.url} {_ago(pulled.age_s or 0.0)} ago ({pulled.reason})")
    print_result(pulled.to_record(), json, lambda: [_line(copied) for copied in pulled.tables])


def _line(copied: CopyResult) -> str:
    entry = copied.entry
    return (
        f"{copied.place}: {copied.state}, {entry.entries} operators, {entry.cpu_model}, rows {entry.rows_sha256[:12]}"
    )


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
