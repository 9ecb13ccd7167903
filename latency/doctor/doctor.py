"""`doctor`: says whether this machine can measure now, what stands in the way, and what a measurement will cost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latlas.files import lock
from latlas.latency.doctor.self_test import Cost, SelfTest, estimate_cost, self_test
from latlas.latency.machine import system
from latlas.latency.machine.checks import OK, PROBLEM, UNKNOWN, WARNING, Check, MachineReport, state_checks
from latlas.latency.machine.load import SAMPLE_SECONDS, StealMeter, other_load
from latlas.latency.machine.power import power
from latlas.latency.machine.run_conditions import RunConditions, Watch, run_condition_checks
from latlas.latency.machine.state import allowed_cpus, machine_state
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.time_left import Progress
from latlas.latency.precisions import PRECISIONS
from latlas.latency.runtime.reference import reference_of

FLOOR_WARNING, FLOOR_PROBLEM = 1.0, 2.0
"""Limits on the difference of two readings, in multiples of the asked error: above the first a table is worth less than
asked, above the second it is not worth keeping."""
BUSY_WARNING = 0.5
DRIFT_WARNING = 0.05
"""Relative change of the reference's latency over the run that gives a warning."""
MET_WARNING = 0.9
QUICK_SECONDS = 0.5
SUBNETS = 200
"""How many networks `fit-predictor` measures by default."""


def inspect_machine(precisions: tuple[str, ...], folder: Path, seconds: float, root: Path = Path("/")) -> MachineReport:
    """What is seen of this machine in `seconds`, without measuring.

    `precisions` are the precisions that the CPU has, according to OpenVINO. `folder` is where a journal would be written.
    `root` is the root of another machine, for tests.
    """
    holder, steal = lock.holder(), StealMeter(root)
    load = other_load(seconds)
    try:
        free_bytes: int | None = shutil.disk_usage(folder).free
    except OSError:
        free_bytes = None
    return MachineReport(
        state=machine_state(root),
        flags=frozenset(system.cpu_flags(system.cpuinfo(root))),
        load=load,
        steal_share=steal.read(),
        holder=holder,
        free_bytes=free_bytes,
        supported=precisions,
        power=power(root, allowed_cpus() if root == Path("/") else None),
    )


