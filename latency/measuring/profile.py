"""`profile-ops`: measures every operator of a space in isolation and writes a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from latlas.errors import InterruptedRunError, LatlasError, StorageError, UsageError
from latlas.files import signals as interrupt
from latlas.files.journal import Journal, begun_by_force, goes_on, remove_journal
from latlas.files.lock import timing_lock
from latlas.files.scratch import scratch_folder
from latlas.files.signals import stoppable
from latlas.files.write import remove_leftovers
from latlas.latency.machine.environment import Environment, detect, machine_state, require_same
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, Network
from latlas.latency.measuring.boundary import measure_inner_shares
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.stopwatch import StopRule
from latlas.latency.measuring.time_left import Progress
from latlas.latency.runtime.reference import reference_of
from latlas.latency.table.merge import merge
from latlas.latency.table.table import Manifest, Row, Table
from latlas.spaces.operators.spec import OpSpec

if TYPE_CHECKING:
    from torch import nn

    from latlas.latency.runtime.conversion import OperatorLibrary

BuildModule: TypeAlias = "Callable[[OpSpec], nn.Module]"
"""Builds the torch module of an operator, in evaluation mode and with weights fit for timing."""


def partial_path(out: Path) -> Path:
    """Where an interrupted run leaves the part of `out` that it has; the pattern `*.parquet` does not find it."""
    return Path(f"{out}.partial")


@contextmanager
def saved_on_stop(journal: Journal, out: Path, wanted: int, so_far: Callable[[], Table | None]) -> Iterator[None]:
    """On `KeyboardInterrupt`, write the table so far and raise `InterruptedRunError`; without one, delete such a table.

    `so_far` makes the table from the journal's records, or returns None if there are none. `wanted` is how many rows the
    finished table will have.
    """
    partial = partial_path(out)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(_left(journal, partial, wanted, so_far)) from None
    partial.unlink(missing_ok=True)


def _left(journal: Journal, partial: Path, wanted: int, so_far: Callable[[], Table | None]) -> str:
    go_on = goes_on(journal.path)
    try:
        table = so_far()
        if table is None:
            return f"stopped before any of {wanted} operators was measured; {go_on}"
        table.write(partial, overwrite=True)
    except (LatlasError, OSError) as error:  # for example a full disk; the journal still has everything
        return f"stopped; {go_on} (what it has so far could not be written: {error})"
    done = sum(row.status == "ok" for row in table)
    return f"stopped with {len(table)} of {wanted} operators in {partial}, {done} of them done; {go_on}"


@dataclass(frozen=True, slots=True)
class Setting:
    """How networks are compiled and timed; the same for a table, its predictor and a search."""

    precision: str = "f32"
    threads: int = 1
    streams: int = 1
    batch: int = 1
    passes: int = 6
    max_passes: int = 24
    seed: int = 0
    rule: StopRule = field(default_factory=StopRule)

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise UsageError(f"batch is {self.batch}; it must be at least 1")

    def library(self, folder: Path, build_module: BuildModule) -> OperatorLibrary:
        """The operators at this precision and batch, kept in a folder."""
        from latlas.latency.runtime.conversion import OperatorLibrary

        return OperatorLibrary(folder, build_module, self.precision, self.batch)

    @property
    def careful_passes(self) -> int:
        """Passes of a network that decides something (baseline, finalist): twice `passes`, at most `max_passes`."""
        return min(2 * self.passes, self.max_passes)

    def bench(self, reference: str = "network") -> Bench:
        """A bench of this setting, against one of the references."""
        return Bench(
            precision=self.precision, threads=self.threads, streams=self.streams, reference=reference, rule=self.rule
        )

    def environment(self, bench: Bench, reference_ms: float | None) -> Environment:
        """The environment of the latencies that the bench measured."""
        return self.environment_of(bench.openvino_version, bench.reference_id, reference_ms)

    def key(self, reference: str = "network") -> dict[str, str | int | None]:
        """The key fields of the environment that a bench here would measure in; a journal belongs to them."""
        from latlas.latency.runtime.plugin import openvino_version

        return self.environment_of(openvino_version(), reference_of(reference).id, 1.0).key()

    def place(self) -> dict[str, str]:
        """Which part of the machine a measurement would use now, as `Environment.place`."""
        return self.environment_of("0", "none", 1.0).place()

    def environment_of(self, openvino_version: str, reference_id: str, reference_ms: float | None) -> Environment:
        """The environment of a measurement here; without the reference's latency nothing was measured yet."""
        from latlas.latency.runtime.plugin import openvino_build

        return detect(
            threads=self.threads,
            streams=self.streams,
            precision=self.precision,
            batch=self.batch,
            openvino_version=openvino_version,
            reference_id=reference_id,
            reference_ms=reference_ms,
            openvino_build=openvino_build(),
        )


