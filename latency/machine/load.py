"""What else this machine does: CPU time of other processes, and CPU time that the hypervisor gives to others."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from latlas.files.records import one_line
from latlas.latency.machine.state import allowed_cpus
from latlas.latency.machine.system import cpu_ticks

SAMPLE_SECONDS = 1.0
"""How long the load is watched: with the kernel's ticks of 10 ms, a second resolves one per cent."""
LARGEST = 5
LEAST_CPUS = 0.02
"""A process that takes less of a CPU than this is not named."""


class StealMeter:
    """Reads the share of all CPU time that the hypervisor gave to others since the last read."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._last = cpu_ticks(root)

    def read(self) -> float | None:
        """The share since the last read, or since the meter was made, from 0 to 1; None where the system does not say.

        The kernel counts in ticks of 10 ms, so a share over less than a second is coarse.
        """
        now, before = cpu_ticks(self._root), self._last
        self._last = now
        stolen, ticks = now[0] - before[0], now[1] - before[1]
        return min(1.0, max(0, stolen) / ticks) if now[1] and ticks > 0 else None


@dataclass(frozen=True, slots=True)
class ProcessLoad:
    """Another process: its name, its number and how many CPUs it takes."""

    name: str
    pid: int
    cpus: float


@dataclass(frozen=True, slots=True)
class OtherLoad:
    """How many of the CPUs of this process others took, and the largest of the processes that can be seen.

    Processes of other containers count in `cpus` but cannot be named. `cpus` is None where the system does not say.
    """

    cpus: float | None
    largest: tuple[ProcessLoad, ...] = ()
    seconds: float = 0.0


class LoadMeter:
    """Measures how much of the CPUs of this process others took since the meter was made.

    The time of this process and of its children that have ended does not count. So read it when no child runs.
    """

    def __init__(self) -> None:
        self._cpus = allowed_cpus()
        self._started, self._busy, self._own = time.monotonic(), _busy_seconds(self._cpus), _own_seconds()

    def read(self) -> float | None:
        """How many CPUs others took; None where the system does not say."""
        busy, seconds = _busy_seconds(self._cpus), time.monotonic() - self._started
        if busy is None or self._busy is None or seconds <= 0:
            return None
        return max(0.0, busy - self._busy - (_own_seconds() - self._own)) / seconds


def other_load(seconds: float = SAMPLE_SECONDS, sleep: Callable[[float], object] = time.sleep) -> OtherLoad:
    """What other processes take now, watched for `seconds`; this process and its children are left out."""
    meter, before = LoadMeter(), _process_seconds()
    started = time.monotonic()
    sleep(seconds)
    spent = max(time.monotonic() - started, 1e-3)
    taken = meter.read()
    loads = [
        ProcessLoad(name, pid, round((now - before.get((pid, born), (name, 0.0))[1]) / spent, 2))
        for (pid, born), (name, now) in _process_seconds().items()
    ]
    largest = sorted((one for one in loads if one.cpus >= LEAST_CPUS), key=lambda one: (-one.cpus, one.pid))
    seen = sum(one.cpus for one in loads)
    return OtherLoad(taken if taken is not None else seen if loads else None, tuple(largest[:LARGEST]), spent)


def _busy_seconds(cpus: Iterable[int] | None) -> float | None:
    """CPU seconds that these CPUs (all for None) were busy since boot, without stolen time."""
    try:
        times = psutil.cpu_times(percpu=True)
    except (OSError, RuntimeError, NotImplementedError):
        return None
    chosen = times if cpus is None else [times[cpu] for cpu in cpus if cpu < len(times)]
    # User and nice include guest time.
    names = ("user", "nice", "system", "irq", "softirq")
    return float(sum(getattr(one, name, 0.0) for one in chosen for name in names)) if chosen else None


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _process_seconds() -> dict[tuple[int, float], tuple[str, float]]:
    """Name and CPU seconds of every process but this one and its children, by number and birth."""
    try:
        ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    except (psutil.Error, OSError):
        ours = {os.getpid()}
    found = {}
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        times = process.info["cpu_times"]
        if process.pid not in ours and times is not None:
            name = one_line(process.info["name"] or "", 60) or "unnamed"
            found[process.pid, process.info["create_time"] or 0.0] = (name, times.user + times.system)
    return found
