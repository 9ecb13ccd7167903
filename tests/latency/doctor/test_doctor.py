"""The verdict on machines that are described, on passes that are scripted, and once on this machine."""

import json
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from latlas import cli
from latlas.api import setting
from latlas.commands import options
from latlas.commands.doctor import lines_of
from latlas.errors import LatlasError
from latlas.files import lock
from latlas.latency.doctor import doctor
from latlas.latency.doctor.doctor import diagnose, inspect_machine, run_checks, verdict
from latlas.latency.doctor.self_test import SelfTest, estimate_cost
from latlas.latency.machine.checks import MachineReport, state_checks
from latlas.latency.machine.load import OtherLoad, ProcessLoad
from latlas.latency.machine.power import Power
from latlas.latency.machine.run_conditions import RunConditions
from latlas.latency.machine.state import MachineState
from latlas.latency.measuring.bench import Bench
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass, StopRule, combine, disagreement
from latlas.latency.runtime.plugin import supported_precisions
from latlas.latency.runtime.reference import OPERATOR

DESKTOP = MachineState(
    governor="performance",
    turbo=False,
    smt=False,
    hypervisor=False,
    affinity_cpus=4,
    steal_share=0.0,
    load_1m=0.1,
    cpufreq_driver="intel_pstate",
    frequency_mhz=3200.0,
    max_mhz=3200.0,
    thermal_throttles=0,
    allowed_cpus="0-3",
    allowed_cores=4,
    siblings="",
    performance_cpus="",
    efficiency_cpus="",
    numa_nodes=1,
    transparent_huge_pages="madvise",
    memory_bytes=16 * 2**30,
    available_bytes=12 * 2**30,
    swap_used_bytes=0,
    virtualization="none",
)
IDLE = MachineReport(
    state=DESKTOP,
    flags=frozenset({"avx2", "fma"}),
    load=OtherLoad(0.03, (ProcessLoad("editor", 7, 0.03),), 1.0),
    power=Power(on_battery=False, profile="performance", top_mhz=3200.0, cap_mhz=3200.0),
    steal_share=0.0,
    free_bytes=2**40,
    supported=("f32", "int8"),
)
SETTING = Setting(rule=StopRule(relative_half_width=0.01))


def seen(load=None, threads=1, precision="f32", report=IDLE, **state):
    """The checks of the idle desktop with other things in its state, by name."""
    report = replace(report, state=replace(report.state, **state), load=load or report.load)
    return {check.name: check for check in state_checks(report, threads, precision)}


def warned(checks):
    return {name: check.status for name, check in checks.items() if check.status in ("warning", "problem")}


def test_an_idle_machine_is_ok():
    checks = seen()
    assert {check.status for check in checks.values()} == {"ok"}
    assert verdict(list(checks.values())) == "ok"
    assert checks["precision"].seen == "f32 by avx2"


def test_a_busy_machine_is_not_ok_and_who_keeps_it_busy_is_named():
    busy = OtherLoad(3.9, (ProcessLoad("game", 42, 3.0), ProcessLoad("compiler", 43, 0.9)), 1.0)
    checks = seen(busy)
    assert warned(checks) == {"other_load": "problem"}
    assert checks["other_load"].seen == "others take 3.90 CPUs now: game (pid 42) 3.00, compiler (pid 43) 0.90"
    assert checks["other_load"].value["processes"][0] == {"name": "game", "pid": 42, "cpus": 3.0}
    assert verdict(list(checks.values())) == "not now"


@pytest.mark.parametrize(
    ("cpus", "threads", "status"),
    [
        (0.1, 1, "ok"),
        (0.5, 1, "warning"),
        (3.2, 1, "warning"),
        (3.4, 1, "problem"),
        (0.5, 4, "problem"),
        (0.2, 4, "warning"),
    ],
)
def test_other_load_is_a_problem_where_it_takes_the_threads_own_cpus(cpus, threads, status):
    assert seen(OtherLoad(cpus), threads)["other_load"].status == status


