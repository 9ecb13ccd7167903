"""Checks of the machine's state, for `doctor` and for the result of every measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from latlas.latency.machine.load import OtherLoad
from latlas.latency.machine.power import SAVING, Power
from latlas.latency.machine.state import MachineState
from latlas.latency.machine.system import cpu_list, listed

OK, WARNING, PROBLEM, UNKNOWN = "ok", "warning", "problem", "unknown"
STATUSES = (OK, WARNING, PROBLEM, UNKNOWN)
STEAL_WARNING, STEAL_PROBLEM = 0.02, 0.2
"""Shares of CPU time that the hypervisor gives to others: from here on a warning, from here on a problem."""
LOAD_WARNING = 0.15
"""How many CPUs other processes may take without a warning: a desktop at rest takes about this."""
LOAD_ROOM = 0.3
"""Other processes may use so many CPUs more than the threads leave free. Above that they take the CPUs of the threads."""
CLOCK_CAP, CLOCK_LOW = 0.85, 0.5
"""Shares of the highest clock: a limit below the first, or a clock below the second, gives a warning."""
MEMORY_WARNING, MEMORY_PROBLEM = 2**30, 2**28
DISK_WARNING, DISK_PROBLEM = 2**28, 2**24
"""Bytes; a journal of a space's operators takes some megabytes."""

INSTRUCTIONS = {
    "f32": ("avx512f", "avx2", "sve", "asimd"),
    "bf16": ("amx_bf16", "avx512_bf16", "bf16", "svebf16"),
    "int8": ("amx_int8", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "i8mm", "asimddp"),
}
"""The CPU flags that each precision's fast kernels need."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of looking at one thing.

    Args:
        name: stable, for programs.
        status: one of `STATUSES`; with a problem, a measurement is worth nothing.
        value: what was seen, for JSON.
        seen: what was seen, for people.
        meaning: what it means for a measurement.
        advice: what to do about it; empty if there is nothing to do.
    """

    name: str
    status: str
    value: Any
    seen: str
    meaning: str = ""
    advice: str = ""

    @property
    def line(self) -> str:
        """The whole check in one line."""
        return "; ".join(filter(None, (self.seen, self.meaning, self.advice)))


@dataclass(frozen=True, slots=True)
class MachineReport:
    """The state of a machine before a measurement: settings, CPU flags, and what else runs there.

    `holder` says who holds the host's timing lock. `steal_share` is the share of CPU time that the hypervisor gave to
    others while the load was watched. `free_bytes` is the free space in the folder where a journal would be written.
    `supported` lists the precisions that the CPU has, according to OpenVINO.
    """

    state: MachineState
    flags: frozenset[str] = frozenset()
    load: OtherLoad = field(default_factory=lambda: OtherLoad(None))
    steal_share: float | None = None
    holder: str | None = None
    free_bytes: int | None = None
    supported: tuple[str, ...] = ()
    power: Power = field(default_factory=Power)

    def instructions(self, precision: str) -> list[str]:
        """The CPU's instruction sets for a precision."""
        return [flag for flag in INSTRUCTIONS.get(precision, ()) if flag in self.flags]


def state_checks(report: MachineReport, threads: int, precision: str) -> list[Check]:
    """What the machine's state means for measuring with this many threads at this precision."""
    kinds: tuple[Callable[[MachineReport, int], Check], ...] = (
        *(_lock, _other_load, _load_average, _steal, _affinity, _quota, _power, _governor, _clock, _turbo, _smt),
        *(_cores, _nodes, _virtual, _huge_pages, _memory, _swap, _disk),
    )
    return [*(kind(report, threads) for kind in kinds), _precision(report, precision)]


def _lock(report: MachineReport, threads: int) -> Check:
    if report.holder is None:
        return Check("timing_lock", OK, None, "nobody else measures here")
    return Check(
        *("timing_lock", PROBLEM, report.holder, f"another Latlas measures here ({report.holder})"),
        "two measurements at a time spoil both",
        "wait for it to end",
    )


