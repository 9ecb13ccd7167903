"""`fit_predictor` measures subnets of a space and learns from them the latency of all its networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.keywords import with_fields
from latlas.api.setting import Measuring, OnNote, OnProgress, tell_nobody
from latlas.distribution import require_torch
from latlas.errors import EnvironmentMismatchError
from latlas.files.journal import begun_by_force, remove_journal
from latlas.files.places import require_can_write
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.fitting.fit import Sample
    from latlas.latency.machine.environment import Environment
    from latlas.latency.measuring.profile import Setting
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.latency.table.table import Table
    from latlas.spaces.space import SearchSpace

CHOICES = ("informative", "random")
TEST = 50
"""The number of subnets that are tested on by default."""


@dataclass(frozen=True, slots=True)
class FitOptions(Measuring):
    """The options of `fit_predictor`.

    Attributes:
        table: Isolated latencies of the space's operators; with None it learns from the graphs alone.
        on_note, on_progress: See `latlas.api.setting`.
    """

    table: Table | None = None
    _: KW_ONLY
    subnets: int = option(150, "Measured subnets to learn from.", at_least=10)
    choice: str = option("informative", "Which subnets to learn from: informative or random.", choices=CHOICES)
    test: int | None = option(
        None,
        "Other networks, for the figures alone. Default: 50, or all that are left of --samples.",
        at_least=1,
    )
    out: str | Path | None = option(
        Path("predictor"),
        "Folder of the predictor.",
        metavar="FOLDER",
        read=Path,
        shown="predictor",
        before=require_can_write,
    )
    force: bool = option(False, "Begin anew: replace what is there, and what was begun.")
    on_note: OnNote | None = None
    on_progress: OnProgress | None = None


@with_fields(FitOptions)
def fit_predictor(space: SearchSpace, options: FitOptions) -> SavedPredictor:
    """A predictor for the space's networks on this machine. It measures subnets and learns from them.

    The figures come from further subnets: `predictor.figures["mape"]` is the mean relative error, `["noise_floor"]` the error of
    a second measurement. The predictor is written to the folder `out`, or nowhere if that is None. After a kill or Ctrl-C the
    same call goes on from `<out>.journal`.

    Args:
        space: The space. By default 200 of its architectures are measured, each for some seconds.

    Raises:
        UsageError: The folder is there already, or an option is not possible.
        EnvironmentMismatchError: The table is from another machine, precision, number of threads or batch.
        MissingEntryError: The table lacks an operator of the space.
        InterruptedRunError: Ctrl-C.

    Example:
        >>> import latlas
        >>> space = latlas.space("portrait:resolution=32,depths=1.1.1.1,widths=8.8.16.16")
        >>> predictor = latlas.fit_predictor(space, subnets=10, test=3, out="own", relative_error=0.2)
        >>> predictor.figures["train"], predictor.figures["test"]
        (10, 3)
        >>> latlas.load_predictor("own").space == space
        True
    """
    require_torch("fit-predictor")

    from latlas.files.lock import waiting_at_most
    from latlas.latency.fitting import fit
    from latlas.latency.predictor.predictor_file import save_predictor

    started = time.monotonic()
    out = Path(options.out) if options.out is not None else None
    replaces = options.force
    if out is not None:
        if options.force:
            remove_journal(journal_of(out))
        replaces = options.force or begun_by_force(journal_of(out))
        require_predictors_place(out, replaces)
    table, setting = options.table, options.setting()
    if table is not None:
        _require_fits(table, space, options, setting)
    cost_of = table.latency_ms if table is not None else None
    count = TEST if options.test is None else options.test
    learn, held_out = fit.subnets_to_measure(space, options.subnets, count, options.seed, options.choice, cost_of)
    with waiting_at_most(options.lock_timeout), _journal(out) as journal:
        measured, environment = _measured([*learn, *held_out], space, options, setting, journal)
        tested = set(held_out)
        saved = fit.fit_predictor(
            space,
            table,
            [one for one in measured if one.architecture not in tested],
            [one for one in measured if one.architecture in tested],
            environment,
        )
        saved.figures["choice"] = options.choice
        saved.figures["seconds"] = time.monotonic() - started
        if out is not None:
            save_predictor(out, saved, overwrite=replaces)
        journal.unlink(missing_ok=True)
    return saved


def require_predictors_place(out: Path, force: bool) -> None:
    """Raises `UsageError` if the predictor's folder may not be written; called before anything is measured."""
    from latlas.api.setting import require_new
    from latlas.latency.predictor.predictor_file import check_replaceable

    require_new(out, force)
    check_replaceable(out)


def _require_fits(table: Table, space: SearchSpace, options: FitOptions, setting: Setting) -> None:
    """Raises if the table does not fit this machine and these options; called before an hour of measuring."""
    from latlas.latency.machine.environment import require_same

    environment = table.manifest.environment
    for name in ("precision", "threads", "batch"):
        its, asked = getattr(environment, name), getattr(options, name)
        if its != asked:
            raise EnvironmentMismatchError(f"table {table.name} is of {name} {its}, asked for {asked}; give the same")
    with setting.bench() as bench:
        here = setting.environment(bench, 1.0)
        require_same(environment, here, f"learn with table {table.name} on this machine", but=("reference_id",))
    for spec in (node.spec for architecture in space.cover() for node in architecture.graph()):
        table.latency_ms(spec)


def _measured(
    architectures: list[Any], space: SearchSpace, options: FitOptions, setting: Setting, journal: Path
) -> tuple[list[Sample], Environment]:
    from latlas.latency.fitting.fit import collect_these
    from latlas.supernet.operators.timed import timing_operator

    told = options.on_progress or tell_nobody
    return collect_these(
        architectures,
        {"space": space.text},
        setting,
        journal,
        build_module=timing_operator,
        replaces=options.force,
        on_note=options.on_note,
        on_progress=lambda p: told(p.done, p.total, "", p.eta_seconds, ""),
    )


def journal_of(out: Path) -> Path:
    """The path of the measurements of a run for the predictor `out`."""
    return out.with_name(out.name + ".journal")


@contextmanager
def _journal(out: Path | None) -> Iterator[Path]:
    """The path of a run's measurements: beside the predictor, or in a temporary folder."""
    from latlas.files.scratch import scratch_folder

    if out is not None:
        yield journal_of(out)
        return
    with scratch_folder() as folder:
        yield folder / "journal"