@pytest.mark.parametrize(
    ("state", "warnings", "advice"),
    [
        ({"governor": "powersave"}, {"governor": "warning"}, "cpupower frequency-set -g performance"),
        ({"governor": "performance powersave"}, {"governor": "warning"}, "cpupower"),
        ({"turbo": True}, {"turbo": "warning"}, "intel_pstate/no_turbo"),
        ({"turbo": True, "cpufreq_driver": "acpi-cpufreq"}, {"turbo": "warning"}, "cpufreq/boost"),
        ({"load_1m": 3.0}, {"load_average": "warning"}, "stop other work"),
        ({"cpu_quota": 0.5}, {"cgroup_quota": "problem"}, "cpu.max"),
        ({"cpu_quota": 1.0}, {}, ""),
        ({"numa_nodes": 2}, {"memory_nodes": "warning"}, "numactl"),
        ({"available_bytes": 2**29}, {"memory": "warning"}, "stop"),
        ({"available_bytes": 2**29, "swap_used_bytes": 2**30}, {"memory": "warning", "swap": "warning"}, "free memory"),
        ({"available_bytes": 2**20}, {"memory": "problem"}, "stop"),
        ({"swap_used_bytes": 2**30}, {}, ""),
        ({"performance_cpus": "0-1", "efficiency_cpus": "2-3"}, {"core_kinds": "warning"}, "taskset -c 0-1 latlas"),
        ({"performance_cpus": "0-3", "efficiency_cpus": "4-7"}, {}, ""),
        ({"performance_cpus": "4-7", "efficiency_cpus": "0-3"}, {}, ""),
        ({"smt": True, "siblings": "0,2 1,3", "allowed_cores": 2}, {}, ""),
        ({"hypervisor": True, "virtualization": "kvm", "governor": None, "frequency_mhz": None, "turbo": None}, {}, ""),
    ],
)
def test_what_is_said_of_a_state_and_what_to_do(state, warnings, advice):
    checks = seen(**state)
    assert warned(checks) == warnings
    assert advice in " ".join(checks[name].advice for name in warnings)
    assert verdict(list(checks.values())) == (
        "not now" if "problem" in warnings.values() else "ok, with warnings" if warnings else "ok"
    )


def test_two_threads_ask_for_two_cpus_of_quota_affinity_and_cores():
    assert warned(seen(threads=2, cpu_quota=1.5)) == {"cgroup_quota": "problem"}
    assert "--threads 1" in seen(threads=2, cpu_quota=1.5)["cgroup_quota"].advice
    assert warned(seen(threads=2, affinity_cpus=1, allowed_cpus="3")) == {"affinity": "problem"}
    assert warned(seen(threads=3, smt=True, siblings="0,2 1,3", allowed_cores=2)) == {"smt": "warning"}


def test_other_work_on_a_sibling_is_told():
    assert warned(seen(OtherLoad(0.5), smt=True, siblings="0,2 1,3")) == {"other_load": "warning", "smt": "warning"}


@pytest.mark.parametrize(("share", "status"), [(None, "ok"), (0.01, "ok"), (0.05, "warning"), (0.5, "problem")])
def test_steal(share, status):
    assert seen(report=replace(IDLE, steal_share=share))["steal"].status == status


def test_room_on_the_disk_and_the_lock():
    assert warned(seen(report=replace(IDLE, free_bytes=2**27))) == {"disk": "warning"}
    assert warned(seen(report=replace(IDLE, free_bytes=0))) == {"disk": "problem"}
    locked = seen(report=replace(IDLE, holder="pid 5 since noon"))
    assert warned(locked) == {"timing_lock": "problem"}
    assert "pid 5 since noon" in locked["timing_lock"].seen


def test_precisions_by_their_instructions():
    missing = seen(precision="bf16")["precision"]
    assert (missing.status, missing.seen) == ("problem", "this CPU has no bf16")
    assert "f32, int8" in missing.advice
    slow = seen(precision="int8")["precision"]
    assert (slow.status, slow.value["instructions"]) == ("warning", [])
    assert "avx512_vnni" in slow.seen
    fast = replace(IDLE, flags=frozenset({"avx512f", "amx_int8", "avx512_vnni"}))
    assert seen(report=fast, precision="int8")["precision"].seen == "int8 by amx_int8, avx512_vnni"


