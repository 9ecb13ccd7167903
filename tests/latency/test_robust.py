"""Interrupts, kills, full disks and stale files: of a profile with scripted times, and of the real command."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from latlas import cli
from latlas.errors import InterruptedRunError, LatlasError, StorageError, UsageError
from latlas.files import journal as journal_file
from latlas.files import scratch
from latlas.files import signals as interrupt
from latlas.files.journal import Journal
from latlas.files.lock import lock_path, timing_lock, waiting_at_most
from latlas.latency.measuring.bench import Bench, Network, ProcessDiedError
from latlas.latency.measuring.profile import Setting, partial_path, profile
from latlas.latency.measuring.stopwatch import Pass, StopRule
from latlas.latency.runtime import conversion, model_file
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.reference import OPERATOR
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import OpSpec
from latlas.supernet.operators.build import timing_operator

SPECS = [OpSpec("conv", 3, 8 * n, 16, 16, 1, 3) for n in range(1, 6)]
SETTING = Setting(passes=2, max_passes=2)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


class ScriptedBench:
    """Stands for a bench; `at` is called before each pass with how many there were."""

    def __init__(self, at=lambda count: None):
        self.rule, self.count, self._at = StopRule(), 0, at
        self.openvino_version, self.reference_id = runtime.openvino_version(), OPERATOR.id
        self._rng = np.random.default_rng(0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def time(self, network):
        self._at(self.count)
        self.count += 1
        return Pass((0.5,) * 13, (float(self._rng.normal(1.0, 1e-4)),) * 24, at=float(self.count))

    def node_times(self, network):
        return {"call_us": 1.0, "samples": [{"inner_us": [40.0], "border_us": [5.0], "wall_us": 50.0}]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Profile `SPECS` into t.parquet with scripted times."""

    def path(self, spec):
        return tmp_path / f"{spec.name}.xml"

    def go(at=lambda count: None, specs=SPECS, **options):
        monkeypatch.setattr(OperatorLibrary, "path", options.pop("path", path))
        monkeypatch.setattr(Setting, "bench", lambda self, reference="network": ScriptedBench(at))
        out = tmp_path / "t.parquet"
        return profile(specs, timing_operator, out, SETTING, space="few", command="test", **options)

    return go


def raises_signal_at(wanted, number=signal.SIGINT):
    def at(count):
        if count == wanted:
            signal.raise_signal(number)
            with interrupt.waiting():
                pytest.fail("it was not stopped")

    return at


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


class TestInterrupted:
    def test_what_there_is_becomes_a_table_and_the_same_call_goes_on(self, run, tmp_path):
        with pytest.raises(
            InterruptedRunError, match=r"stopped with 5 of 5 operators in .*t\.parquet\.partial"
        ) as told:
            run(raises_signal_at(7))
        assert "the same command goes on from" in str(told.value)
        assert files(tmp_path) == ["t.parquet.journal", "t.parquet.partial"]
        partial = Table.read(partial_path(tmp_path / "t.parquet"))
        assert sorted(row.passes for row in partial) == [1, 1, 1, 2, 2]
        # One pass of two that were asked for is no reading to rely on, however narrow.
        assert all(row.status == "noisy" for row in partial if row.passes == 1)
        assert {row.spec for row in partial} == set(SPECS)

        counts: list[int] = []
        table = run(counts.append)
        assert len(counts) == 3
        assert {row.spec for row in table} == set(SPECS)
        assert all(row.passes == 2 for row in table)
        assert files(tmp_path) == ["t.parquet"]
        assert not list((tmp_path / "tmp").glob("latlas-*-*"))

    def test_what_was_not_measured_is_absent(self, run, tmp_path):
        with pytest.raises(InterruptedRunError, match="stopped with 2 of 5 operators"):
            run(raises_signal_at(2))
        assert len(Table.read(tmp_path / "t.parquet.partial")) == 2

    def test_before_anything_was_measured_there_is_no_table(self, run, tmp_path):
        with pytest.raises(InterruptedRunError, match="before any of 5 operators"):
            run(on_convert=lambda done, total: signal.raise_signal(signal.SIGINT))
        assert files(tmp_path) == ["t.parquet.journal"]

    def test_a_finished_pass_is_kept_though_the_signal_came_within_the_journal(self, run, tmp_path, monkeypatch):
        append = Journal.append

        def interrupted(self, record):
            signal.raise_signal(signal.SIGINT)
            append(self, record)

        monkeypatch.setattr(Journal, "append", interrupted)
        with pytest.raises(InterruptedRunError, match="stopped with 1 of 5"):
            run()
        assert len((tmp_path / "t.parquet.journal").read_text().splitlines()) == 2

    def test_an_interrupt_that_a_conversion_makes_an_error_is_still_one(self, run, tmp_path):
        def path(self, spec):
            signal.raise_signal(signal.SIGINT)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RuntimeError("torch: KeyboardInterrupt") from None

        with pytest.raises(InterruptedRunError):
            run(path=path)
        assert not (tmp_path / "t.parquet").exists()

    def test_a_full_disk_keeps_the_journal(self, run, monkeypatch):
        def write(self, path, overwrite=False):
            raise UsageError(f"cannot write {path}: No space left on device")

        monkeypatch.setattr(Table, "write", write)
        with pytest.raises(InterruptedRunError, match=r"goes on from .*journal .*No space left"):
            run(raises_signal_at(7))

    def test_handlers_are_put_back(self, run):
        before = [signal.getsignal(number) for number in interrupt.SIGNALS]
        with pytest.raises(InterruptedRunError):
            run(raises_signal_at(7))
        assert [signal.getsignal(number) for number in interrupt.SIGNALS] == before