def _other_load(report: MachineReport, threads: int) -> Check:
    load, name = report.load, "other_load"
    value = {
        "cpus": None if load.cpus is None else round(load.cpus, 3),
        "seconds": round(load.seconds, 2),
        "processes": [{"name": one.name, "pid": one.pid, "cpus": one.cpus} for one in load.largest],
    }
    if load.cpus is None:
        return Check(name, UNKNOWN, value, "what other processes take is not known")
    largest = ", ".join(f"{one.name} (pid {one.pid}) {one.cpus:.2f}" for one in load.largest)
    seen = f"others take {load.cpus:.2f} CPUs now" + (f": {largest}" if largest and load.cpus > LOAD_WARNING else "")
    if load.cpus <= LOAD_WARNING:
        return Check(name, OK, value, seen)
    room = max(0, (report.state.affinity_cpus or threads) - threads)
    if load.cpus > room + LOAD_ROOM:
        free = f"only {room} CPU(s) are" if room else "no CPU is"
        meaning = f"{free} free beside your {threads} thread(s), so other processes run on the same cores"
        return Check(name, PROBLEM, value, seen, meaning, "stop them, or measure when they are done")
    meaning = "they share caches, memory and clock with what is measured"
    return Check(name, WARNING, value, seen, meaning, "stop them, or measure when they are done")


def _load_average(report: MachineReport, threads: int) -> Check:
    load, name = report.state.load_1m, "load_average"
    if load is None:
        return Check(name, UNKNOWN, None, "the load average is not known")
    seen = f"load average {load:.2f} over the last minute"
    if load <= 1:
        return Check(name, OK, load, seen)
    return Check(name, WARNING, load, seen, "other work ran within this minute, and may again", "stop other work")


def _steal(report: MachineReport, threads: int) -> Check:
    now, boot, name = report.steal_share, report.state.steal_share, "steal"
    value = {"now": now, "since_boot": boot}
    if now is None and boot is None:
        return Check(name, UNKNOWN, value, "time given to other virtual machines is not known")
    parts = [f"{100 * now:.1f} % now"] if now is not None else []
    parts += [f"{100 * boot:.1f} % since boot"] if boot is not None else []
    seen = f"time given to other virtual machines: {', '.join(parts)}"
    return steal_check(name, now if now is not None else 0.0, value, seen)


def steal_check(name: str, share: float, value: Any, seen: str) -> Check:
    """A check of the share of CPU time that the hypervisor gave to others."""
    if share <= STEAL_WARNING:
        return Check(name, OK, value, seen)
    status = PROBLEM if share > STEAL_PROBLEM else WARNING
    advice = "measure at a quieter time, or on a machine of its own"
    return Check(name, status, value, seen, "the host runs others on these cores meanwhile", advice)


def _affinity(report: MachineReport, threads: int) -> Check:
    allowed, name = report.state.affinity_cpus, "affinity"
    if allowed is None:
        return Check(name, UNKNOWN, None, "which CPUs this process may use is not known")
    seen = f"this process may use {allowed} CPU(s)" + (
        f": {report.state.allowed_cpus}" if report.state.allowed_cpus else ""
    )
    if allowed >= threads:
        return Check(name, OK, allowed, seen)
    advice = f"allow more (`taskset`, the container's cpuset), or ask for --threads {allowed}"
    return Check(name, PROBLEM, allowed, seen, f"{threads} threads would take turns on them", advice)


