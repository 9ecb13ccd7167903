"""`profile` measures each operator of a space by itself, and gives a latency table."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.api.keywords import with_fields
from latlas.api.setting import Measuring, OnProgress, default_table, tell_nobody
from latlas.distribution import require_torch
from latlas.files.places import require_can_write
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.table.table import Table
    from latlas.spaces.space import SearchSpace


@dataclass(frozen=True, slots=True)
class ProfileOptions(Measuring):
    """The options of `profile`.

    Attributes:
        command: The command that made the table, for its manifest.
        on_progress: See `latlas.api.setting.OnProgress`.
    """

    out: str | Path | None = option(
        None,
        "The table's file. Default: tables/<cpu>/<space>-<precision>-t<threads>.parquet.",
        before=require_can_write,
    )
    _: KW_ONLY
    update: bool = option(False, "Measure only what the table lacks, and add it.")
    force: bool = option(False, "Begin anew: replace what is there, and what was begun.")
    command: str = "latlas.profile"
    on_progress: OnProgress | None = None


@with_fields(ProfileOptions)
def profile(space: SearchSpace, options: ProfileOptions) -> Table:
    """The latency table of a space: the isolated latency in milliseconds of each operator, measured on this machine.

    Operators are measured in turn with a reference network, in many short passes; each row has an interval. A default space has
    94 operators and takes some minutes. The table is written whole or not at all. Finished measurements are in `<out>.journal`:
    after a kill or Ctrl-C the same call goes on.

    Args:
        space: The space; operators of its baselines are measured too.

    Raises:
        UsageError: The file is there already, its name does not end in `.parquet`, or the machine lacks the precision or threads.
        InterruptedRunError: Ctrl-C; `<out>.partial` has the operators that were measured.
        EnvironmentMismatchError: With `update`, the table is from another machine or setting.
        StorageError: The disk is full.

    Example:
        >>> import latlas
        >>> space = latlas.space("portrait:resolution=32,depths=1.1.1.1,widths=8.8.16.16")
        >>> table = latlas.profile(space, "operators.parquet", threads=1, relative_error=0.1)
        >>> len(table) == len(space.specs())
        True
        >>> table.latency_ms(space.specs()[0]) > 0
        True
    """
    require_torch("profile-ops")
    told, out = options.on_progress or tell_nobody, table_file(space, options)
    require_can_write(out)

    from latlas.files.lock import waiting_at_most
    from latlas.latency.measuring import profile as measuring
    from latlas.supernet.operators.timed import timing_operator

    with waiting_at_most(options.lock_timeout):
        return measuring.profile(
            space.specs(),
            timing_operator,
            out,
            options.setting(),
            space=space.text,
            command=options.command,
            force=options.force,
            update=options.update,
            on_convert=lambda done, total: told(done, total, "", None, "converting operators"),
            on_progress=lambda p: told(p.done, p.total, p.label, p.eta_seconds, p.phase),
        )


def table_file(space: SearchSpace, options: ProfileOptions) -> Path:
    """The path of the table with these options."""
    if options.out is not None:
        return Path(options.out)
    return default_table(space, options.precision, options.threads, options.batch)
