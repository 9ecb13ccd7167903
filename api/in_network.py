"""`add_in_network` measures how much each operator of a table adds to a network's latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.keywords import with_fields
from latlas.api.setting import Care, OnNote, OnProgress, require_new, setting_of, tell_nobody
from latlas.errors import UsageError
from latlas.files.journal import begun_by_force, remove_journal
from latlas.files.places import require_can_write
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.table.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class InNetworkOptions(Care):
    """The options of `add_in_network`.

    Attributes:
        on_note, on_progress: See `latlas.api.setting`.
    """

    subnets: int = option(100, "Subnets to measure, baselines among them.", at_least=10)
    out: str | Path | None = option(
        None,
        "Table to write. Default: the same file.",
        metavar="FILE",
        before=require_can_write,
        read=lambda text: Path(text) if text else None,
    )
    force: bool = option(False, "Begin anew: replace what is there, and what was begun.")
    on_note: OnNote | None = None
    on_progress: OnProgress | None = None


@with_fields(InNetworkOptions)
def add_in_network(path: str | Path, options: InNetworkOptions) -> tuple[Table, dict[str, Any]]:
    """The table with the latency that each operator adds to a network, and figures on how exact such sums are.

    It measures designed subnets of the table's space end to end on this machine, and writes the table to `out`.

    Args:
        path: A table of this machine; it states space, precision and threads.

    Raises:
        UsageError: The file is there already, or has in-network latencies, or is of several spaces.
        EnvironmentMismatchError: The table is of another machine.
        InterruptedRunError: Ctrl-C; the same call goes on.
    """
    from latlas.files.lock import waiting_at_most
    from latlas.latency.fitting import in_network
    from latlas.latency.table.table import Table
    from latlas.spaces.text import parse_space
    from latlas.supernet.operators.timed import timing_operator

    isolated, target = Table.read(path), written_to(path, options)
    journal = journal_of(target)
    replaces = options.force or begun_by_force(journal)
    if not replaces and options.out is None and isolated.manifest.in_network is not None:
        raise UsageError(f"{path} has in-network latencies already; --force to replace them, or --out for another file")
    environment = isolated.manifest.environment
    setting = setting_of(environment.precision or "", environment.threads or 1, options.relative_error, options.seed)
    if options.force:
        remove_journal(journal)
    told = options.on_progress or tell_nobody
    with waiting_at_most(options.lock_timeout):
        added, figures = in_network.add_in_network(
            isolated,
            parse_space(isolated.manifest.only_space("the table")),
            options.subnets,
            setting,
            journal,
            build_module=timing_operator,
            replaces=options.force,
            on_note=options.on_note,
            on_progress=lambda p: told(p.done, p.total, "", p.eta_seconds, ""),
        )
    added.write(target, overwrite=replaces or options.out is None)
    journal.unlink(missing_ok=True)
    return added, figures


def written_to(path: str | Path, options: InNetworkOptions) -> Path:
    """The path of the new table; raises `UsageError` if it may not be written."""
    target = Path(options.out or path)
    if target.suffix != ".parquet":
        raise UsageError(f"{target}: a table's name ends in .parquet")
    if options.out is not None:
        require_new(target, options.force or begun_by_force(journal_of(target)))
    return target


def journal_of(target: Path) -> Path:
    """The path of the measurements of a run for a table."""
    return target.with_name(target.name + ".in-network.journal")
