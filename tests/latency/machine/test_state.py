"""Machines described by files, and what is said of them."""

import json
import os
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import from_record
from latlas.latency.machine.state import MachineState, machine_state


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def hybrid(root: Path) -> Path:
    """An i7-12700K of two performance cores of two threads (0-3) and two efficiency cores (4-5)."""
    cpus = "sys/devices/system/cpu"
    siblings = {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4", 5: "5"}
    files = {
        "proc/cpuinfo": "model name\t: 12th Gen Intel(R) Core(TM) i7-12700K\nmicrocode\t: 0x2e\nflags\t\t: fpu avx2 avx_vnni\n",
        "proc/meminfo": "MemTotal: 32000 kB\nMemAvailable: 20000 kB\nSwapTotal: 800 kB\nSwapFree: 500 kB\n",
        "proc/stat": "cpu  50 0 20 20 0 0 0 0 0 0\n",
        "proc/self/cgroup": "0::/\n",
        f"{cpus}/intel_pstate/no_turbo": "0\n",
        f"{cpus}/smt/active": "1\n",
        "sys/devices/cpu_core/cpus": "0-3\n",
        "sys/devices/cpu_atom/cpus": "4-5\n",
        "sys/devices/system/node/node0/cpulist": "0-5\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    }
    for cpu, group in siblings.items():
        folder = f"{cpus}/cpu{cpu}"
        files |= {
            f"{folder}/topology/thread_siblings_list": group + "\n",
            f"{folder}/cpufreq/scaling_governor": "powersave\n",
            f"{folder}/cpufreq/scaling_driver": "intel_pstate\n",
            f"{folder}/cpufreq/energy_performance_preference": "balance_performance\n",
            f"{folder}/cpufreq/scaling_cur_freq": f"{1000 + 100 * cpu}000\n",
            f"{folder}/cpufreq/scaling_max_freq": "4900000\n",
            f"{folder}/thermal_throttle/core_throttle_count": "1\n",
        }
    return write(root, files)


def test_state_of_a_hybrid_machine(tmp_path):
    state = machine_state(hybrid(tmp_path), allowed=range(6))
    assert (state.governor, state.cpufreq_driver, state.energy_preference) == (
        *("powersave", "intel_pstate", "balance_performance"),
    )
    assert (state.frequency_mhz, state.max_mhz, state.turbo, state.smt) == (1250.0, 4900.0, True, True)
    assert (state.allowed_cpus, state.affinity_cpus, state.allowed_cores, state.siblings) == ("0-5", 6, 4, "0-1 2-3")
    assert (state.performance_cpus, state.efficiency_cpus, state.numa_nodes) == ("0-3", "4-5", 1)
    assert (state.microcode, state.virtualization, state.hypervisor, state.container) == ("0x2e", "none", False, None)
    assert (state.memory_bytes, state.available_bytes, state.swap_used_bytes) == (32_768_000, 20_480_000, 307_200)
    assert (state.transparent_huge_pages, state.thermal_throttles, state.cpu_quota) == ("always", 6, None)
    assert (state.cgroup_throttles, state.cgroup_throttled_s) == (None, None)


def test_state_is_of_the_cpus_that_we_may_use(tmp_path):
    state = machine_state(hybrid(tmp_path), allowed=[0, 4])
    assert (state.allowed_cpus, state.allowed_cores, state.siblings, state.frequency_mhz) == ("0,4", 2, "", 1200.0)


def test_state_of_a_system_that_says_nothing(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    assert machine_state(tmp_path) == MachineState()


def test_state_of_this_machine_goes_through_json():
    state = machine_state()
    assert from_record(MachineState, json.loads(json.dumps(asdict(state))), "state") == state


KINDS = {field.name: str(field.type) for field in fields(MachineState)}


@pytest.mark.parametrize("field", [name for name, kind in KINDS.items() if "bool" not in kind])
def test_impossible_states_are_refused(field):
    value = "a\x1b[31mb" if "str" in KINDS[field] else -1
    with pytest.raises(UsageError, match=field):
        MachineState(**{field: value})
    with pytest.raises(FileFormatError, match=field):
        from_record(MachineState, asdict(MachineState()) | {field: value}, "t.parquet")


def test_machine_state_of_a_described_machine(tmp_path):
    cpus = "sys/devices/system/cpu"
    root = write(
        tmp_path,
        {
            f"{cpus}/cpu0/cpufreq/scaling_governor": "powersave\n",
            f"{cpus}/cpu1/cpufreq/scaling_governor": "performance\n",
            f"{cpus}/intel_pstate/no_turbo": "1\n",
            f"{cpus}/smt/active": "1\n",
            "proc/cpuinfo": "model name\t: Some CPU\nflags\t\t: fpu avx2 hypervisor\n\nmodel name\t: Other\n",
            "proc/stat": "cpu  50 0 20 20 0 0 0 10 0 0\n",
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        },
    )
    state = machine_state(root)
    assert (state.governor, state.turbo, state.smt, state.hypervisor) == ("performance powersave", False, True, True)
    assert (state.cpu_quota, state.steal_share) == (1.5, 0.1)


def test_boost_of_amd_and_an_empty_machine(tmp_path):
    empty = machine_state(tmp_path)
    assert (empty.governor, empty.turbo, empty.smt, empty.hypervisor, empty.cpu_quota, empty.steal_share) == (None,) * 6
    assert machine_state(write(tmp_path, {"sys/devices/system/cpu/cpufreq/boost": "1"})).turbo is True