class TestHeldSignals:
    def test_the_first_waits_for_a_place_and_the_second_does_not(self):
        with interrupt.stoppable():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                interrupt.check()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        interrupt.check()

    def test_a_wait_is_left_at_once_and_within_one_at_once_too(self):
        reached = []
        with interrupt.stoppable(), pytest.raises(KeyboardInterrupt), interrupt.waiting():  # noqa: PT012
            signal.raise_signal(signal.SIGINT)
            reached.append("it went on waiting")
        assert not reached

    def test_outside_they_are_as_ever(self):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with interrupt.waiting():
            pass

    def test_another_thread_leaves_them_alone(self):
        seen = []

        def look():
            with interrupt.stoppable():
                seen.append(signal.getsignal(signal.SIGINT))

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [signal.getsignal(signal.SIGINT)]

    def test_only_what_was_not_ignored_is_taken(self):
        before = {number: signal.getsignal(number) for number in interrupt.SIGNALS}
        try:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            interrupt.raise_on_signals()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class TestFullDisk:
    def test_an_operator_that_cannot_be_written_ends_the_run_and_is_no_failed_row(self, run, tmp_path):
        def path(self, spec):
            raise StorageError("cannot write it; is the disk full?")

        with pytest.raises(StorageError, match="is the disk full"):
            run(path=path)
        assert not (tmp_path / "t.parquet").exists()

    def test_one_that_cannot_be_converted_is(self, run):
        def path(self, spec):
            if spec == SPECS[0]:
                raise RuntimeError("no such kernel")
            return Path("a.xml")

        table = run(path=path)
        assert [row.reason for row in table if row.status == "failed"] == ["cannot be converted: no such kernel"]

    def test_openvinos_files_are_whole_or_not_there(self, tmp_path):
        model = conversion.convert(timing_operator(SPECS[3]), SPECS[3])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
        try:
            with pytest.raises(StorageError, match=r"cannot write .*a\.xml"):
                model_file.save(model, tmp_path / "a.xml")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert files(tmp_path) == []

    def test_a_table_that_cannot_be_written_leaves_the_journal_and_is_written_later(self, run, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill(count):
            if count == 9:  # the journal's last record still fits, a table does not
                resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))

        try:
            with pytest.raises(
                StorageError, match=r"cannot write .*all is measured, and the same command goes on from"
            ):
                run(fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert files(tmp_path) == ["t.parquet.journal"]
        assert len(run(lambda count: pytest.fail("measured again"))) == 5
        assert files(tmp_path) == ["t.parquet"]

    def test_a_journal_that_cannot_be_begun_is_not_left_behind(self, tmp_path, monkeypatch):
        def write(descriptor, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(StorageError, match="No space left"):
            Journal(tmp_path / "t.journal", {})
        assert files(tmp_path) == []


class TestOneRunAPath:
    def test_a_second_run_is_refused_while_the_first_goes_on(self, run):
        def again(count):
            with pytest.raises(LatlasError, match="in use by another run"):
                run()

        def at(count):
            if count == 3:
                again(count)

        assert len(run(at)) == 5

    def test_a_table_that_the_other_run_finished_meanwhile_is_not_measured_again(self, run, tmp_path, monkeypatch):
        opened = Journal._open

        def late(self):
            (tmp_path / "t.parquet").write_text("the other's")
            opened(self)

        monkeypatch.setattr(Journal, "_open", late)
        with pytest.raises(UsageError, match=r"t\.parquet exists already"):
            run(lambda count: pytest.fail("measured"))
        assert files(tmp_path) == ["t.parquet"]

    def test_a_run_killed_between_its_table_and_its_journals_end_is_through(self, run, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", Journal.close)
            whole = run()
        assert files(tmp_path) == ["t.parquet", "t.parquet.journal"]
        assert run(lambda count: pytest.fail("measured again")) == whole
        assert files(tmp_path) == ["t.parquet"]

    def test_but_not_where_the_table_is_anothers(self, run, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", Journal.close)
            run()
        table = Table.read(tmp_path / "t.parquet")
        replace(table, manifest=replace(table.manifest, command="another")).write(
            tmp_path / "t.parquet", overwrite=True
        )
        with pytest.raises(UsageError, match="exists already"):
            run(lambda count: pytest.fail("measured again"))
        assert files(tmp_path) == ["t.parquet", "t.parquet.journal"]

    def test_a_journal_deleted_while_it_was_opened_is_made_anew(self, tmp_path, monkeypatch):
        path, lock = tmp_path / "t.journal", journal_file._lock
        times: list[int] = []

        def locked(descriptor, of):
            if not times:
                path.unlink()  # the other run is through just now
            times.append(1)
            lock(descriptor, of)

        monkeypatch.setattr(journal_file, "_lock", locked)
        with Journal(path, {}) as journal:
            journal.append({"n": 1})
            assert journal.reread() == [{"n": 1}]
        assert len(times) == 2
        with Journal(path, {}) as journal:
            assert journal.records == [{"n": 1}]

    def test_half_written_tables_of_a_killed_run_are_removed(self, run, tmp_path):
        mine = [".t.parquet.x1.tmp", ".t.parquet.partial.x2.tmp"]
        for name in (*mine, ".u.parquet.x3.tmp", ".t.parquet.notes"):
            (tmp_path / name).write_text("half")
        run()
        assert files(tmp_path) == [".t.parquet.notes", ".u.parquet.x3.tmp", "t.parquet"]


HOLDING = """
import time
from latlas.files.{module} import {name}
with {name}():
    print("held", flush=True)
    time.sleep(60)
"""


def holder(module, name):
    """Another process that holds what the name gives."""
    program = HOLDING.format(module=module, name=name)
    process = subprocess.Popen([sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


class TestTwoRunsOnAHost:
    def test_the_second_waits_as_long_as_it_is_told(self):
        with holder("lock", "timing_lock") as process:
            try:
                said: list[str] = []
                with (
                    waiting_at_most(0.2),
                    pytest.raises(LatlasError, match=rf"after 0\.2 s \(pid {process.pid} "),
                    timing_lock(on_wait=said.append),
                ):
                    pytest.fail("the lock was held twice")
                assert len(said) == 1
                words = ["profile-ops", "--out", "t.parquet", "--lock-timeout", "0"]
                assert cli.run(words) == 1
            finally:
                process.kill()
        with waiting_at_most(0), timing_lock():
            assert lock_path().exists()

    def test_the_option_is_the_commands_alone(self):
        assert cli.run(["profile-ops", "--lock-timeout", "0", "--dry-run"]) == 0
        with holder("lock", "timing_lock") as process:
            threading.Timer(0.3, process.kill).start()
            with timing_lock(on_wait=lambda line: None):
                pass


class TestScratchFolders:
    def test_those_of_killed_runs_are_removed_and_those_of_live_ones_not(self, own_temporary_folder):
        dead = holder("scratch", "scratch_folder")
        with holder("scratch", "scratch_folder") as alive, dead:
            try:
                for name in ("latlas-1-notours", "latlas-demo"):
                    (own_temporary_folder / name).mkdir()
                (own_temporary_folder / "latlas-2-link").symlink_to(own_temporary_folder / "latlas-1-notours")
                dead.kill()
                dead.wait()
                with scratch.scratch_folder() as mine:
                    owners = {path.name.rsplit("-", 1)[0] for path in own_temporary_folder.iterdir() if path.is_dir()}
                    assert mine.name.startswith(f"latlas-{os.getpid()}-")
                    assert f"latlas-{alive.pid}" in owners
                    assert f"latlas-{dead.pid}" not in owners
                    assert {"latlas-1-notours", "latlas-2-link", "latlas-demo"} <= {
                        path.name for path in own_temporary_folder.iterdir()
                    }
                assert not mine.exists()
            finally:
                alive.kill()

    def test_one_that_another_run_took_for_stale_is_made_anew(self, monkeypatch):
        locked, times = scratch._locked, []

        def taken(path, flags=0):
            times.append(path)
            if len(times) == 1:
                shutil.rmtree(path.parent)
            return locked(path, flags)

        monkeypatch.setattr(scratch, "_locked", taken)
        with scratch.scratch_folder() as folder:
            assert folder.is_dir()
        assert len(times) == 2


BUSY = """
import os, sys
from latlas.files.signals import end_with
end_with(int(sys.argv[1]))
print(os.getpid(), flush=True)
while True:
    pass
"""
ORPHAN = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-P", "-c", sys.argv[1], str(os.getpid())], start_new_session=True)
time.sleep(60)
"""


def test_a_child_in_the_middle_of_work_ends_with_its_killed_parent():
    with subprocess.Popen([sys.executable, "-P", "-c", ORPHAN, BUSY], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        gone, left = psutil.wait_procs([child], timeout=10)
        for one in left:
            one.kill()
        assert gone and not left


def test_a_child_whose_parent_is_gone_already_ends():
    program = (
        "import sys\nfrom latlas.files.signals import end_with\nend_with(1 if len(sys.argv) < 2 else 0)\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_types_of_traced_modules_are_dropped():
    import torch

    conversion.convert(timing_operator(SPECS[0]), SPECS[0])
    assert not torch.jit._recursive.concrete_type_store.type_store


BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_the_memory_benchmark_counts_models_and_processes(tiny_space, load_script):
    memory = load_script(BENCHMARKS / "memory.py")
    record = memory.timed(5, tiny_space, 2)
    assert (record["models"], record["failed"]) == (5, 0)
    assert record["timing_process"]["processes"] == 2  # as seen before each model; the third is there for the last
    assert record["run"]["peak_mib"] > 0
    assert memory.slope([2048 * n for n in range(5)]) == pytest.approx(2.0)
    assert memory.figures([2**30] * 10)["flat"]
    assert not memory.figures([2**30 + n * 2**24 for n in range(10)])["flat"]


def test_the_real_command_loses_nothing_over_kills(tmp_path, load_script):
    kills = load_script(BENCHMARKS / "kills.py")
    run, rng = kills.Run(tmp_path / "t.parquet", tmp_path / "tmp", 2), random.Random(3)
    count: Counter[str] = Counter()
    process = run.start()
    while process.poll() is None and not run.look():
        time.sleep(0.01)
    workers = kills.children(process.pid)
    process.kill()
    error = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, error
    assert workers and not psutil.wait_procs(workers, timeout=10)[1]
    begun = run.look()
    assert begun >= 1
    assert kills.live(run, rng, count, mortal=False)
    assert len(run.seen) > begun
    assert (run.lost, len(kills.keys(run.out)), Table.read(run.out).count("failed")) == (0, 2, 0)
    assert kills.left_in(tmp_path / "tmp", set()) == []
    assert files(tmp_path) == ["t.parquet"]


def test_a_timing_process_that_something_ended_is_no_failed_entry(tmp_path, monkeypatch):
    spec = SPECS[0]
    network = Network("conv", file=str(OperatorLibrary(tmp_path, timing_operator).path(spec)))
    start = Bench._start
    died: list[int] = []

    def dying(self):
        if not died:
            died.append(1)
            raise ProcessDiedError("starting the timing process: its process died")
        start(self)

    monkeypatch.setattr(Bench, "_start", dying)
    with SETTING.bench("operator") as bench:
        bench._process.kill()
        assert bench.time(network).times_ms
