"""What a latency number depends on: the CPU, how the network was run on it, and the machine's state meanwhile.

A number from another environment is another number. `KEY_FIELDS` are those that must agree before two tables, or a
table and a predictor, are used together; the rest is recorded so that a reader can judge. The host's name is not kept.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path

import psutil

from latlas.latency.errors import EnvironmentMismatchError, UsageError
from latlas.latency.record import check_timestamp, from_record, one_line, utc_now

KEY_FIELDS = (
    "cpu_model",
    "cpu_flags",
    "threads",
    "streams",
    "precision",
    "batch",
    "openvino_version",
    "reference_id",
)
"""Fields that must agree for two sets of latencies to be of one environment."""
UNKNOWN = "unknown"
"""What a text is of which nothing is known."""

# Instruction sets that kernels are chosen by, on x86-64 and on ARM.
_KERNEL_FLAG = re.compile(r"sse4_2|avx.*|fma|f16c|amx.*|asimd.*|sve.*|bf16|i8mm|fphp")


@dataclass(frozen=True, slots=True)
class MachineState:
    """What may change from one run to the next; None where the system does not say.

    `cpu_quota` is the container's limit in CPUs (None for no limit), `steal_share` the fraction of time since boot that
    the hypervisor gave to others, `load_1m` the load average over a minute. `governor` lists all that are in use.
    """

    governor: str | None = None
    turbo: bool | None = None
    smt: bool | None = None
    hypervisor: bool | None = None
    affinity_cpus: int | None = None
    cpu_quota: float | None = None
    steal_share: float | None = None
    load_1m: float | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a set of latencies; `KEY_FIELDS` of it are its identity.

    `cpu_flags` are sorted and parted by a space. `precision`, `threads` and `streams` are those read back from the
    compiled model. `reference_ms` is the reference network's own latency in that session. Of an imported table much is
    not known: a number is then None and a text `unknown`, and no unknown equals another.
    """

    cpu_model: str
    cpu_flags: str
    logical_cpus: int | None
    physical_cores: int | None
    threads: int | None
    streams: int | None
    precision: str
    batch: int | None
    openvino_version: str
    reference_id: str
    reference_ms: float | None
    kernel: str
    python_version: str
    latlas_version: str
    started_at: str
    state: MachineState

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (not value or value != one_line(value, 4000)):
                if field.name == "cpu_flags" and not value:
                    continue
                shown = one_line(repr(value), 80)
                raise UsageError(f"environment: {field.name} is {shown}; it must be a line of text, not empty")
        for name in ("logical_cpus", "threads", "streams", "batch"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 1 <= value < 2**31):
                raise UsageError(
                    f"environment: {name} is {one_line(repr(value), 80)}; it must be a whole number of at least 1"
                )
        if self.reference_ms is not None and not (math.isfinite(self.reference_ms) and self.reference_ms > 0):
            raise UsageError(f"environment: reference_ms is {self.reference_ms!r}; it must be finite and positive")
        check_timestamp("environment: started_at", self.started_at)

    @property
    def device(self) -> str:
        """The CPU as a folder name: `intel-core-i7-8700`."""
        return device_slug(self.cpu_model)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the fields of which nothing is known; empty where we measured ourselves."""
        names = [field.name for field in fields(self) if field.name not in ("state", "physical_cores")]
        return tuple(name for name in names if getattr(self, name) in (None, UNKNOWN))

    @property
    def session_reference_ms(self) -> float:
        """`reference_ms` where it is known; raises `EnvironmentMismatchError` for an imported environment."""
        if self.reference_ms is None:
            raise EnvironmentMismatchError(
                "the environment is imported: what its reference took is not known; measure a table of your own"
            )
        return self.reference_ms

    def key(self) -> dict[str, str | int | None]:
        """The fields that must agree, by name."""
        return {name: getattr(self, name) for name in KEY_FIELDS}

    def to_dict(self) -> dict[str, object]:
        """Every field by name, the state nested; `Environment.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: object, what: str = "environment") -> Environment:
        """The environment of a record; raises `FileFormatError` for unknown, missing, mistyped or impossible fields."""
        return from_record(cls, record, what)


def differing_fields(a: Environment, b: Environment) -> dict[str, tuple[object, object]]:
    """The key fields in which two environments differ, or of which one says nothing, with both values."""
    pairs = {name: (value, b.key()[name]) for name, value in a.key().items()}
    return {name: (x, y) for name, (x, y) in pairs.items() if x != y or x is None or x == UNKNOWN}


def require_same(a: Environment, b: Environment, what: str, but: Sequence[str] = ()) -> None:
    """Raises `EnvironmentMismatchError` that names each key field that differs, with both values.

    Args:
        a: the one environment.
        b: the other.
        what: what cannot be done with both: "merge a.parquet with b.parquet".
        but: key fields that may differ.
    """
    differing = {name: values for name, values in differing_fields(a, b).items() if name not in but}
    if differing:
        listed = "; ".join(f"{name} is {one!r} and {other!r}" for name, (one, other) in differing.items())
        raise EnvironmentMismatchError(
            f"cannot {what}: {listed}; latencies of different environments do not mix, measure again in one of them"
        )


def device_slug(cpu_model: str) -> str:
    """A CPU's name as a folder name: `Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz` is `intel-core-i7-8700`."""
    name = re.sub(r"\((r|tm|c)\)|[®™]", " ", cpu_model.lower())
    name = re.sub(r"@.*|\bwith radeon.*|\b\d+th gen\b|\b\d+-core\b|\b(cpu|processor)\b", " ", name)
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "unknown-cpu"


def detect(
    *,
    threads: int,
    streams: int,
    precision: str,
    batch: int,
    openvino_version: str,
    reference_id: str,
    reference_ms: float,
) -> Environment:
    """The environment of latencies measured here and now; the arguments are what only the runtime knows.

    Raises `UsageError` where an argument is impossible.
    """
    info = _cpuinfo(Path("/"))
    return Environment(
        cpu_model=cpu_model(),
        cpu_flags=" ".join(flag for flag in _flags(info) if _KERNEL_FLAG.fullmatch(flag)),
        logical_cpus=psutil.cpu_count() or 1,
        physical_cores=psutil.cpu_count(logical=False),
        threads=threads,
        streams=streams,
        precision=precision,
        batch=batch,
        openvino_version=openvino_version,
        reference_id=reference_id,
        reference_ms=float(reference_ms),
        kernel=one_line(f"{platform.system()} {platform.release()}"),
        python_version=platform.python_version(),
        latlas_version=latlas_version(),
        started_at=utc_now(),
        state=machine_state(),
    )


def latlas_version() -> str:
    """The installed version of Latlas, `unknown` where it runs without being installed."""
    try:
        return metadata.version("latlas")
    except metadata.PackageNotFoundError:
        return "unknown"


def machine_state(root: Path = Path("/")) -> MachineState:
    """The state of this machine now, from `/proc` and `/sys` under `root`."""
    cpus = root / "sys/devices/system/cpu"
    flags = _flags(_cpuinfo(root))
    governors = {_text(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {None, ""}
    no_turbo, boost = _text(cpus / "intel_pstate/no_turbo"), _text(cpus / "cpufreq/boost")
    return MachineState(
        governor=one_line(" ".join(sorted(filter(None, governors)))) or None,
        turbo=no_turbo == "0" if no_turbo is not None else boost == "1" if boost is not None else None,
        smt={"1": True, "0": False}.get(_text(cpus / "smt/active") or ""),
        hypervisor="hypervisor" in flags if flags else None,
        affinity_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        cpu_quota=cpu_quota(root),
        steal_share=_share(*_cpu_ticks(root)),
        load_1m=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The least CPU limit, in CPUs, of this process's control group and those above it; None for no limit.

    Reads `cpu.max` of cgroup v2 and `cpu.cfs_quota_us` of v1. OpenVINO ignores both and starts too many threads.
    """
    limits = []
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = ("cpu", "cpu,cpuacct", "cpuacct,cpu") if controllers else (".", "unified")
        for folder in (root / "sys/fs/cgroup" / mount for mount in mounts):
            for group in [folder / path.strip("/"), *(folder / path.strip("/")).parents]:
                if group == folder.parent:
                    break
                limits.append(_group_limit(group))
    return min((limit for limit in limits if limit is not None), default=None)


def _group_limit(group: Path) -> float | None:
    both = (_text(group / "cpu.max") or "").split()  # "max 100000", or "150000 100000"
    if not both:
        both = [_text(group / "cpu.cfs_quota_us") or "-1", _text(group / "cpu.cfs_period_us") or "100000"]
    try:
        quota, period = float(both[0]), float(both[1])
    except (ValueError, IndexError):
        return None
    return quota / period if 0 < quota < math.inf and 0 < period < math.inf else None


class StealMeter:
    """Says which share of all CPU time the hypervisor gave to others since it was last read (or made)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._last = _cpu_ticks(root)

    def read(self) -> float | None:
        """The share since the last read, from 0 to 1; None where the system does not say.

        The kernel counts in ticks of 10 ms, so a share over less than a second is coarse.
        """
        now, before = _cpu_ticks(self._root), self._last
        self._last = now
        return _share(now[0] - before[0], now[1] - before[1]) if now[1] else None


def _share(stolen: int, total: int) -> float | None:
    return min(1.0, max(0, stolen) / total) if total > 0 else None


def _cpu_ticks(root: Path) -> tuple[int, int]:
    """Stolen ticks and all ticks since boot, over all CPUs; zeros where the system does not say."""
    first = (_text(root / "proc/stat") or "").split("\n", 1)[0].split()
    # user nice system idle iowait irq softirq steal; guest time, which follows, is within user.
    ticks = [int(word) for word in first[1:9] if word.isdecimal()]
    return (ticks[7], sum(ticks)) if first[:1] == ["cpu"] and len(ticks) == 8 else (0, 0)


def _cpuinfo(root: Path) -> dict[str, str]:
    first_cpu = (_text(root / "proc/cpuinfo") or "").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first_cpu.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def cpu_model() -> str:
    """The CPU's name as it gives it, `unnamed CPU` where it gives none."""
    info = _cpuinfo(Path("/"))
    return one_line(info.get("model name") or platform.processor() or platform.machine()) or "unnamed CPU"


def _flags(info: dict[str, str]) -> list[str]:
    return sorted(set((info.get("flags") or info.get("features") or "").split()))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
