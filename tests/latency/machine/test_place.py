"""Which part of a machine was used: core kinds, affinity, threads that fit, and what went wrong meanwhile."""

import logging
from dataclasses import replace

import pytest

from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.latency.machine.environment import differing_fields, require_same, told_environment
from latlas.latency.machine.run_conditions import RunConditions, Watch, problems
from latlas.latency.machine.state import MachineState
from latlas.latency.machine.system import core_kinds
from latlas.latency.machine.trouble import listening, tell
from latlas.latency.machine.usable import require_threads

WHOLE = replace(
    told_environment(cpu_model="i7-12700K", threads=1, precision="f32", batch=1),
    **{"cpu_flags": "avx2", "logical_cpus": 6, "physical_cores": 4, "streams": 1},
    **{"openvino_version": "2026.4.1", "reference_id": "network-1"},
    state=MachineState(
        affinity_cpus=6, allowed_cpus="0-5", allowed_cores=4, performance_cpus="0-3", efficiency_cpus="4-5"
    ),
)
FAST = replace(WHOLE, state=replace(WHOLE.state, affinity_cpus=2, allowed_cpus="0-1", allowed_cores=1))
SLOW = replace(WHOLE, state=replace(WHOLE.state, affinity_cpus=2, allowed_cpus="4-5", allowed_cores=2))


def test_core_kind_and_affinity_are_told_from_the_state():
    assert WHOLE.place() == {"core_kind": "performance and efficiency", "affinity": "all"}
    assert FAST.place() == {"core_kind": "performance", "affinity": "2 of 6 CPUs on 1 core"}
    assert SLOW.place() == {"core_kind": "efficiency", "affinity": "2 of 6 CPUs on 2 cores"}
    alike = replace(WHOLE, state=replace(WHOLE.state, performance_cpus="", efficiency_cpus=""))
    assert alike.core_kind == "alike"


def test_performance_and_efficiency_cores_of_one_cpu_do_not_mix():
    assert differing_fields(FAST, SLOW) == {
        "core_kind": ("performance", "efficiency"),
        "affinity": ("2 of 6 CPUs on 1 core", "2 of 6 CPUs on 2 cores"),
    }
    with pytest.raises(
        EnvironmentMismatchError, match="cannot merge: core_kind is 'performance' and 'efficiency'; affinity"
    ):
        require_same(FAST, SLOW, "merge")
    assert differing_fields(FAST, FAST) == {}


def test_a_table_of_before_fits_any_part():
    old = replace(WHOLE, state=MachineState())
    assert old.place() == {"core_kind": "unknown", "affinity": "unknown"}
    assert differing_fields(old, SLOW) == differing_fields(SLOW, old) == {}


def test_core_kinds_by_the_highest_clock(tmp_path):
    for cpu, khz in enumerate((5000000, 4700000, 3500000)):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(f"{khz}\n")
    assert [set(kind) for kind in core_kinds(tmp_path)] == [
        {0, 1},
        {2},
    ]  # favoured cores of one kind differ by some per cent


def quota(root, text):
    for name, content in {"proc/self/cgroup": "0::/pod\n", "sys/fs/cgroup/pod/cpu.max": text}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_threads_are_counted_against_what_may_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    require_threads(2, tmp_path, [0, 5])
    with pytest.raises(
        UsageError, match=r"this process may use 1 CPU\(s\) \(3\), of 16 .*`taskset`.* ask for --threads 1"
    ):
        require_threads(2, tmp_path, [3])
    with pytest.raises(UsageError, match=r"may use 16 CPU\(s\) \(0-15\); ask for --threads 16 or fewer"):
        require_threads(17, tmp_path, range(16))
    root = quota(tmp_path, "150000 100000")
    require_threads(2, root, range(16))
    with pytest.raises(UsageError, match=r"the container may use 1\.5 CPUs: .* ask for --threads 1$"):
        require_threads(3, root, range(16))
    require_threads(1, quota(tmp_path, "30000 100000"), range(16))


QUIET = RunConditions(10.0, 0.0, 0.0, 0, 0.0, 0, [3000.0])
STATE = MachineState(affinity_cpus=4, memory_bytes=2**34, available_bytes=2**33)


def test_what_doctor_calls_a_problem_is_one_of_the_measurement():
    assert problems(QUIET, 1, STATE) == []
    (said,) = problems(with_changes(throttles=964, throttled_s=7.0), 1, STATE)
    assert said.startswith("a CPU limit stopped the run 964 times, for 7.00 s; such pauses are measured")
    assert problems(with_changes(throttles=1, throttled_s=0.1), 1, STATE) == []
    (said,) = problems(QUIET, 1, replace(STATE, cpu_quota=0.3))
    assert said.startswith("the container may use 0.3 CPUs; 1 thread(s) are stopped again and again")
    (said,) = problems(QUIET, 2, replace(STATE, affinity_cpus=1, allowed_cpus="0"))
    assert said.startswith("this process may use 1 CPU(s): 0; 2 threads would take turns on them")


def with_changes(**changes):
    return RunConditions(**{name: getattr(QUIET, name) for name in RunConditions.__slots__} | changes)


def test_a_watch_counts_what_a_limit_stopped_since_it_was_made(tmp_path):
    root = quota(tmp_path, "30000 100000")
    counts = tmp_path / "sys/fs/cgroup/pod/cpu.stat"
    counts.write_text("nr_periods 100\nnr_throttled 5\nthrottled_usec 1000000\n")
    watch = Watch(root)
    counts.write_text("nr_periods 1068\nnr_throttled 969\nthrottled_usec 8000000\n")
    seen = watch.read([800.0])
    assert (seen.throttles, seen.throttled_s, seen.clocks_mhz) == (964, 7.0, [800.0])


def test_what_is_told_is_heard_once_by_all_that_listen(caplog):
    with listening() as outer:
        tell(["a", "b"])
        with listening() as inner:
            tell(["b", "c"])
    assert (outer, inner) == (["a", "b", "c"], ["b", "c"])
    with caplog.at_level(logging.WARNING):
        tell(["nobody"])
    assert "nobody" in caplog.text and outer == ["a", "b", "c"]
