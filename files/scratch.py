"""Temporary folders of runs. It also removes the folders that killed runs left."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "latlas-"
_OWNER = "owner"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files, `latlas-<pid>-...`, deleted at the end; folders of killed runs are removed first.

    A run holds a lock on a file in its folder. If this lock is free, the run has ended, however it ended. A process number
    would not tell, as containers may share the folder but not process numbers.
    """
    parent = Path(tempfile.gettempdir())
    remove_stale_folders(parent)
    folder, owner = _made(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if owner >= 0:
            os.close(owner)


def remove_stale_folders(parent: Path) -> list[Path]:
    """Remove this user's scratch folders whose runs have ended, and return the removed ones."""
    removed: list[Path] = []
    with suppress(OSError):
        for folder in sorted(parent.glob(f"{PREFIX}*-*")):
            with suppress(OSError):
                if _is_stale(folder):
                    removed.append(folder)
    return removed


def _made(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
        if sys.platform == "win32":
            return folder, -1
        owner = _locked(folder / _OWNER, os.O_CREAT)
        if owner is not None:
            return folder, owner
        # Another run took it for a stale folder before it was locked.
        shutil.rmtree(folder, ignore_errors=True)


def _is_stale(folder: Path) -> bool:
    """Remove the folder if it is stale; whether it was."""
    if sys.platform == "win32" or folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        return False
    owner = _locked(folder / _OWNER)
    if owner is None:
        return False
    try:
        shutil.rmtree(folder)
    finally:
        os.close(owner)
    return True


def _locked(path: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the file's lock; None if another process holds it, or if there is no such file."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
