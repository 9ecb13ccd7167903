"""Paths looked at before any work is done: whether what is to be read is there, and whether what is to be written can be."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from latlas.errors import UsageError
from latlas.files.write import cannot_write


def require_can_write(path: Path | str) -> None:
    """Raises an error where a file or folder could not be written at `path`; nothing of the attempt stays.

    The folders that are missing above it are not made. Whether `path` itself is there already is not asked.

    Raises:
        UsageError: A file stands where a folder must be, nothing can be made there, or a name is too long.
        StorageError: The disk is full.
    """
    try:
        place = _nearest_folder(Path(path))
        shutil.rmtree(tempfile.mkdtemp(prefix=".latlas-", dir=place), ignore_errors=True)
    except OSError as error:
        raise cannot_write(path, error) from None


def require_file(path: Path, otherwise: str = "") -> None:
    """Raises `UsageError` where no file is at `path`; `otherwise` ends the message with what to do."""
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}{f'; {otherwise}' if otherwise else ''}")


def _nearest_folder(path: Path) -> Path:
    """The folder that is there and nearest above `path`, or `path` itself where it is one."""
    place = path
    while True:
        try:
            os.stat(place)  # a name too long is an error here, as one that another user keeps from us
            break
        except FileNotFoundError:
            if place == place.parent:
                raise
            place = place.parent
    return place if place.is_dir() or place != path else place.parent
