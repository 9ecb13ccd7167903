"""Handles Ctrl-C and `kill`. The first signal stops a run at a point where nothing is half done, the second at once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK_SECONDS = 1.0


def end_with(parent: int) -> None:
    """End this process as soon as the process `parent`, which started it, has ended.

    On Linux the kernel does this at no cost. It takes the *thread* that started the child as its parent, so this thread must
    live as long as the child is needed. On other systems a thread checks once a second.
    """
    if not _killed_by_kernel():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)


def _killed_by_kernel() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass(slots=True)
class _State:
    """How often the user asked to stop, and whether the process only waits now. One object serves the whole process."""

    requests: int = 0
    waiting: bool = False


_state = _State()


def raise_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise `KeyboardInterrupt` as SIGINT does, so that folders and processes are cleaned up.

    A signal that is already ignored (`nohup`) stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def stoppable() -> Iterator[None]:
    """Hold the first signal back until `check` or `waiting`, which raise `KeyboardInterrupt`; a second one raises it at once.

    An interrupted library may turn the interrupt into an error of its own, and an entry could be lost after it is finished and
    before it is in the journal. Only signals that would raise `KeyboardInterrupt` are held, and only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = [number for number in SIGNALS if signal.getsignal(number) is signal.default_int_handler]
    try:
        for number in held:
            signal.signal(number, _note)
        yield
    finally:
        for number in held:
            signal.signal(number, signal.default_int_handler)
        if held:
            _state.requests, _state.waiting = 0, False


def check() -> None:
    """Raises `KeyboardInterrupt` if a signal was held back."""
    if stop_requested():
        raise KeyboardInterrupt


def stop_requested() -> bool:
    """Whether a signal was held back; for work that saves its state before it stops."""
    return _state.requests > 0


@contextmanager
def waiting() -> Iterator[None]:
    """The block only waits and may be left at any moment, so signals are not held back in it."""
    before = _state.waiting
    _state.waiting = True
    try:
        check()
        yield
    finally:
        _state.waiting = before


def _note(number: int, frame: object) -> None:
    _state.requests += 1
    if _state.waiting or _state.requests > 1:
        raise KeyboardInterrupt