def test_a_system_that_says_nothing(tmp_path, monkeypatch):
    """As on another operating system: nothing is known, nothing fails, and nothing is said against it."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: (_ for _ in ()).throw(NotImplementedError))
    monkeypatch.setattr(psutil, "process_iter", lambda names: [])
    report = inspect_machine(("f32",), tmp_path / "gone", 0.01, root=tmp_path / "nowhere")
    checks = state_checks(report, 1, "f32")
    assert {check.name for check in checks if check.status != "unknown"} == {"timing_lock"}
    assert verdict(checks) == "ok"
    still = RunConditions(seconds=10.0)
    assert {c.status for c in run_checks({"operator": steady()}, {}, still, None, SETTING)} == {"ok", "unknown"}


def described(root, monkeypatch, files, cpus=2):
    """What is seen of a machine of so many CPUs on which nothing runs, and that these files describe."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr("latlas.latency.machine.state.allowed_cpus", lambda: frozenset(range(cpus)))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1), raising=False)
    monkeypatch.setattr(doctor, "other_load", lambda seconds: OtherLoad(0.0, (), seconds))
    monkeypatch.setattr(lock, "holder", lambda: None)
    return inspect_machine(("f32",), root, 0.01, root=root)


LINUX = {"proc/cpuinfo": "flags : fpu avx2\n", "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 8000000 kB\n"}


@pytest.mark.parametrize(
    ("files", "threads", "expected", "said"),
    [
        # A virtual machine: no cpufreq, nothing against it.
        ({"proc/cpuinfo": "flags : avx2 hypervisor\n"}, 1, {}, "ok"),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
            2,
            {"cgroup_quota": "problem"},
            "not now",
        ),
        (
            {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n"},
            1,
            {"governor": "warning"},
            "ok, with warnings",
        ),
        (
            {
                "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0\n",
                "sys/devices/cpu_core/cpus": "0\n",
                "sys/devices/cpu_atom/cpus": "1\n",
            },
            1,
            {"core_kinds": "warning"},
            "ok, with warnings",
        ),
        ({}, 3, {"affinity": "problem"}, "not now"),
    ],
)
def test_the_verdict_on_machines_by_their_files(tmp_path, monkeypatch, files, threads, expected, said):
    checks = state_checks(described(tmp_path, monkeypatch, LINUX | files), threads, "f32")
    assert warned({check.name: check for check in checks}) == expected
    assert verdict(checks) == said


# The A/A run -------------------------------------------------------------------------------------------------------


def one_pass(ratio=1.0, speed=1.0, at=0.0, busy=False):
    """A pass of twenty rounds, all of the same times."""
    speed *= 1.5 if busy else 1.0
    return Pass((speed,) * 21, (speed * ratio,) * 40, known_ms=speed / 1.5 if busy else speed, at=at)


def steady(ratios=(1.0, 1.01, 0.99, 1.0, 1.005, 0.995), reading_passes=6):
    passes = tuple(one_pass(float(ratio), at=10.0 * index) for index, ratio in enumerate(ratios))
    return SelfTest("operator", OPERATOR.id, passes, (2.0,) * len(passes), reading_passes)


def test_the_noise_floor_of_two_passes_is_half_a_readings():
    run = steady((1.0, 1.02))
    assert run.noise_floor == pytest.approx(0.02 / 1.01 / np.sqrt(2))
    assert run.noise_floor == pytest.approx(disagreement([(1.0, 1.02)]))
    assert run.pass_difference == pytest.approx(0.02 / 1.01)
    assert run.offset == pytest.approx(0.01)


def test_the_noise_floor_is_that_of_campaigns_whose_passes_differ_as_much():
    rng = np.random.default_rng(0)
    run = steady(1 + 0.01 * rng.standard_normal(120))
    campaigns = [1 + 0.01 * rng.standard_normal(6) for _ in range(2000)]
    assert run.noise_floor == pytest.approx(disagreement([one.tolist() for one in campaigns]), rel=0.15)
    # Readings of more passes differ by less.
    assert steady(run.ratios, reading_passes=24).noise_floor == pytest.approx(run.noise_floor / 2, rel=0.3)


