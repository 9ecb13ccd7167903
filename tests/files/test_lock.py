import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from latlas.errors import LatlasError
from latlas.files.lock import lock_path, timing_lock

HOLD = """
import sys, time
from pathlib import Path
from latlas.files.lock import timing_lock
with timing_lock(path=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "timing.lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_lock_is_the_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert lock_path() == tmp_path / "latlas-timing.lock"
    with timing_lock():
        assert lock_path().exists()


def test_free_lock_is_taken_without_a_word_and_again(path):
    said: list[str] = []
    for _ in range(2):
        with timing_lock(timeout_s=0, on_wait=said.append, path=path), timing_lock(timeout_s=0, path=path):
            pass
    assert said == []


def test_another_user_may_open_it(path):
    with timing_lock(path=path):
        pass
    assert path.stat().st_mode & 0o777 == 0o666
    assert path.with_suffix(".holder").stat().st_mode & 0o777 == 0o666


def test_held_lock_is_an_error_after_the_time_and_says_who_holds_it(path, holder):
    said: list[str] = []
    with (
        pytest.raises(LatlasError, match=rf"still timing on this host after 0\.2 s \(pid {holder.pid} since"),
        timing_lock(timeout_s=0.2, on_wait=said.append, path=path),
    ):
        pytest.fail("the lock was held twice")
    assert len(said) == 1
    assert f"pid {holder.pid} " in said[0]


def test_lock_ends_with_its_process(path, holder):
    said: list[str] = []
    threading.Timer(0.3, lambda: os.kill(holder.pid, signal.SIGKILL)).start()
    with timing_lock(timeout_s=30, on_wait=said.append, path=path):
        assert len(said) == 1
        assert f"pid {os.getpid()} " in path.with_suffix(".holder").read_text()


def test_error_within_gives_the_lock_back(path):
    with pytest.raises(ZeroDivisionError), timing_lock(path=path):
        raise ZeroDivisionError
    with timing_lock(timeout_s=0, path=path):
        pass


def test_another_thread_waits(path):
    order = []
    entered = threading.Event()

    def hold():
        with timing_lock(path=path):
            entered.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    with timing_lock(timeout_s=10, on_wait=lambda line: None, path=path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_lock_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LatlasError, match="cannot lock"), timing_lock(path=tmp_path / "file" / "timing.lock"):
        pass
    link = tmp_path / "link.lock"
    link.symlink_to(tmp_path / "victim")
    with pytest.raises(LatlasError, match="cannot lock"), timing_lock(timeout_s=0, path=link):
        pass
    assert not (tmp_path / "victim").exists()
