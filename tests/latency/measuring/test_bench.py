"""The bench against real timing processes; what hangs or dies is scripted by replacing the process's program."""

import sys
import textwrap

import pytest

from latlas.errors import CompileTimeoutError, FileFormatError, UsageError
from latlas.latency.machine.trouble import listening
from latlas.latency.measuring import bench as bench_module
from latlas.latency.measuring.bench import Bench, Network, ProcessDiedError, network_of_graph
from latlas.latency.measuring.stopwatch import StopRule
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.plugin import openvino_version
from latlas.latency.runtime.reference import NETWORK, OPERATOR
from latlas.supernet.operators.build import timing_operator

QUICK = StopRule(relative_half_width=0.5, min_rounds=6, pass_seconds=0.001, max_seconds=2.0, quiet_tolerance=100.0)


@pytest.fixture
def own_lock(tmp_path, monkeypatch):
    """A timing lock of the test's own: the host's may be held by a real measurement."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_networks_are_timed_in_a_process_of_their_own(tmp_path, tiny_space, own_lock):
    library = OperatorLibrary(tmp_path, timing_operator)
    graph = tiny_space.cover()[0].graph()
    network = network_of_graph("net", library.describe(graph))
    with Bench(rule=QUICK, recycle_after=2) as bench:
        assert (bench.openvino_version, bench.reference_id) == (openvino_version(), NETWORK.id)
        first = bench._process.pid
        passes = [bench.time(network) for _ in range(3)]
        assert bench._process.pid != first  # recycled
    assert all(done.rounds >= 6 and len(done.reference_times_ms) == done.rounds + 1 for done in passes)
    assert all(min(*done.times_ms, *done.reference_times_ms) > 0 for done in passes)


def test_a_model_file_is_timed_and_a_broken_one_costs_one_entry(tmp_path, own_lock):
    broken, library = tmp_path / "broken.xml", OperatorLibrary(tmp_path, timing_operator)
    broken.write_text("<net>")
    from latlas.spaces.operators.spec import OpSpec

    good = Network("good", file=str(library.path(OpSpec("conv", 3, 8, 16, 16, 2, 3))))
    with Bench(rule=QUICK) as bench:
        with pytest.raises(FileFormatError, match="broken"):
            bench.time(Network("broken", file=str(broken)))
        with pytest.raises(UsageError, match="no such file"):
            bench.time(Network("gone", file=str(tmp_path / "gone.xml")))
        assert bench.time(good).rounds


def test_the_reference_is_chosen_and_its_quiet_level_handed_on(tmp_path, monkeypatch, own_lock):
    with Bench(rule=QUICK, reference="operator") as bench:
        assert bench.reference_id == OPERATOR.id
    with pytest.raises(UsageError, match="reference is 'gpu'"), Bench(reference="gpu"):
        pass
    # A scripted process whose reference takes a fifth longer where it was compiled anew.
    _program(
        tmp_path,
        monkeypatch,
        """
        while True:
            told = 3.6 if request["fresh"] else 3.0
            print(json.dumps({"event": "compiled", "seconds": 0.1}), flush=True)
            print(json.dumps({"event": "pass", "reference": [told] * 7, "times": [2] * 12}), flush=True)
            request = json.loads(sys.stdin.readline())
        """,
    )
    with Bench(rule=QUICK) as bench:
        passes = [bench.time(Network(name, file=name)) for name in ("a", "b", "a", "b", "b")]
    # No network meets a compile of the reference twice.
    assert [done.reference_ms for done in passes] == [3.0, 3.0, 3.6, 3.0, 3.6]
    assert [done.known_ms for done in passes] == [None, 3.0, 3.0, pytest.approx(3.0), pytest.approx(3.0)]
    assert passes[1].at >= passes[0].at > 1e9


def _program(tmp_path, monkeypatch, body):
    """Have the bench start this script in place of the worker."""
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, os, sys, time
            sys.stdin.readline()
            print(json.dumps({"event": "ready", "openvino": "0", "reference": "r"}), flush=True)
            request = json.loads(sys.stdin.readline())
            """
        )
        + textwrap.dedent(body)
    )
    real = bench_module.subprocess.Popen
    monkeypatch.setattr(
        bench_module.subprocess, "Popen", lambda command, **options: real([sys.executable, str(script)], **options)
    )