def test_its_interval_is_that_of_a_standard_deviation():
    run = steady((1.0, 1.02, 1.0))
    low, high = run.noise_floor_interval()
    # Two degrees of freedom: chi-square quantiles are -2 ln(1 - p).
    assert low == pytest.approx(run.noise_floor * np.sqrt(2 / (-2 * np.log(0.025))))
    assert high == pytest.approx(run.noise_floor * np.sqrt(2 / (-2 * np.log(0.975))))
    wide, narrow = steady((1.0, 1.01) * 2), steady((1.0, 1.01) * 20)
    assert np.diff(narrow.noise_floor_interval()) < np.diff(wide.noise_floor_interval()) / 2


def test_the_interval_holds_the_floor_of_normal_ratios():
    rng, floor = np.random.default_rng(0), steady(1 + 0.01 * np.random.default_rng(1).standard_normal(2000)).noise_floor
    intervals = [steady(1 + 0.01 * rng.standard_normal(24)).noise_floor_interval() for _ in range(60)]
    assert np.mean([low <= floor <= high for low, high in intervals]) >= 0.85


def test_busy_passes_count_as_busy_and_in_nothing_else():
    quiet = steady((1.0, 1.01, 1.0))
    busy = replace(quiet, passes=(*quiet.passes, one_pass(1.3, busy=True)))
    assert (busy.noise_floor, busy.reference_ms, busy.drift) == (quiet.noise_floor, quiet.reference_ms, quiet.drift)
    assert busy.busy_share == 0.25
    assert (busy.to_record()["passes"], busy.to_record()["busy_passes"]) == (4, 1)
    alone = replace(quiet, passes=(one_pass(busy=True),))
    assert (alone.noise_floor, alone.noise_floor_interval(), alone.offset) == (None, None, None)


def test_drift_is_the_later_half_over_the_earlier():
    passes = tuple(one_pass(speed=speed, at=index) for index, speed in enumerate((2.0, 2.0, 9.0, 2.2, 2.2)))
    run = replace(steady(), passes=passes)
    assert run.drift == pytest.approx(0.1)
    assert run_checks({"operator": run}, {}, RunConditions(), 4, SETTING)[2].status == "warning"


def test_what_a_run_means():
    def checks(run=None, **conditions):
        run = {"operator": run or steady(), "network": replace(steady(), reference="network")}
        return {c.name: c for c in run_checks(run, {}, RunConditions(seconds=60.0, **conditions), 2, SETTING)}

    known: dict[str, Any] = {"steal_share": 0.0, "other_cpus": 0.0, "throttles": 0, "throttled_s": 0.0}
    known |= {"thermal_throttles": 0, "clocks_mhz": [3000.0, 3010.0]}
    good = checks(**known)
    assert {check.status for check in good.values()} == {"ok"}
    assert verdict(list(good.values())) == "ok"
    assert good["noise_floor_operator"].seen.startswith("two readings of the operator reference differ by ")

    for spread, status in ((0.05, "warning"), (0.2, "problem")):
        assert warned(checks(steady((1.0, 1.0 + spread) * 6), **known)) == {"noise_floor_operator": status}
    nothing = replace(steady(), passes=(one_pass(busy=True),) * 4)
    assert warned(checks(nothing, **known)) == {"noise_floor_operator": "problem"}
    for change, expected in (
        ({"steal_share": 0.1}, {"run_steal": "warning"}),
        ({"steal_share": 0.4}, {"run_steal": "problem"}),
        ({"other_cpus": 1.0}, {"run_other_load": "warning"}),
        ({"throttles": 3, "throttled_s": 0.1}, {"run_throttling": "warning"}),
        ({"throttles": 99, "throttled_s": 30.0}, {"run_throttling": "problem"}),
        ({"thermal_throttles": 2}, {"run_heat": "warning"}),
        ({"clocks_mhz": [2000.0, 3000.0]}, {"run_clock": "warning"}),
    ):
        assert warned(checks(**(known | change))) == expected


# What it will cost -------------------------------------------------------------------------------------------------


def passes_by_the_rule(setting):
    """How many equal passes the stopwatch asks for."""
    return next(k for k in range(setting.passes, 1000) if combine([one_pass()] * k, setting.rule).status == "ok")


