"""How many CPUs this process may use, by the machine, its affinity and its container's limit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from latlas.errors import UsageError
from latlas.latency.machine import system
from latlas.latency.machine.state import allowed_cpus


def require_threads(threads: int, root: Path = Path("/"), allowed: Iterable[int] | None = None) -> None:
    """Raises `UsageError` if this process may use fewer CPUs than `threads`; the message names the CPUs.

    A container's limit is rounded up: with 1.5 CPUs, two threads are allowed, and are stopped now and then.
    """
    cpus = allowed_cpus() if allowed is None else frozenset(allowed)
    quota, count = system.cpu_quota(root), os.cpu_count() or 1
    if cpus is not None and threads > len(cpus):
        where = (
            ""
            if len(cpus) == count
            else f", of {count} in the machine: allow more (`taskset`, the container's cpuset), or"
        )
        raise UsageError(
            f"--threads is {threads}; this process may use {len(cpus)} CPU(s) ({system.listed(cpus)}){where or ';'} ask for "
            f"--threads {len(cpus)} or fewer"
        )
    if cpus is None and threads > count:
        raise UsageError(f"--threads is {threads}; this machine has {count} CPUs")
    if quota is not None and threads > max(1, math.ceil(quota)):
        raise UsageError(
            f"--threads is {threads}; the container may use {quota:g} CPUs: raise its limit (`cpu.max`, `docker run --cpus`, "
            f"the pod's CPU limit), or ask for --threads {max(1, math.floor(quota))}"
        )