ROUNDS = """
print(json.dumps({"event": "compiled", "seconds": 0.1}), flush=True)
print(json.dumps({"event": "pass", "reference": [1] * 7, "times": [2] * 12}), flush=True)
"""


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("time.sleep(60)", "compiling bad: nothing came back within 0.5 s"),
        ("os._exit(1)", "compiling bad: its process died"),
    ],
)
def test_a_compiler_that_hangs_or_dies_is_given_up_and_the_next_network_is_timed(
    tmp_path, monkeypatch, own_lock, trouble, message
):
    _program(tmp_path, monkeypatch, f"if request['file'] == 'bad':\n    {trouble}\n" + ROUNDS)
    with Bench(rule=QUICK, compile_seconds=0.5) as bench:
        with pytest.raises(CompileTimeoutError, match=message):
            bench.time(Network("bad", file="bad"))
        assert bench.time(Network("good", file="good")).ratio == 2.0


def test_a_network_that_hangs_while_it_runs_is_given_up(tmp_path, monkeypatch, own_lock):
    _program(tmp_path, monkeypatch, ROUNDS.splitlines()[1] + "\ntime.sleep(60)\n")
    rule = StopRule(max_seconds=0.2)
    with Bench(rule=rule, compile_seconds=0.3) as bench, pytest.raises(CompileTimeoutError, match="timing slow"):
        bench.time(Network("slow", file="slow"))


def test_the_process_ends_with_the_bench(tmp_path, own_lock):
    with Bench(rule=QUICK) as bench:
        process = bench._process
    assert process.poll() is not None


CRASHES = (
    """
marks = os.path.join(os.path.dirname(__file__), "passes")
with open(marks, "a") as file:
    file.write(request["file"] + "\\n")
seen = open(marks).read().split().count(request["file"])
if request["file"] == "bad" and seen % 2 == 0:
    os.kill(os.getpid(), 11)
"""
    + ROUNDS
)


def test_a_network_that_crashes_between_passes_fails_at_its_second_crash(tmp_path, monkeypatch, own_lock):
    """Every other pass comes through: each time the process is started anew, and a latency would be made of what is left."""
    _program(tmp_path, monkeypatch, CRASHES)
    with Bench(rule=QUICK, recycle_after=1) as bench:
        assert bench.time(Network("bad", file="bad")).ratio == 2.0
        assert bench.time(Network("bad", file="bad")).ratio == 2.0  # crashed once, tried again
        assert (bench.crashes["bad"], bench.crashes["good"]) == (1, 0)
        with pytest.raises(ProcessDiedError, match=r"its process died \(SIGSEGV\), 2 times in all: .* --values NAME"):
            bench.time(Network("bad", file="bad"))
        assert bench.time(Network("good", file="good")).ratio == 2.0


def test_what_something_else_killed_is_no_crash(tmp_path, monkeypatch, own_lock):
    _program(tmp_path, monkeypatch, CRASHES.replace("os.getpid(), 11", "os.getpid(), 9"))
    with Bench(rule=QUICK, recycle_after=1) as bench:
        assert [bench.time(Network("bad", file="bad")).ratio for _ in range(4)] == [2.0] * 4
        assert bench.crashes["bad"] == 0


def test_what_was_wrong_with_the_machine_is_told_when_the_bench_is_left(tmp_path, monkeypatch, own_lock):
    _program(tmp_path, monkeypatch, ROUNDS)
    seen = iter([(5, 1.0), (969, 8.0)])
    monkeypatch.setattr("latlas.latency.machine.system.cgroup_throttling", lambda root: next(seen, (969, 8.0)))
    with listening() as heard, Bench(rule=QUICK) as bench:
        bench.time(Network("a", file="a"))
    assert any("a CPU limit stopped the run 964 times, for 7.00 s" in line for line in heard)
    assert set(bench.problems) <= set(heard)