@pytest.mark.parametrize("relative_half_width", [0.01, 0.02, 0.05])
def test_passes_are_as_many_as_the_stopwatchs_rule_asks_for(relative_half_width):
    setting = options.setting_of("f32", 1, relative_half_width)
    cost = estimate_cost(steady((1.0,) * 12), setting, 94, repeat_noisy=True)
    assert cost.passes_each == passes_by_the_rule(setting)
    assert (cost.met_share, cost.relative_half_width) == (1.0, relative_half_width)
    assert cost.seconds == pytest.approx(94 * cost.passes_each * 2.0)


def test_a_rule_that_asks_for_more_passes_than_there_are_in_the_run_plays_them_again():
    setting = Setting(passes=1, max_passes=60, rule=StopRule(relative_half_width=0.005))
    cost = estimate_cost(steady((1.0,) * 4), setting, 3, repeat_noisy=True)
    assert cost.passes_each == passes_by_the_rule(setting) > 4


def test_a_noisy_machine_costs_more_and_does_not_meet_the_error():
    rng = np.random.default_rng(0)
    noisy = steady(1 + 0.06 * rng.standard_normal(36))
    calm = estimate_cost(steady((1.0,) * 36), SETTING, 8, repeat_noisy=True)
    found = estimate_cost(noisy, SETTING, 8, repeat_noisy=True)
    assert found.passes_each > calm.passes_each and found.seconds > calm.seconds
    assert found.met_share < 0.5 < calm.met_share
    assert run_checks({"operator": noisy}, {"operators": found}, RunConditions(), 2, SETTING)[-1].status == "warning"
    # Subnets are not repeated until they meet it.
    assert estimate_cost(noisy, SETTING, 200, repeat_noisy=False).passes_each == SETTING.passes


def test_busy_passes_cost_their_time_and_do_not_count():
    calm = steady((1.0,) * 12)
    half = replace(calm, passes=tuple(one_pass(at=i, busy=i % 2 == 1) for i in range(12)))
    assert estimate_cost(half, SETTING, 8, repeat_noisy=True).passes_each > 1.5 * SETTING.passes


def test_the_cost_is_in_proportion_to_the_entries_and_repeatable():
    few, many = (estimate_cost(steady(), SETTING, entries, repeat_noisy=True) for entries in (30, 60))
    assert many.seconds == pytest.approx(2 * few.seconds)
    assert estimate_cost(steady(), SETTING, 30, repeat_noisy=True) == few


# The whole ---------------------------------------------------------------------------------------------------------

KEYS = {
    *("verdict", "warnings", "noise_floor", "reference_ms", "busy_share", "stolen_share", "precisions", "seconds"),
    *("environment", "end_state", "unknown", "checks", "quick", "runs", "cost", "instructions"),
}


