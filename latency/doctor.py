"""`doctor`: whether this machine can measure now, from its state and an A/A run of the reference network."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from latlas.latency import campaign
from latlas.latency.bench import Network
from latlas.latency.environment import MachineState, StealMeter
from latlas.latency.profile import Setting
from latlas.latency.reference import NETWORK

NOISY_FLOOR = 0.03
"""Repeat error above which a table made now would not be worth keeping."""
STEAL_WARNING = 0.02


def examine(setting: Setting, measurements: int) -> dict[str, Any]:
    """A record of the machine's state, the noise floor of an A/A run, and a verdict with what to do.

    The A/A run measures the reference against itself `measurements` times in fresh compiles: every ratio should be one.
    """
    from latlas.latency.runtime import reference_model, save, supported_precisions

    steal, started = StealMeter(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="latlas-") as folder:
        path = Path(folder) / "reference.xml"
        save(reference_model(NETWORK), path)
        networks = [Network(f"A/A {index}", file=str(path)) for index in range(measurements)]
        with setting.bench() as bench:
            found = list(campaign.measure_all(bench, networks, passes=1, max_passes=1).values())
            reference_ms = campaign.reference_ms(found)
            environment = setting.environment(bench, reference_ms)
    stolen = steal.read()
    ratios = [one.passes[0].ratio for one in found if one.passes]
    floor = sum(abs(ratio - 1) for ratio in ratios) / len(ratios)
    busy = sum(not one.passes[0].quiet for one in found if one.passes)
    warnings = _warnings(environment.state, stolen, setting, supported_precisions())
    if floor > NOISY_FLOOR:
        warnings.append(f"the reference differs from itself by {100 * floor:.1f} %: stop other work and try again")
    if busy > len(ratios) / 2:
        warnings.append(f"{busy} of {len(ratios)} passes were busy: measuring will take long")
    ok = floor <= NOISY_FLOOR
    return {
        "verdict": ("ok" if not warnings else "ok, with warnings") if ok else "not now",
        "warnings": warnings,
        "noise_floor": floor,
        "reference_ms": reference_ms,
        "busy_share": busy / len(ratios),
        "stolen_share": stolen,
        "precisions": supported_precisions(),
        "seconds": time.monotonic() - started,
        "environment": environment.to_dict(),
    }


def _warnings(state: MachineState, stolen: float | None, setting: Setting, precisions: list[str]) -> list[str]:
    warnings = []
    if state.governor not in (None, "performance"):
        warnings.append(
            f"the CPU governor is {state.governor}: set performance, `cpupower frequency-set -g performance`"
        )
    if state.turbo:
        warnings.append("turbo is on: clock and latency depend on temperature and on the other cores' load")
    if stolen is not None and stolen > STEAL_WARNING:
        warnings.append(
            f"{100 * stolen:.0f} % of CPU time is taken by other virtual machines: measure at a quieter time"
        )
    if state.cpu_quota is not None and state.cpu_quota < setting.threads:
        warnings.append(
            f"the container may use {state.cpu_quota:g} CPUs, {setting.threads} threads are asked: raise cpu.max"
        )
    if state.affinity_cpus is not None and state.affinity_cpus < setting.threads:
        warnings.append(f"this process may use {state.affinity_cpus} CPUs, {setting.threads} threads are asked")
    if state.load_1m is not None and state.load_1m > 1:
        warnings.append(f"the load average is {state.load_1m:.1f}: stop other work")
    if setting.precision not in precisions:
        warnings.append(f"this CPU has no {setting.precision}; it has {', '.join(precisions)}")
    return warnings
