"""The timing lock of a host. Two timing processes on the same cores spoil each other, so each holds this lock while it times."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from filelock import FileLock, Timeout

from latlas.errors import LatlasError
from latlas.files import signals as interrupt
from latlas.files.records import one_line, utc_now

logger = logging.getLogger(__name__)

_at_most: ContextVar[float | None] = ContextVar("latlas_lock_seconds", default=None)
_LOCKS: dict[Path, FileLock] = {}  # one object for each path: entering it again in the same thread only counts up


def lock_path() -> Path:
    """The host's lock file, in the folder for temporary files."""
    return Path(tempfile.gettempdir()) / "latlas-timing.lock"


@contextmanager
def waiting_at_most(timeout_s: float | None) -> Iterator[None]:
    """Set how long `timing_lock` waits in this block by default, in seconds; 0 does not wait, None waits for ever."""
    token = _at_most.set(timeout_s)
    try:
        yield
    finally:
        _at_most.reset(token)


@contextmanager
def timing_lock(
    timeout_s: float | None = None,
    on_wait: Callable[[str], None] = logger.warning,
    path: Path | None = None,
) -> Iterator[None]:
    """Hold the host's timing lock; wait if another process holds it.

    The same thread may enter it again while it holds it. The lock ends with the process, however the process ends.

    Args:
        timeout_s: Seconds to wait; None waits as long as `waiting_at_most` says, else for ever.
        on_wait: Called once, before waiting, with a line that says who holds the lock.
        path: Another lock file, for tests.

    Raises:
        LatlasError: The lock was not free in time, or its file cannot be opened.

    Example:
        >>> with timing_lock(timeout_s=60):
        ...     pass  # measure
    """
    path = lock_path() if path is None else path
    timeout_s = _at_most.get() if timeout_s is None else timeout_s
    # Every user of the host must be able to wait for it, whoever made the file.
    lock = _LOCKS.setdefault(path, FileLock(path, mode=0o666))
    try:
        _acquire(lock, path, timeout_s, on_wait)
    except OSError as error:  # filelock.Timeout is an OSError too, but never leaves _acquire
        raise LatlasError(
            f"cannot lock {path}: {error.strerror or error}; is the folder writable, and the file not another user's?"
        ) from error
    try:
        if lock.lock_counter == 1:
            _note_holder(path)
        yield
    finally:
        lock.release()


def holder(path: Path | None = None) -> str | None:
    """The process that times on this host now, as `pid 123 since ...`; None if there is none, or if it is this one.

    Raises `LatlasError` if the lock's file cannot be opened.
    """
    path = lock_path() if path is None else path
    try:
        with timing_lock(0, lambda line: None, path):
            return None
    except LatlasError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return _holder(path)


def _acquire(lock: FileLock, path: Path, timeout_s: float | None, on_wait: Callable[[str], None]) -> None:
    with suppress(Timeout):
        lock.acquire(timeout=0)
        return
    if timeout_s != 0:
        limit = "" if timeout_s is None else f", for at most {timeout_s:g} s"
        on_wait(f"another process is timing on this host ({_holder(path)}); waiting for it to finish{limit}")
    try:
        with interrupt.waiting():
            lock.acquire(timeout=-1 if timeout_s is None else timeout_s, poll_interval=0.1)
    except Timeout:
        raise LatlasError(
            f"another process is still timing on this host after {timeout_s:g} s ({_holder(path)}, lock {path}); "
            "wait for it to end, or end it"
        ) from None


def _holder_path(path: Path) -> Path:
    return path.with_suffix(".holder")


def _note_holder(path: Path) -> None:
    """Write who holds the lock into a side file. If it cannot be written (another user's file, a full disk), timing goes on."""
    flags = os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    side = _holder_path(path)
    with suppress(OSError):
        try:
            # Without O_CREAT where it exists: Linux may refuse that for another user's file in /tmp.
            descriptor = os.open(side, flags)
        except FileNotFoundError:
            descriptor = os.open(side, flags | os.O_CREAT | os.O_EXCL, 0o666)
            with suppress(OSError):
                os.chmod(side, 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"pid {os.getpid()} since {utc_now()}\n")


def _holder(path: Path) -> str:
    with suppress(OSError), open(_holder_path(path), encoding="utf-8", errors="replace") as file:
        return one_line(file.read(200), 100) or "pid unknown"
    return "pid unknown"