@pytest.fixture
def own_lock(tmp_path, monkeypatch):
    """A timing lock of the test's own: the host's may be held by a real measurement."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def latlas(*words):
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def test_state_only(own_lock, monkeypatch):
    monkeypatch.setattr(Bench, "__enter__", lambda self: pytest.fail("it was going to measure"))
    code, out, err = latlas("doctor", "--quick", "--json")
    record = json.loads(out)
    assert set(record) == KEYS, err
    assert code == (record["verdict"] == "not now")
    assert (record["quick"], record["runs"], record["cost"], record["noise_floor"]) == (True, {}, {}, None)
    assert record["environment"]["reference_ms"] is None
    assert record["environment"]["openvino_build"].startswith(record["environment"]["openvino_version"])
    assert [set(check) for check in record["checks"]] == [
        {"name", "status", "value", "seen", "meaning", "advice"} for _ in record["checks"]
    ]


def hasten(patch):
    setting_of = setting.setting_of

    def hasty(*arguments):
        made = setting_of(*arguments)
        rule = replace(made.rule, pass_seconds=0.02, min_rounds=3, max_seconds=1.0, quiet_tolerance=100.0)
        return replace(made, rule=rule)

    patch.setattr(setting, "setting_of", hasty)


def test_a_short_run_on_this_machine(own_lock, monkeypatch):
    hasten(monkeypatch)
    # Of other work on this machine the verdict may say what it likes; the rest of the record is there.
    code, out, err = latlas("doctor", "--rounds", 4, "--relative-error", 0.2, "--json")
    record = json.loads(out)
    assert set(record) == KEYS, err
    assert code == (record["verdict"] == "not now")
    assert set(record["runs"]) == {"operator", "network"}
    for name, run in record["runs"].items():
        assert run["reference_id"].startswith(name) and run["reference_ms"] > 0
        assert run["passes"] == 4 and run["busy_passes"] == 0
        assert run["noise_floor_lower"] <= run["noise_floor"] <= run["noise_floor_upper"]
    assert record["noise_floor"] == record["runs"]["network"]["noise_floor"]
    assert record["environment"]["reference_ms"] == record["reference_ms"]
    assert record["cost"]["operators"]["entries"] == 94 and record["cost"]["subnets"]["entries"] == 200
    assert record["cost"]["operators"]["seconds"] > 0
    assert {"run_steal", "noise_floor_operator", "cost_subnets"} <= {check["name"] for check in record["checks"]}
    lines = [text for text, _ in lines_of(record)]
    assert lines[-1].startswith(f"verdict: {record['verdict']}")
    assert all(warning.split("; ")[0] in "\n".join(lines) for warning in record["warnings"])


def test_another_measurement_is_told_and_left_alone(own_lock, monkeypatch):
    monkeypatch.setattr(lock, "holder", lambda: "pid 77 since 2026-01-01T00:00:00+00:00")
    monkeypatch.setattr(doctor, "_run", lambda *arguments: pytest.fail("it measured beside another"))
    code, out, _ = latlas("doctor")
    assert code == 1
    assert "another Latlas measures here (pid 77 since 2026-01-01T00:00:00+00:00)" in out
    assert "wait for it to end" in out
    assert out.splitlines()[-1].startswith("verdict: not now: ")


def test_a_precision_that_is_not_there_is_not_measured(own_lock, monkeypatch):
    monkeypatch.setattr("latlas.latency.runtime.plugin.supported_precisions", lambda: ["f32"])
    monkeypatch.setattr(doctor, "_run", lambda *arguments: pytest.fail("it measured"))
    record = diagnose(Setting(precision="bf16"), operators=3)
    assert record["verdict"] == "not now"
    assert record["precisions"] == ["f32"]
    assert any("this CPU has no bf16" in warning for warning in record["warnings"])


def test_instructions_are_of_every_precision(own_lock):
    record = diagnose(Setting(), operators=3, quick=True)
    assert set(supported_precisions()) <= set(record["instructions"])


def test_lines_are_plain_when_piped_and_the_verdict_is_last(own_lock):
    _, out, _ = latlas("doctor", "--quick")
    assert "\x1b" not in out
    assert out.splitlines()[-1].startswith("verdict: ")
    assert "(state only, nothing was measured)" in out.splitlines()[-1]


def test_colours_on_a_terminal(own_lock, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, out, _ = latlas("doctor", "--quick")
    assert "\x1b[" in out


@pytest.mark.parametrize("words", [("--rounds", "3"), ("--relative-error", "2"), ("--space", "atlantis")])
def test_impossible_options(words, own_lock):
    code, out, err = latlas("doctor", *words, "--quick")
    assert (code, out) == (2, "")
    assert words[1] in err


# The lock ----------------------------------------------------------------------------------------------------------


def test_who_holds_the_lock(tmp_path):
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    with lock.timing_lock(path=path):
        assert lock.holder(path) is None  # this process itself
        other = lock._LOCKS.pop(path)  # as another process, which has an object of its own
        assert lock.holder(path).startswith(f"pid {os.getpid()} since ")
        lock._LOCKS[path] = other
    assert lock.holder(path) is None


def test_a_lock_that_cannot_be_opened_is_an_error(tmp_path):
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(LatlasError, match="cannot lock"):
        lock.holder(tmp_path / "file" / "lock")


def test_folder_is_the_one_that_is_written_to(own_lock, tmp_path):
    assert inspect_machine(("f32",), tmp_path, 0.01).free_bytes is not None
    assert inspect_machine(("f32",), Path(tmp_path / "gone"), 0.01).free_bytes is None
