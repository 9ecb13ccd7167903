"""`tables in-network` adds in-network latencies to a table of isolated ones."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.api.in_network import InNetworkOptions, add_in_network
from latlas.api.keywords import keywords
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, shown, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.latency.table.place import require_table

if TYPE_CHECKING:
    from latlas.latency.table.table import Table


@with_options
def tables_in_network(
    asked: InNetworkOptions,
    table: Annotated[Path, typer.Argument(help="A table of this machine; it states space, precision and threads.")],
    json: options.JsonOption = False,
) -> None:
    """Measure designed subnets, and add to each operator's row what it adds to a network's latency."""
    require_table(table)
    from latlas.latency.machine.trouble import listening

    started = time.monotonic()
    with listening() as troubles, bar_of("measuring subnets") as bar:
        added, figures = add_in_network(table, **keywords(replace(asked, on_note=note, on_progress=bar)))
    record = {"table": str(asked.out or table), **figures, "seconds": time.monotonic() - started, "warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), *side_by_side(added), _summary(record)])


def side_by_side(table: Table) -> list[str]:
    """A line for each operator: isolated, boundary-corrected and in-network milliseconds, the last with a standard error."""
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