def diagnose(
    setting: Setting,
    *,
    passes: int = 36,
    operators: int,
    subnets: int = SUBNETS,
    quick: bool = False,
    folder: Path = Path(),
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """A record of the machine's state, A/A runs of both references, what a measurement will cost, and a verdict.

    Args:
        setting: how a measurement would compile and time.
        passes: passes of each A/A run.
        operators: how many operators of the space would be profiled.
        subnets: how many networks a predictor would learn from and be tested on.
        quick: look at the state only, which takes two seconds.
        folder: where a measurement would write.
        on_progress: called before each pass.

    Returns:
        `verdict` is `ok`, `ok, with warnings` or `not now`; `checks` are all `Check`s as records. Fields that need an A/A run
        are None if there was none: with `quick`, or with a problem that forbids it.
    """
    from latlas.latency.runtime.plugin import openvino_version, supported_precisions

    started = time.monotonic()
    supported = tuple(supported_precisions())
    report = inspect_machine(supported, folder, QUICK_SECONDS if quick else SAMPLE_SECONDS)
    checks = state_checks(report, setting.threads, setting.precision)
    # Measuring beside another measurement would spoil the other, and a precision that the CPU lacks cannot be measured.
    barred = any(check.status == PROBLEM for check in checks if check.name in ("timing_lock", "precision", "affinity"))
    runs: dict[str, SelfTest] = {}
    costs: dict[str, Cost] = {}
    conditions = RunConditions()
    if not quick and not barred:
        runs, conditions = _run(setting, passes, on_progress)
        costs = {
            "operators": estimate_cost(runs["operator"], setting, operators, repeat_noisy=True),
            "subnets": estimate_cost(runs["network"], setting, subnets, repeat_noisy=False),
        }
        checks += run_checks(runs, costs, conditions, report.state.affinity_cpus, setting)
    network = runs.get("network")
    reference_ms = network.reference_ms if network else None
    ended = setting.environment_of(openvino_version(), reference_of("network").id, reference_ms)
    return {
        "verdict": verdict(checks),
        "warnings": [check.line for check in checks if check.status in (WARNING, PROBLEM)],
        "unknown": [check.name for check in checks if check.status == UNKNOWN],
        "checks": [asdict(check) for check in checks],
        "quick": quick,
        "noise_floor": network.noise_floor if network else None,
        "reference_ms": reference_ms,
        "busy_share": _busy_share(runs),
        "stolen_share": conditions.steal_share if runs else report.steal_share,
        "runs": {name: run.to_record() for name, run in runs.items()},
        "cost": {name: asdict(cost) for name, cost in costs.items()},
        "precisions": list(supported),
        "instructions": {name: report.instructions(name) for name in PRECISIONS},
        "seconds": time.monotonic() - started,
        "environment": replace(ended, state=report.state).to_record(),
        "end_state": asdict(ended.state),
    }


def verdict(checks: list[Check]) -> str:
    """`not now` if a check is a problem, else `ok` or `ok, with warnings`."""
    statuses = {check.status for check in checks}
    return "not now" if PROBLEM in statuses else "ok, with warnings" if WARNING in statuses else "ok"


def _run(
    setting: Setting, passes: int, on_progress: Callable[[Progress], None] | None
) -> tuple[dict[str, SelfTest], RunConditions]:
    """The A/A runs of both references, and what the machine did during them; the host's lock is held throughout."""
    root, cpus = Path("/"), allowed_cpus()
    clocks: list[float] = []

    def watch(progress: Progress) -> None:
        # Read right after a pass, while the kernel still reports the clock of the pass.
        clocks.append(max(system.frequencies_mhz(root, cpus), default=0.0))
        if on_progress is not None:
            on_progress(progress)

    with lock.timing_lock():
        watch_machine = Watch(root)
        runs = {name: self_test(setting, name, passes, watch) for name in ("operator", "network")}
        seen = watch_machine.read([clock for clock in clocks if clock][1:])  # the first is from before any pass
    return runs, seen


def run_checks(
    runs: dict[str, SelfTest], costs: dict[str, Cost], seen: RunConditions, cpus: int | None, setting: Setting
) -> list[Check]:
    """Checks of the A/A runs."""
    checks = [_floor(name, run, setting.rule.relative_half_width) for name, run in runs.items()]
    checks += [_busy(runs), _drift(runs), *run_condition_checks(seen, cpus, setting.threads)]
    return [*checks, *(_cost(name, cost) for name, cost in costs.items())]


def _floor(name: str, run: SelfTest, asked: float) -> Check:
    name, floor, interval = f"noise_floor_{name}", run.noise_floor, run.noise_floor_interval()
    if floor is None or interval is None:
        seen = f"{len(run.passes) - len(run.ratios)} of {len(run.passes)} passes of the {run.reference} reference were busy"
        return Check(name, PROBLEM, None, seen, "a table made now would be noise", "stop other work and try again")
    low, high = (100 * bound for bound in interval)
    seen = f"two readings of the {run.reference} reference differ by {100 * floor:.2f} % [{low:.2f}, {high:.2f}]"
    if floor <= FLOOR_WARNING * asked:
        return Check(name, OK, floor, seen)
    status, meaning = WARNING, f"more than the {100 * asked:g} % that are asked"
    if floor > FLOOR_PROBLEM * asked:
        status, meaning = PROBLEM, f"a table of {100 * asked:g} % made now would not be worth keeping"
    return Check(
        name, status, floor, seen, meaning, "stop other work and try again, or ask for a larger --relative-error"
    )


def _busy_share(runs: dict[str, SelfTest]) -> float | None:
    passes = sum(len(run.passes) for run in runs.values())
    return 1 - sum(len(run.ratios) for run in runs.values()) / passes if passes else None


def _busy(runs: dict[str, SelfTest]) -> Check:
    share = _busy_share(runs) or 0.0
    seen = f"{100 * share:.0f} % of the passes were busy"
    if share <= BUSY_WARNING:
        return Check("busy_passes", OK, share, seen)
    meaning = "they do not count, and measuring takes as much longer"
    return Check("busy_passes", WARNING, share, seen, meaning, "measure at a quieter time")


def _drift(runs: dict[str, SelfTest]) -> Check:
    drifts = {name: run.drift for name, run in runs.items()}
    known = [drift for drift in drifts.values() if drift is not None]
    if not known:
        return Check("drift", UNKNOWN, drifts, "the drift over the run is not known")
    changes = ", ".join(f"{100 * drift:+.1f} % ({name})" for name, drift in drifts.items() if drift is not None)
    seen = f"from the earlier to the later half of the run the references' latency changed by {changes}"
    if max(map(abs, known)) <= DRIFT_WARNING:
        return Check("drift", OK, drifts, seen)
    meaning = "ratios hold, milliseconds of two sessions differ by as much"
    return Check("drift", WARNING, drifts, seen, meaning, "hold networks to a budget at one `--reference-ms`")


def _cost(name: str, cost: Cost) -> Check:
    text = (
        f"{cost.entries} {name} at {100 * cost.relative_half_width:g} %: about {cost.seconds / 60:.1f} minutes, "
        f"{cost.passes_each:.1f} passes each"
    )
    name = f"cost_{name}"
    # Subnets are not repeated until they meet the error: the fit averages over them.
    if name == "cost_subnets" or cost.met_share >= MET_WARNING:
        return Check(name, OK, asdict(cost), text)
    meaning = f"{100 * (1 - cost.met_share):.0f} % of them would not meet it and be marked noisy"
    return Check(name, WARNING, asdict(cost), text, meaning, "stop other work, or ask for a larger --relative-error")
