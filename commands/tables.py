"""`tables list | show | validate | diff | merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.commands import options
from latlas.commands.output import print_result, shown
from latlas.latency.errors import LatlasError, UsageError

if TYPE_CHECKING:
    from latlas.latency.table import Table


def tables_list(
    folder: Annotated[Path, typer.Argument(help="Folder of tables.")] = Path("tables"), json: options.JsonOption = False
) -> None:
    """List the tables below a folder."""
    from latlas.latency.table import Table

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    records = []
    for path in sorted(folder.rglob("*.parquet")):
        table = Table.read(path)
        environment = table.manifest.environment
        records.append({"table": str(path), "space": table.manifest.space, "entries": len(table), **environment.key()})
    print_result(
        records,
        json,
        lambda: [f"{r['table']}: {r['space']}, {r['entries']} operators, {r['cpu_model']}" for r in records],
    )


def tables_show(path: Annotated[Path, typer.Argument()], json: options.JsonOption = False) -> None:
    """Show a table: where it comes from, and its rows."""
    from latlas.latency.table import Table

    table = Table.read(path)
    manifest = table.manifest.to_dict()
    rows = [row.to_dict() for row in table]
    print_result({"manifest": manifest, "rows": rows}, json, lambda: _table_lines(table))


def tables_validate(paths: Annotated[list[Path], typer.Argument()], json: options.JsonOption = False) -> None:
    """Check tables from top to bottom, each of them; exit code 3 where one is broken."""
    from latlas.latency.table import Table

    records: list[dict[str, object]] = []
    worst: LatlasError | None = None
    for path in paths:
        try:
            records.append({"table": str(path), "entries": len(Table.read(path)), "valid": True, "reason": ""})
        except LatlasError as error:
            if len(paths) == 1:
                raise
            records.append({"table": str(path), "entries": None, "valid": False, "reason": str(error)})
            if worst is None or error.exit_code > worst.exit_code:
                worst = error
    print_result(
        records,
        json,
        lambda: [
            f"{r['table']}: valid, {r['entries']} operators" if r["valid"] else f"not valid: {r['reason']}"
            for r in records
        ],
    )
    if worst is not None:
        broken = [str(record["table"]) for record in records if not record["valid"]]
        raise type(worst)(f"{len(broken)} of {len(paths)} tables not valid: {', '.join(broken)}")


def tables_diff(
    before: Annotated[Path, typer.Argument()],
    after: Annotated[Path, typer.Argument()],
    json: options.JsonOption = False,
) -> None:
    """Operators that changed beyond both intervals, largest first; exit code 1 where there are any."""
    from latlas.latency.table import Table, diff

    changes = diff(Table.read(before), Table.read(after))
    records = [{"operator": str(change.spec), "ratio": change.ratio} for change in changes]
    print_result(
        records, json, lambda: [f"{r['ratio']:.3f} x  {r['operator']}" for r in records] or ["no operator changed"]
    )
    if changes:
        raise typer.Exit(1)


def tables_merge(
    paths: Annotated[list[Path], typer.Argument()],
    out: Annotated[Path, typer.Option(help="The joined table.")],
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Join tables of one environment; rows are kept as they are, and those that disagree are an error."""
    from latlas.latency.table import Table

    merged = Table.read(paths[0])
    for path in paths[1:]:
        merged = merged.merged(Table.read(path))
    merged.write(out, overwrite=force)
    record = {"table": str(out), "entries": len(merged)}
    print_result(record, json, lambda: [f"{out}: {len(merged)} operators"])


def _table_lines(table: Table) -> list[str]:
    manifest = table.manifest
    environment = manifest.environment
    lines = [
        f"{table.name}: {manifest.space}, {len(table)} operators, noise floor {shown(manifest.noise_floor, 100, 2)} %",
        f"{environment.cpu_model}, OpenVINO {environment.openvino_version}, {environment.precision}, "
        f"{environment.threads or 'unknown'} thread(s), reference {shown(environment.reference_ms, 1, 4)} ms, "
        f"{manifest.created_at}",
    ]
    if manifest.origin == "imported":
        lines.append(f"imported, not measured by Latlas: {manifest.source}")
        lines.append(f"unknown of its environment: {', '.join(environment.unknown)}")
    for row in table:
        if row.latency_ms is None:
            lines.append(f"{'failed':>10}  {row.spec}: {row.reason}")
        else:
            noisy = " noisy" if row.status == "noisy" else ""
            error = "unknown" if row.ratio is None else f"{100 * row.relative_error:4.1f} %"
            lines.append(f"{row.latency_ms:7.4f} ms +-{error}{noisy}  {row.spec}")
    return lines
