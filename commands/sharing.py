"""`tables publish | push | pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.commands import options
from latlas.commands.output import note, print_result
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.sharing.publish import CopyResult

UrlArgument = Annotated[
    str,
    typer.Argument(help="Root of the shared tables: a folder, or a URL that fsspec knows, such as s3, gs, az or http."),
]


def tables_publish(
    path: Annotated[Path | None, typer.Argument(help="The table. Leave it out with --check.", metavar="TABLE")] = None,
    tables_dir: Annotated[Path, typer.Option(help="Folder of published tables.")] = Path("tables"),
    force: options.ForceOption = False,
    imported: Annotated[
        bool, typer.Option("--imported", help="Publish a table of others' data; its licence must allow it.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only compare the folder's tables with its indexes; exit code 1 if they differ."),
    ] = False,
    json: options.JsonOption = False,
) -> None:
    """Put a table into the folder of published tables, and bring its two indexes up to date."""
    from latlas.latency.sharing.publish import check_published, entries_of, publish

    if check == (path is not None):
        raise UsageError("name the table to publish, or --check the folder; one of the two")
    if path is None:
        problems = check_published(tables_dir)
        count = 0 if problems else len(entries_of(tables_dir))
        print_result(
            {"folder": str(tables_dir), "tables": None if problems else count, "problems": problems},
            json,
            lambda: problems or [f"{tables_dir}: {count} tables, as its indexes say"],
        )
        if problems:
            raise typer.Exit(1)
        return
    copied = publish(path, tables_dir, force=force, imported=imported)
    print_result(_record(copied), json, lambda: [_line(copied)])


def tables_push(
    path: Annotated[Path, typer.Argument(help="The table.", metavar="TABLE")],
    url: UrlArgument,
    force: options.ForceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and say what would be done.")] = False,
    json: options.JsonOption = False,
) -> None:
    """Put a table into a shared store. It uses the credentials of the store's own tools, such as AWS_PROFILE."""
    from latlas.latency.sharing.push import push

    copied = push(path, url, force=force, dry_run=dry_run)
    print_result(
        {**_record(copied), "dry_run": dry_run}, json, lambda: [("would be: " if dry_run else "") + _line(copied)]
    )


def tables_pull(
    url: UrlArgument,
    cpu: Annotated[
        str,
        typer.Option(help="CPU of the wanted tables, by name or folder name; `any` for all. Default: this one."),
    ] = "",
    space: Annotated[str, typer.Option("--space", help="Only tables of this search space.")] = "",
    precision: Annotated[str, typer.Option("--precision", help="Only tables of this precision.")] = "",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Only tables of this many threads.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables, each under its name.")] = Path("tables"),
    force: options.ForceOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only the cache.")] = False,
    json: options.JsonOption = False,
) -> None:
    """Copy tables from a shared store and check each; if the store cannot be reached, from the cache."""
    from latlas.latency.machine.environment import cpu_model
    from latlas.latency.sharing.pull import pull
    from latlas.latency.sharing.push import Selection, device_of

    wanted = Selection(device_of(cpu or cpu_model()), _space_text(space) or None, precision or None, threads)
    pulled = pull(url, out, wanted, force=force, offline=offline)
    if pulled.offline:
        note(f"from the cache, last seen in {pulled.url} {_ago(pulled.age_s or 0.0)} ago ({pulled.reason})")
    record = {
        "url": pulled.url,
        "offline": pulled.offline,
        "age_s": pulled.age_s,
        "tables": [_record(copied) for copied in pulled.tables],
    }
    print_result(record, json, lambda: [_line(copied) for copied in pulled.tables])


def _space_text(text: str) -> str:
    """The space's own text, so that `portrait:resolution=192` is found; for an unknown space the given text."""
    from latlas.errors import UnknownSpaceError

    try:
        return options.space_of(text, "").text if text else ""
    except UnknownSpaceError:
        return text


def _record(copied: CopyResult) -> dict[str, object]:
    return {"table": copied.place, "state": copied.state, **copied.entry.to_record()}


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
