"""The state of the machine now: its CPUs, clock, limits and memory, as the system reports them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from latlas.errors import UsageError
from latlas.files.records import one_line
from latlas.latency.machine import system


@dataclass(frozen=True, slots=True)
class MachineState:
    """What may change from one run to the next; a field is None where the system does not say.

    Args:
        governor: all cpufreq governors in use, for example `performance powersave`.
        turbo: whether clocks above the nominal one are allowed.
        smt: whether cores run two threads each.
        hypervisor: whether it is a virtual machine.
        affinity_cpus: how many CPUs this process may use.
        cpu_quota: the container's limit in CPUs, None for no limit.
        steal_share: the fraction of time since boot that the hypervisor gave to others.
        load_1m: the load average over a minute.
        cpufreq_driver: the driver that sets the clock, for example `intel_pstate`.
        energy_preference: the preference that the driver was given, for example `balance_performance`.
        frequency_mhz: the mean clock of the CPUs that this process may use.
        max_mhz: the highest clock that cpufreq allows them.
        thermal_throttles: how often a core or package was slowed for its heat since boot.
        cgroup_throttles: how often a CPU limit has stopped this process's control group.
        cgroup_throttled_s: for how many seconds it has stopped it.
        allowed_cpus: the CPUs that this process may use, written as `0-3,8`.
        allowed_cores: how many cores these CPUs belong to.
        siblings: which of these CPUs share a core, written as `0,4 1,5`; empty if none do.
        performance_cpus: on a machine with two kinds of cores, all its fast CPUs; empty on others.
        efficiency_cpus: all its slow CPUs; empty on others.
        numa_nodes: how many memory nodes the CPUs of this process belong to.
        transparent_huge_pages: always, madvise or never.
        memory_bytes: the machine's memory.
        available_bytes: how much memory is available without swapping.
        swap_used_bytes: how much is swapped out.
        virtualization: the kind of virtual machine, `none` on bare metal.
        container: the kind of container, None where there is no sign of one.
        microcode: the CPU's microcode version.
    """

    governor: str | None = None
    turbo: bool | None = None
    smt: bool | None = None
    hypervisor: bool | None = None
    affinity_cpus: int | None = None
    cpu_quota: float | None = None
    steal_share: float | None = None
    load_1m: float | None = None
    cpufreq_driver: str | None = None
    energy_preference: str | None = None
    frequency_mhz: float | None = None
    max_mhz: float | None = None
    thermal_throttles: int | None = None
    cgroup_throttles: int | None = None
    cgroup_throttled_s: float | None = None
    allowed_cpus: str | None = None
    allowed_cores: int | None = None
    siblings: str | None = None
    performance_cpus: str | None = None
    efficiency_cpus: str | None = None
    numa_nodes: int | None = None
    transparent_huge_pages: str | None = None
    memory_bytes: int | None = None
    available_bytes: int | None = None
    swap_used_bytes: int | None = None
    virtualization: str | None = None
    container: str | None = None
    microcode: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and value != one_line(value):
                shown = one_line(repr(value), 80)
                raise UsageError(f"machine state: {field.name} is {shown}; it must be a line of text")
            if isinstance(value, int | float) and not 0 <= value < 2**63:
                shown = one_line(repr(value), 80)
                raise UsageError(f"machine state: {field.name} is {shown}; it must be a number of at least 0")


def machine_state(root: Path = Path("/"), allowed: Iterable[int] | None = None) -> MachineState:
    """The state of this machine now, from `/proc` and `/sys` under `root`.

    Args:
        root: another machine's root, for tests.
        allowed: the CPUs that this process may use; None asks the system.
    """
    cpus = root / system.CPUS
    may_use = allowed_cpus() if allowed is None else frozenset(allowed)
    info = system.cpuinfo(root)
    flags = system.cpu_flags(info)
    no_turbo, boost = system.text(cpus / "intel_pstate/no_turbo"), system.text(cpus / "cpufreq/boost")
    clocks = system.frequencies_mhz(root, may_use)
    throttling = system.cgroup_throttling(root)
    cores = system.core_groups(root, may_use or frozenset())
    fast, slow = system.core_kinds(root)
    memory = system.memory(root)
    swap = [memory.get("SwapTotal"), memory.get("SwapFree")]
    stolen, ticks = system.cpu_ticks(root)
    return MachineState(
        governor=_all_of(cpus, "scaling_governor"),
        turbo=no_turbo == "0" if no_turbo is not None else boost == "1" if boost is not None else None,
        smt={"1": True, "0": False}.get(system.text(cpus / "smt/active") or ""),
        hypervisor="hypervisor" in flags if "flags" in info else None,
        affinity_cpus=len(may_use) if may_use is not None else None,
        cpu_quota=system.cpu_quota(root),
        steal_share=min(1.0, stolen / ticks) if ticks > 0 else None,
        load_1m=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cpufreq_driver=_all_of(cpus, "scaling_driver"),
        energy_preference=_all_of(cpus, "energy_performance_preference"),
        frequency_mhz=round(sum(clocks) / len(clocks), 1) if clocks else None,
        max_mhz=max(system.frequencies_mhz(root, may_use, "scaling_max_freq"), default=None),
        thermal_throttles=system.thermal_throttles(root),
        cgroup_throttles=throttling[0] if throttling else None,
        cgroup_throttled_s=throttling[1] if throttling else None,
        allowed_cpus=one_line(system.listed(may_use)) if may_use is not None else None,
        allowed_cores=len(cores) or None,
        siblings=one_line(" ".join(system.listed(core) for core in cores if len(core) > 1)) if cores else None,
        performance_cpus=one_line(system.listed(fast)) if cores else None,
        efficiency_cpus=one_line(system.listed(slow)) if cores else None,
        numa_nodes=system.numa_nodes(root, may_use),
        transparent_huge_pages=system.chosen(system.text(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        memory_bytes=memory.get("MemTotal"),
        available_bytes=memory.get("MemAvailable"),
        swap_used_bytes=max(0, swap[0] - swap[1]) if swap[0] is not None and swap[1] is not None else None,
        virtualization=system.virtualization(root, info),
        container=system.container(root),
        microcode=one_line(info.get("microcode", ""), 40) or None,
    )


def allowed_cpus() -> frozenset[int] | None:
    """The CPUs that this process may use; None where the system does not say."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _all_of(cpus: Path, name: str) -> str | None:
    """All values that a cpufreq setting has on some CPU, sorted."""
    found = {system.text(path) for path in cpus.glob(f"cpu[0-9]*/cpufreq/{name}")}
    return one_line(" ".join(sorted(filter(None, found)))) or None
