"""Reads what Linux says in `/proc` and `/sys`. Both lie under a `root`, so that tests can describe other machines.

If the system lacks something, the result is None or empty; nothing here raises for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from latlas.files.records import one_line

CPUS = "sys/devices/system/cpu"
MAX_CPUS = 65_536
"""More CPUs than any machine has; a list that claims more is not read."""


def text(path: Path) -> str | None:
    """The text of a file, without blanks at either end; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def number(path: Path) -> int | None:
    """The whole number in a file; None if there is none."""
    found = text(path) or ""
    return int(found) if found.isdecimal() and len(found) < 19 else None


def cpu_list(listed: str | None) -> frozenset[int]:
    """The CPUs of a list as the kernel writes it: `0-3,8` is 0, 1, 2, 3 and 8; empty if the text is no such list."""
    found: set[int] = set()
    for part in (listed or "").split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) >= MAX_CPUS:
            continue
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def listed(cpus: Iterable[int]) -> str:
    """The CPUs as the kernel writes them: 0, 1, 2, 3 and 8 are `0-3,8`."""
    ordered = sorted(set(cpus))
    starts = [cpu for cpu in ordered if cpu - 1 not in ordered]
    ends = [cpu for cpu in ordered if cpu + 1 not in ordered]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def cpuinfo(root: Path) -> dict[str, str]:
    """What `/proc/cpuinfo` says of the first CPU, by lower-case name."""
    first_cpu = (text(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first_cpu.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def cpu_flags(info: dict[str, str]) -> list[str]:
    """The CPU's flags from its `cpuinfo`, sorted."""
    return sorted(set((info.get("flags") or info.get("features") or "").split()))


def cpu_ticks(root: Path) -> tuple[int, int]:
    """Stolen ticks and all ticks since boot, over all CPUs; zeros where the system does not say."""
    first = (text(root / "proc/stat") or "").split("\n", 1)[0].split()
    # user nice system idle iowait irq softirq steal; guest time follows, and user includes it.
    ticks = [int(word) for word in first[1:9] if word.isdecimal()]
    return (ticks[7], sum(ticks)) if first[:1] == ["cpu"] and len(ticks) == 8 else (0, 0)


def memory(root: Path) -> dict[str, int]:
    """The amounts in `/proc/meminfo`, in bytes, by name."""
    found = {}
    for line in (text(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdecimal():
            found[name.strip()] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def thermal_throttles(root: Path) -> int | None:
    """How often a core or its package was slowed for its heat since boot, over all CPUs."""
    folders = sorted((root / CPUS).glob("cpu[0-9]*/thermal_throttle"))
    cores = [number(folder / "core_throttle_count") for folder in folders]
    packages = [number(folder / "package_throttle_count") for folder in folders]
    known = [
        count for count in (*cores, max((p for p in packages if p is not None), default=None)) if count is not None
    ]
    return sum(known) if known else None


def frequencies_mhz(root: Path, cpus: frozenset[int] | None = None, name: str = "scaling_cur_freq") -> list[float]:
    """The clock of each of the CPUs (all for None) in MHz, as cpufreq says; empty where there is no cpufreq."""
    found = []
    for folder in sorted((root / CPUS).glob("cpu[0-9]*")):
        khz = number(folder / "cpufreq" / name)
        if khz and (cpus is None or int(folder.name[3:]) in cpus):
            found.append(khz / 1000)
    return found


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The tightest CPU limit, in CPUs, of this process's control group and the groups above it; None for no limit.

    Reads `cpu.max` of cgroup v2 and `cpu.cfs_quota_us` of v1. OpenVINO ignores both and starts too many threads.
    """
    limits = [_group_limit(group) for group in _cpu_groups(root)]
    return min((limit for limit in limits if limit is not None), default=None)


def cgroup_throttling(root: Path = Path("/")) -> tuple[int, float] | None:
    """How often, and for how many seconds, a CPU limit has stopped this process's control group or one above it.

    The result sums over the groups. It is None if no group counts; without a limit, many do not.
    """
    counts, seconds = [], []
    for group in _cpu_groups(root):
        lines = (line.split() for line in (text(group / "cpu.stat") or "").splitlines())
        found = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}
        if "nr_throttled" in found:
            counts.append(found["nr_throttled"])
            # Microseconds in v2, nanoseconds in v1.
            seconds.append(found.get("throttled_usec", 0) / 1e6 + found.get("throttled_time", 0) / 1e9)
    return (sum(counts), sum(seconds)) if counts else None


def _cpu_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that may limit its CPU time, each with the folders above it."""
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = ("cpu", "cpu,cpuacct", "cpuacct,cpu") if controllers else (".", "unified")
        for folder in (root / "sys/fs/cgroup" / mount for mount in mounts):
            for group in [folder / path.strip("/"), *(folder / path.strip("/")).parents]:
                if group == folder.parent:
                    break
                yield group


def _group_limit(group: Path) -> float | None:
    both = (text(group / "cpu.max") or "").split()  # "max 100000", or "150000 100000"
    if not both:
        both = [text(group / "cpu.cfs_quota_us") or "-1", text(group / "cpu.cfs_period_us") or "100000"]
    try:
        quota, period = float(both[0]), float(both[1])
    except (ValueError, IndexError):
        return None
    return quota / period if 0 < quota < math.inf and 0 < period < math.inf else None


def virtualization(root: Path, info: dict[str, str]) -> str | None:
    """The kind of virtual machine, such as `kvm`; `none` on bare metal, None where the system does not say."""
    x86 = "flags" in info  # other CPUs have no flag for it
    if x86 and "hypervisor" not in cpu_flags(info):
        return "none"
    firmware = [text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    clocks = text(root / "sys/devices/system/clocksource/clocksource0/available_clocksource")
    said = " ".join(filter(None, (*firmware, clocks, text(root / "sys/hypervisor/type")))).lower()
    kinds = {"vmware": "vmware", "virtualbox": "virtualbox", "innotek": "virtualbox", "parallels": "parallels"}
    kinds |= {"xen": "xen", "kvm": "kvm", "qemu": "kvm"}
    if x86:  # these vendors make real machines too
        kinds |= {"hyperv": "hyper-v", "microsoft": "hyper-v", "amazon": "kvm", "google": "kvm"}
    return next((kind for mark, kind in kinds.items() if mark in said), None)


def container(root: Path) -> str | None:
    """The kind of container that this process runs in; None where there is no sign of one."""
    marks = {".dockerenv": "docker", "run/.containerenv": "podman"}
    for file, kind in marks.items():
        if (root / file).exists():
            return kind
    groups = text(root / "proc/self/cgroup") or ""
    return next((kind for kind in ("kubepods", "docker", "lxc", "libpod") if kind in groups), None)


def core_kinds(root: Path) -> tuple[frozenset[int], frozenset[int]]:
    """Performance and efficiency CPUs of a hybrid machine; both are empty if all CPUs are alike.

    Intel CPUs from the 12th generation on are told apart by the lists of their counters. Others are told apart by the kernel's
    estimate of their capacity, or by the highest clock that each can reach.
    """
    fast = cpu_list(text(root / "sys/devices/cpu_core/cpus"))
    slow = cpu_list(text(root / "sys/devices/cpu_atom/cpus")) | cpu_list(text(root / "sys/devices/cpu_lowpower/cpus"))
    if fast and slow:
        return fast, slow
    found = {int(f.parent.name[3:]): number(f) for f in (root / CPUS).glob("cpu[0-9]*/cpu_capacity")}
    capacities = {cpu: capacity for cpu, capacity in found.items() if capacity}
    if len(set(capacities.values())) < 2:
        clocks = {int(f.name[3:]): number(f / "cpufreq/cpuinfo_max_freq") for f in (root / CPUS).glob("cpu[0-9]*")}
        capacities = {cpu: clock for cpu, clock in clocks.items() if clock}
    # Favoured cores of one kind differ by some per cent.
    limit = 0.85 * max(capacities.values(), default=0)
    slow = frozenset(cpu for cpu, capacity in capacities.items() if capacity < limit)
    return (frozenset(capacities) - slow, slow) if slow else (frozenset(), frozenset())


def core_groups(root: Path, cpus: frozenset[int]) -> list[frozenset[int]]:
    """These CPUs grouped by core, in order; empty where the system does not say."""
    found = {cpu_list(text(root / CPUS / f"cpu{cpu}/topology/thread_siblings_list")) & cpus for cpu in sorted(cpus)}
    return sorted((group for group in found if group), key=min)


def numa_nodes(root: Path, cpus: frozenset[int] | None) -> int | None:
    """How many memory nodes these CPUs (all for None) belong to; None where the system does not say."""
    nodes = [cpu_list(text(file)) for file in (root / "sys/devices/system/node").glob("node[0-9]*/cpulist")]
    return sum(bool(node if cpus is None else node & cpus) for node in nodes) or None


def chosen(options: str | None) -> str | None:
    """The option in brackets of a kernel setting: `always [madvise] never` is `madvise`."""
    inside = (options or "").partition("[")[2].partition("]")[0]
    return one_line(inside, 40) or None