def profile(
    specs: Sequence[OpSpec],
    build_module: BuildModule,
    out: Path,
    setting: Setting,
    *,
    space: str,
    command: str,
    force: bool = False,
    update: bool = False,
    on_convert: Callable[[int, int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Table:
    """Measure each operator, write the table to `out` and return it.

    An operator that cannot be built or timed becomes a row of status `failed` with the reason. Finished work is kept in
    `<out>.journal`; after a kill, the same call continues from there. An interrupted run also writes the table so far to
    `<out>.partial` and raises `InterruptedRunError`. With `update`, only operators that the table at `out` lacks are measured,
    and added to it. `force` replaces what is there and begins anew; if such a run is stopped, it continues without `force`.
    Raises `UsageError` if `out` exists and neither `force` nor `update` is given, and `StorageError` if the disk is full.
    """
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: a table's name ends in .parquet")
    journal_path = Path(f"{out}.journal")
    if force:
        remove_journal(journal_path)
    if not journal_path.exists():
        _require_free(out, force or update)
    replaceable = force or update or begun_by_force(journal_path)
    existing = Table.read(out) if update and out.exists() else None
    wanted = [spec for spec in specs if existing is None or spec not in existing]
    if existing is not None and not wanted:
        return existing
    header = {
        "space": space,
        "specs": len(wanted),
        "setting": asdict(setting),
        "operators": _digest(wanted),
        "environment": setting.key("operator") | setting.place(),
    }

    def so_far() -> Table | None:
        return _so_far(wanted, journal, setting, space, command)

    with (
        stoppable(),
        Journal(journal_path, header, replaces=force) as journal,
        saved_on_stop(journal, out, len(wanted), so_far),
        timing_lock(),  # converting takes all cores and would disturb another measurement
        scratch_folder() as folder,
    ):
        for path in (out, partial_path(out)):
            remove_leftovers(path)
        if out.exists() and not replaceable:
            return _written_before(out, journal, wanted, command)
        library = setting.library(folder, build_module)
        networks: list[Network] = []
        unbuilt: dict[OpSpec, str] = {}
        for index, spec in enumerate(wanted):
            interrupt.check()
            if on_convert is not None:
                on_convert(index, len(wanted))
            try:
                networks.append(Network(str(spec), file=str(library.path(spec))))
            except StorageError:
                raise
            except (LatlasError, RuntimeError) as error:
                interrupt.check()  # torch may have made a second Ctrl-C an error of its own
                unbuilt[spec] = f"cannot be converted: {error}"
        with setting.bench("operator") as bench:
            before = setting.environment(bench, 1.0)
            if existing is not None:
                require_same(existing.manifest.environment, before, f"add to {out} what is measured here")
            found = campaign.measure_all(
                bench,
                networks,
                passes=setting.passes,
                max_passes=setting.max_passes,
                seed=setting.seed,
                journal=journal,
                on_progress=on_progress,
            )
            timed = [network for network in networks if found[network.label].passes]
            shares = measure_inner_shares(bench, timed, journal, on_progress)
            measured = list(found.values())
            environment = setting.environment(bench, campaign.reference_ms(measured))
        began = replace(environment, started_at=before.started_at, state=before.state)
        manifest = _manifest(began, space, command, setting, measured)
        reference = environment.session_reference_ms
        rows = tuple(
            Row.failed(spec, unbuilt[spec])
            if spec in unbuilt
            else row_of(spec, found[str(spec)], reference, setting.rule, shares.get(str(spec)))
            for spec in wanted
        )
        table = Table(rows, manifest, out)
        if existing is not None:
            table = replace(merge((existing, table)), path=out)
        try:
            table.write(out, overwrite=replaceable)
        except (UsageError, StorageError) as error:
            raise StorageError(f"{error}; all is measured, and {goes_on(journal.path)}") from None
        journal.finish()
    return table


def _require_free(out: Path, replaceable: bool) -> None:
    if out.exists() and not replaceable:
        raise UsageError(f"{out} exists already; choose another path, --update to add to it, or --force to replace it")


def _written_before(out: Path, journal: Journal, wanted: Sequence[OpSpec], command: str) -> Table:
    """The table of this run, if it was killed between its last two steps; raises `UsageError` for the table of another run."""
    if not journal.records:  # the run that held the journal before this one has just written the table
        journal.finish()
        _require_free(out, False)
    table = Table.read(out)
    if table.manifest.command != command or {row.spec for row in table} != set(wanted):
        _require_free(out, False)
    journal.finish()
    return table


def _so_far(wanted: Sequence[OpSpec], journal: Journal, setting: Setting, space: str, command: str) -> Table | None:
    """A table of the journal's records; a row with too few passes is `noisy`. None if the journal is empty."""
    from latlas.latency.runtime.plugin import openvino_version

    found = campaign.restored([str(spec) for spec in wanted], journal.reread(), setting.rule, str(journal.path))
    measured = [one for one in found.values() if one.passes]
    if not measured:
        return None
    reference_ms = campaign.reference_ms(measured)
    environment = setting.environment_of(openvino_version(), reference_of("operator").id, reference_ms)
    rows = []
    for spec in wanted:
        one = found[str(spec)]
        if one.passes or one.reason:
            row = row_of(spec, one, reference_ms, setting.rule)
            short = row.status == "ok" and len(one.pass_ratios()) < setting.passes
            rows.append(replace(row, status="noisy") if short else row)
    return Table(tuple(rows), _manifest(environment, space, command, setting, measured))


def _manifest(
    environment: Environment, space: str, command: str, setting: Setting, measured: Sequence[Measured]
) -> Manifest:
    floor = campaign.noise_floor(measured)
    return Manifest(
        environment=environment,
        reference=reference_of("operator").definition,
        space=space,
        command=command,
        seed=setting.seed,
        noise_floor=floor if np.isfinite(floor) else None,
        end_state=machine_state(),
    )


def row_of(
    spec: OpSpec, measured: Measured, reference_ms: float, rule: StopRule, inner_share: float | None = None
) -> Row:
    """The table row of a measured operator; `inner_share` is the operator's own share of its latency, if it is known."""
    if not measured.passes:
        return Row.failed(spec, measured.reason or "not measured")
    reading = measured.reading(rule)
    p10, p50, p90 = (float(value) for value in np.percentile(measured.times_ms(), (10, 50, 90)))
    return Row(
        spec=spec,
        latency_ms=reading.ratio * reference_ms,
        lower_ms=reading.lower * reference_ms,
        upper_ms=reading.upper * reference_ms,
        ratio=reading.ratio,
        ratio_lower=reading.lower,
        ratio_upper=reading.upper,
        rounds=reading.rounds,
        discarded=reading.discarded,
        passes=reading.passes,
        p10_ms=p10,
        p50_ms=p50,
        p90_ms=p90,
        status=reading.status,
        boundary_ms=None if inner_share is None else reading.ratio * reference_ms * inner_share,
    )


def _digest(specs: Sequence[OpSpec]) -> str:
    if len({str(spec) for spec in specs}) != len(specs):
        raise LatlasError("two different operators have the same description; report this")
    return hashlib.sha256("\n".join(sorted(str(spec) for spec in specs)).encode()).hexdigest()[:16]
