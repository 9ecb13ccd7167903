"""What the machine did while something was measured, and what that means for the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latlas.latency.machine import system
from latlas.latency.machine.checks import OK, PROBLEM, UNKNOWN, WARNING, Check, MachineReport, state_checks, steal_check
from latlas.latency.machine.load import LoadMeter, StealMeter
from latlas.latency.machine.state import MachineState, machine_state

THROTTLED_PROBLEM = 0.05
"""Share of the run's time for which a CPU limit stopped it."""
CLOCK_WARNING = 0.05
"""Relative change of the clock over the run."""
_STATE_PROBLEMS = ("affinity", "cgroup_quota", "memory", "core_kinds")
"""The checks of the state that also hold during a measurement; the others only describe the moment before it."""


@dataclass(slots=True)
class RunConditions:
    """What the machine did during a measurement; a field is None where the system does not say."""

    seconds: float = 0.0
    steal_share: float | None = None
    other_cpus: float | None = None
    throttles: int | None = None
    throttled_s: float | None = None
    thermal_throttles: int | None = None
    clocks_mhz: list[float] = field(default_factory=list)


class Watch:
    """Watches the machine from now until it is read. Read it when no child runs: a running child would count as other load."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._steal, self._load, self._started = StealMeter(root), LoadMeter(), time.monotonic()
        self._throttling, self._heat = system.cgroup_throttling(root), system.thermal_throttles(root)

    def read(self, clocks_mhz: Sequence[float] = ()) -> RunConditions:
        """What was seen since the watch was made; `clocks_mhz` are the clocks that the caller noted in this time."""
        seen = RunConditions(time.monotonic() - self._started, self._steal.read(), self._load.read())
        after, heat = system.cgroup_throttling(self._root), system.thermal_throttles(self._root)
        if self._throttling is not None and after is not None:
            seen.throttles, seen.throttled_s = after[0] - self._throttling[0], after[1] - self._throttling[1]
        if self._heat is not None and heat is not None:
            seen.thermal_throttles = heat - self._heat
        seen.clocks_mhz = list(clocks_mhz)
        return seen


def run_condition_checks(seen: RunConditions, cpus: int | None, threads: int) -> list[Check]:
    """Checks of what was seen, for a measurement with `threads` threads in a process that may use `cpus` CPUs."""
    return [_stolen(seen), _others(seen, cpus, threads), _throttled(seen), _heat(seen), _clocks(seen)]


def problems(seen: RunConditions, threads: int, state: MachineState | None = None) -> list[str]:
    """A line for each problem that `doctor` would report of a measurement with this many threads.

    `state` is the machine's state; None reads it now.
    """
    state = machine_state() if state is None else state
    of_state = [check for check in state_checks(MachineReport(state), threads, "f32") if check.name in _STATE_PROBLEMS]
    of_run = run_condition_checks(seen, state.affinity_cpus, threads)
    return [check.line for check in (*of_state, *of_run) if check.status == PROBLEM]


def _stolen(seen: RunConditions) -> Check:
    share = seen.steal_share
    if share is None:
        return Check("run_steal", UNKNOWN, None, "time given to other virtual machines during the run is not known")
    return steal_check(
        "run_steal", share, share, f"{100 * share:.1f} % of the run's CPU time went to other virtual machines"
    )


def _others(seen: RunConditions, cpus: int | None, threads: int) -> Check:
    taken, name = seen.other_cpus, "run_other_load"
    if taken is None:
        return Check(name, UNKNOWN, None, "what others took during the run is not known")
    text = f"others took {taken:.2f} CPUs during the run"
    # The noise floor says what this did to the measurement.
    if taken <= max(0.3, 0.1 * ((cpus or threads) - threads)):
        return Check(name, OK, taken, text)
    return Check(name, WARNING, taken, text, "they share caches, memory and clock with what is measured", "stop them")


def _throttled(seen: RunConditions) -> Check:
    name, value = "run_throttling", {"throttles": seen.throttles, "throttled_s": seen.throttled_s}
    if seen.throttles is None or seen.throttled_s is None:
        return Check(name, UNKNOWN, value, "whether a CPU limit stopped the run is not known")
    text = f"a CPU limit stopped the run {seen.throttles} times, for {seen.throttled_s:.2f} s"
    if not seen.throttles:
        return Check(name, OK, value, "no CPU limit stopped the run")
    status = PROBLEM if seen.throttled_s > THROTTLED_PROBLEM * seen.seconds else WARNING
    return Check(name, status, value, text, "such pauses are measured", "raise the container's CPU limit")


def _heat(seen: RunConditions) -> Check:
    count, name = seen.thermal_throttles, "run_heat"
    if count is None:
        return Check(name, UNKNOWN, None, "whether the CPU was slowed for its heat is not known")
    if not count:
        return Check(name, OK, 0, "the CPU was not slowed for its heat")
    text = f"the CPU was slowed for its heat {count} times during the run"
    return Check(
        name, WARNING, count, text, "latency follows the temperature", "let it cool, cool it better, or turn turbo off"
    )


def _clocks(seen: RunConditions) -> Check:
    clocks, name = seen.clocks_mhz, "run_clock"
    if not clocks:
        return Check(name, UNKNOWN, None, "the clock during the run cannot be read")
    low, high = min(clocks), max(clocks)
    value = {"lowest_mhz": low, "highest_mhz": high}
    text = f"the clock was {low:.0f} to {high:.0f} MHz during the run"
    if high / low - 1 <= CLOCK_WARNING:
        return Check(name, OK, value, text)
    return Check(
        name, WARNING, value, text, "latency follows the clock", "set the performance governor, turn turbo off"
    )
