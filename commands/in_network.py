"""`tables in-network`: in-network latency beside the isolated one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, shown, trouble_lines
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.machine.trouble import listening
    from latlas.latency.table.table import Table


def tables_in_network(
    table: Annotated[Path, typer.Argument(help="A table of this machine; it says space, precision and threads.")],
    subnets: Annotated[int, typer.Option(help="Subnets to measure, baselines among them.", min=10)] = 100,
    out: Annotated[Path | None, typer.Option(help="Table to write; default the same file.")] = None,
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    force: options.ForceOption = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Measure designed subnets, and add to each operator's row what it adds to a network's latency."""
    from latlas.latency.fitting.in_network import add_in_network
    from latlas.latency.table.table import Table
    from latlas.supernet.operators.timed import timing_operator

    started = time.monotonic()
    isolated = Table.read(table)
    target = out or table
    if target.suffix != ".parquet":
        raise UsageError(f"{target}: a table's name ends in .parquet")
    if not force and out is not None and out.exists():
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    if not force and out is None and isolated.manifest.in_network is not None:
        raise UsageError(
            f"{table} has in-network latencies already; --force to replace them, or --out for another file"
        )
    environment = isolated.manifest.environment
    setting = options.setting_of(environment.precision or "", environment.threads or 1, relative_error, seed)
    journal = target.with_name(target.name + ".in-network.journal")
    with listening() as troubles, bar_of("measuring subnets") as bar:
        added, figures = add_in_network(
            isolated,
            options.space_of(isolated.manifest.only_space("the table"), ""),
            subnets,
            setting,
            journal,
            build_module=timing_operator,
            on_note=note,
            on_progress=lambda p: bar(p.done, p.total, "", p.eta_seconds),
        )
    added.write(target, overwrite=force or out is None)
    journal.unlink(missing_ok=True)
    record = {"table": str(target), **figures, "seconds": time.monotonic() - started, "warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), *side_by_side(added), _summary(record)])


def side_by_side(table: Table) -> list[str]:
    """A line an operator: isolated, boundary-corrected and in-network milliseconds, the last with its standard error."""
    lines = [f"{'isolated':>9} {'boundary':>9} {'in-network':>18}  ms"]
    for row in table:
        if row.latency_ms is None:
            continue
        network = "" if row.in_network_ms is None else f"{row.in_network_ms:.4f} +-{row.in_network_se_ms:.4f}"
        boundary = "" if row.boundary_ms is None else f"{row.boundary_ms:.4f}"
        lines.append(f"{row.latency_ms:9.4f} {boundary:>9} {network:>18}  {row.spec}")
    return lines


def _summary(record: dict[str, Any]) -> str:
    mape = record["mape"]
    return (
        f"{record['table']}: {record['operators']} operators from {record['subnets']} subnets in {record['seconds']:.0f} s; "
        f"mean error of the plain sum: isolated {shown(mape['isolated'], 100, 1)} %, "
        f"boundary-corrected {shown(mape['boundary'], 100, 1)} %, "
        f"in-network {shown(mape['in_network'], 100, 2)} % (each subnet left out in turn)"
    )
