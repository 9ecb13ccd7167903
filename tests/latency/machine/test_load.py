"""What others take, with psutil's answers scripted."""

import os
from types import SimpleNamespace

import psutil
import pytest

from latlas.latency.machine import load
from latlas.latency.machine.load import LoadMeter, OtherLoad, ProcessLoad, StealMeter, other_load


class Machine:
    """Four CPUs, of which this process may use the first two; `run` lets a second pass with CPU seconds a process."""

    def __init__(self, monkeypatch):
        self.now, self.own = 100.0, 7.0
        self.busy = [50.0, 50.0, 50.0, 50.0]
        self.seconds = {1: ("init", 5.0), os.getpid(): ("python", 9.0), 42: ("a\x1b[31mgame", 1.0), 43: ("idle", 1.0)}
        monkeypatch.setattr(load, "allowed_cpus", lambda: frozenset({0, 1}))
        monkeypatch.setattr(load.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(load.os, "times", lambda: (self.own, 0.0, 0.0, 0.0, 0.0))
        monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [self._cpu(busy) for busy in self.busy])
        monkeypatch.setattr(psutil, "process_iter", lambda names: [self._process(pid) for pid in self.seconds])

    def _cpu(self, busy):
        return SimpleNamespace(
            user=busy / 2, nice=0.0, system=busy / 2, idle=1000.0, iowait=1000.0, guest=busy / 2, steal=9.0
        )

    def _process(self, pid):
        name, seconds = self.seconds[pid]
        times = SimpleNamespace(user=seconds, system=0.0, children_user=100.0)
        return SimpleNamespace(pid=pid, info={"name": name, "cpu_times": times, "create_time": 1.0})

    def run(self, processes=(), own=0.0, elsewhere=0.0):
        """Returns a `sleep` after which these processes have run on CPU 0, and `elsewhere` something on CPU 2."""

        def sleep(seconds):
            self.now += seconds
            self.own += own
            self.busy[0] += own + sum(dict(processes).values())
            self.busy[2] += elsewhere
            for pid, more in dict(processes).items():
                name, so_far = self.seconds.get(pid, ("new", 0.0))
                self.seconds[pid] = (name, so_far + more)

        return sleep


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_nothing_else_runs(machine):
    assert other_load(2.0, machine.run(own=0.5)) == OtherLoad(0.0, (), 2.0)


def test_others_are_named_the_largest_first_and_we_are_not_among_them(machine):
    found = other_load(2.0, machine.run({42: 1.0, 43: 0.02, 1: 0.2, 99: 1.6, os.getpid(): 0.0}, own=0.5))
    assert found.cpus == pytest.approx((1.0 + 0.02 + 0.2 + 1.6) / 2)
    assert found.largest == (
        ProcessLoad("new", 99, 0.8),
        ProcessLoad("a [31mgame", 42, 0.5),
        ProcessLoad("init", 1, 0.1),
    )


def test_only_the_cpus_that_we_may_use_count(machine):
    assert other_load(1.0, machine.run(elsewhere=1.0)).cpus == 0.0


def test_no_more_than_five_are_named(machine):
    assert len(other_load(1.0, machine.run(dict.fromkeys(range(200, 210), 0.1))).largest) == 5


def test_what_cannot_be_seen_in_processes_counts_all_the_same(machine):
    def sleep(seconds):
        machine.now += seconds
        machine.busy[1] += 0.9

    assert other_load(1.0, sleep) == OtherLoad(pytest.approx(0.9), (), 1.0)


def test_without_times_of_cpus_the_processes_say_it(machine, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: (_ for _ in ()).throw(NotImplementedError))
    assert other_load(1.0, machine.run({42: 0.5})).cpus == 0.5


def test_a_system_that_says_nothing(machine, monkeypatch):
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(psutil, "process_iter", lambda names: [])
    assert other_load(1.0, machine.run()) == OtherLoad(None, (), 1.0)
    assert LoadMeter().read() is None


def test_a_process_that_says_nothing_is_left_out(machine, monkeypatch):
    silent = SimpleNamespace(pid=7, info={"name": None, "cpu_times": None, "create_time": None})
    monkeypatch.setattr(psutil, "process_iter", lambda names: [silent])
    assert other_load(1.0, machine.run()).largest == ()


def test_this_machine_answers():
    found = other_load(0.05)
    assert found.cpus is not None and 0 <= found.cpus <= 4096
    assert os.getpid() not in [one.pid for one in found.largest]


def test_steal_meter_counts_from_the_last_read(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu 100 0 0 100 0 0 0 10 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    meter = StealMeter(tmp_path)
    (tmp_path / "proc/stat").write_text("cpu 130 0 0 150 0 0 0 30 5 0\n")
    assert meter.read() == 0.2
    assert meter.read() is None or meter.read() == 0.0
    (tmp_path / "proc/stat").write_text("cpu 130 0 0 250 0 0 0 30 5 0\n")
    assert meter.read() == 0.0
    assert StealMeter(tmp_path / "nowhere").read() is None