def _quota(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "cgroup_quota"
    value = {"cpus": state.cpu_quota, "throttles": state.cgroup_throttles, "throttled_s": state.cgroup_throttled_s}
    if state.cpu_quota is None:
        # Without a limit, Linux says so.
        known = state.memory_bytes is not None
        return Check(name, OK if known else UNKNOWN, value, "no CPU limit" if known else "a CPU limit is not known")
    seen = f"the container may use {state.cpu_quota:g} CPUs"
    if state.cpu_quota >= threads:
        return Check(name, OK, value, seen)
    less = f", or ask for --threads {int(state.cpu_quota)}" if state.cpu_quota >= 1 else ""
    advice = f"raise the limit (`cpu.max`, `docker run --cpus`, the pod's CPU limit){less}"
    return Check(name, PROBLEM, value, seen, f"{threads} thread(s) are stopped again and again", advice)


def _power(report: MachineReport, threads: int) -> Check:
    power, name = report.power, "power"
    value = {"on_battery": power.on_battery, "profile": power.profile}
    if power.on_battery is None and power.profile is None:
        return Check(name, UNKNOWN, value, "battery and power profile are not known")
    parts = ["on battery" if power.on_battery else "on mains"] if power.on_battery is not None else []
    parts += [f"power profile {power.profile}"] if power.profile else []
    saving = power.profile in SAVING
    if not power.on_battery and not saving:
        return Check(name, OK, value, ", ".join(parts))
    advice = ["connect it to the mains"] if power.on_battery else []
    advice += ["choose another profile (`powerprofilesctl set performance`)"] if saving else []
    return Check(name, WARNING, value, ", ".join(parts), "the CPU is kept slow to save power", " and ".join(advice))


def _governor(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "governor"
    if state.governor is None:
        meaning = "the host sets the clock" if state.hypervisor else "the clock may change meanwhile"
        return Check(name, UNKNOWN, None, "no cpufreq governor can be read", meaning)
    details = ", ".join(filter(None, (state.cpufreq_driver, state.energy_preference)))
    seen = f"CPU governor {state.governor}" + (f" ({details})" if details else "")
    if state.governor == "performance":
        return Check(name, OK, state.governor, seen)
    advice = "`sudo cpupower frequency-set -g performance`"
    return Check(name, WARNING, state.governor, seen, "the clock follows the load and lags behind it", advice)


def _clock(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "clock"
    cap, top = report.power.cap_mhz or state.max_mhz, report.power.top_mhz
    value = {"now_mhz": state.frequency_mhz, "max_mhz": state.max_mhz, "top_mhz": top}
    if cap and top and cap < CLOCK_CAP * top:
        seen = f"the clock is held at {cap:.0f} MHz at most, of {top:.0f} that the CPU can reach"
        advice = "`sudo cpupower frequency-set -u " + f"{top:.0f}MHz`, unless it is so where the network runs"
        return Check(name, WARNING, value, seen, "latency follows the clock", advice)
    if state.frequency_mhz is None:
        return Check(name, UNKNOWN, value, "the clock cannot be read")
    most = f" of at most {state.max_mhz:.0f}" if state.max_mhz else ""
    seen = f"clock {state.frequency_mhz:.0f} MHz{most} now"
    if state.max_mhz and state.frequency_mhz < CLOCK_LOW * state.max_mhz:
        meaning = "far below the highest: it rises under load, or something keeps it down"
        return Check(name, WARNING, value, seen, meaning, "mains, a performance profile and the performance governor")
    return Check(name, OK, value, seen)


def _turbo(report: MachineReport, threads: int) -> Check:
    turbo, name = report.state.turbo, "turbo"
    if turbo is None:
        return Check(name, UNKNOWN, None, "whether turbo is on is not known")
    if not turbo:
        return Check(name, OK, False, "turbo is off")
    no_turbo = report.state.cpufreq_driver in ("intel_pstate", "intel_cpufreq")
    setting = "1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
    setting = setting if no_turbo else "0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"
    meaning = "clock and latency depend on temperature and on the other cores' load"
    return Check(
        name, WARNING, True, "turbo is on", meaning, f"`echo {setting}`, unless it is on where the network runs"
    )


def _smt(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "smt"
    value = {"on": state.smt, "cores": state.allowed_cores, "siblings": state.siblings}
    if state.smt is None:
        return Check(name, UNKNOWN, value, "whether cores run two threads each is not known")
    if not state.smt or not state.siblings:
        return Check(
            name,
            OK,
            value,
            "no two CPUs share a core" if not state.smt else "SMT is on; no two of our CPUs share a core",
        )
    seen = f"SMT is on: {state.siblings} share a core"
    if state.allowed_cores is not None and threads > state.allowed_cores:
        meaning = f"{threads} threads on {state.allowed_cores} cores: two of them share one"
        return Check(name, WARNING, value, seen, meaning, f"ask for --threads {state.allowed_cores} or fewer")
    if (report.load.cpus or 0) > LOAD_WARNING:
        advice = "stop other work, or `echo off | sudo tee /sys/devices/system/cpu/smt/control`"
        return Check(name, WARNING, value, seen, "other work on a sibling takes half of the core", advice)
    return Check(name, OK, value, seen, "as long as nothing runs on the sibling")


def _cores(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "core_kinds"
    value = {"performance": state.performance_cpus, "efficiency": state.efficiency_cpus}
    if state.performance_cpus is None:
        return Check(name, UNKNOWN, value, "whether the cores are of two kinds is not known")
    if not state.efficiency_cpus:
        return Check(name, OK, value, "all cores are alike")
    allowed = cpu_list(state.allowed_cpus)
    fast, slow = cpu_list(state.performance_cpus) & allowed, cpu_list(state.efficiency_cpus) & allowed
    if not fast or not slow:
        return Check(name, OK, value, f"only {'efficiency' if slow else 'performance'} cores may be used")
    seen = f"performance cores ({listed(fast)}) and efficiency cores ({listed(slow)})"
    advice = f"`taskset -c {listed(fast)} latlas ...`, the same for all tables of this machine"
    return Check(name, WARNING, value, seen, "a latency depends on which kind a thread runs on", advice)


def _nodes(report: MachineReport, threads: int) -> Check:
    nodes, name = report.state.numa_nodes, "memory_nodes"
    if nodes is None:
        return Check(name, UNKNOWN, None, "the memory nodes are not known")
    if nodes == 1:
        return Check(name, OK, 1, "one memory node")
    advice = "`numactl --cpunodebind=0 --membind=0 latlas ...`"
    return Check(name, WARNING, nodes, f"{nodes} memory nodes", "a latency depends on whose memory is used", advice)


def _virtual(report: MachineReport, threads: int) -> Check:
    state, name = report.state, "virtual_machine"
    value = {"hypervisor": state.hypervisor, "kind": state.virtualization, "container": state.container}
    inside = f", in a container ({state.container})" if state.container else ""
    if state.hypervisor is None and state.virtualization is None:
        return Check(name, UNKNOWN, value, f"whether it is a virtual machine is not known{inside}")
    if not state.hypervisor and state.virtualization in (None, "none"):
        return Check(name, OK, value, f"no virtual machine{inside}")
    kind = f" ({state.virtualization})" if state.virtualization else ""
    meaning = "neighbours that cannot be seen share caches and memory: the A/A run shows what they do"
    return Check(name, OK, value, f"a virtual machine{kind}{inside}", meaning)


def _huge_pages(report: MachineReport, threads: int) -> Check:
    pages, name = report.state.transparent_huge_pages, "huge_pages"
    if pages is None:
        return Check(name, UNKNOWN, None, "the use of transparent huge pages is not known")
    return Check(name, OK, pages, f"transparent huge pages: {pages}", "compare measurements of one setting only")


def _memory(report: MachineReport, threads: int) -> Check:
    free, total, name = report.state.available_bytes, report.state.memory_bytes, "memory"
    if free is None:
        return Check(name, UNKNOWN, None, "free memory is not known")
    seen = f"{free / 2**30:.1f} GiB of memory available" + (f" of {total / 2**30:.1f}" if total else "")
    advice = "stop what takes it"
    return _at_least(name, free, seen, MEMORY_WARNING, MEMORY_PROBLEM, "swapping would be measured", advice)


def _swap(report: MachineReport, threads: int) -> Check:
    used, name = report.state.swap_used_bytes, "swap"
    if used is None:
        return Check(name, UNKNOWN, None, "swap use is not known")
    seen = f"{used / 2**20:.0f} MiB swapped out"
    if used and (report.state.available_bytes or 0) < MEMORY_WARNING:
        return Check(name, WARNING, used, seen, "memory is short, and what is swapped comes back slowly", "free memory")
    return Check(name, OK, used, seen)


def _disk(report: MachineReport, threads: int) -> Check:
    free, name = report.free_bytes, "disk"
    if free is None:
        return Check(name, UNKNOWN, None, "room on the disk is not known")
    seen = f"{free / 2**30:.1f} GiB free in this folder"
    return _at_least(name, free, seen, DISK_WARNING, DISK_PROBLEM, "the journal and the table need room", "make room")


def _at_least(name: str, free: int, seen: str, warning: int, problem: int, meaning: str, advice: str) -> Check:
    if free >= warning:
        return Check(name, OK, free, seen)
    return Check(name, PROBLEM if free < problem else WARNING, free, seen, meaning, advice)


def _precision(report: MachineReport, precision: str) -> Check:
    found, name = report.instructions(precision), "precision"
    value = {"asked": precision, "supported": precision in report.supported, "instructions": found}
    if precision not in report.supported:
        others = ", ".join(report.supported) or "none"
        meaning = "OpenVINO has no kernels for it on this CPU"
        return Check(
            name, PROBLEM, value, f"this CPU has no {precision}", meaning, f"ask for one that it has: {others}"
        )
    if not report.flags:
        return Check(name, UNKNOWN, value, f"{precision}: the CPU's instruction sets are not known")
    if not found:
        needed = ", ".join(INSTRUCTIONS.get(precision, ())) or "none known"
        meaning = "it runs, by slower kernels: a CPU that has them ranks operators otherwise"
        advice = "measure on the kind of CPU that the network will run on"
        return Check(name, WARNING, value, f"no instructions for {precision} (one of {needed})", meaning, advice)
    return Check(name, OK, value, f"{precision} by {', '.join(found)}")
