"""Checks paths before any work is done: whether input files exist, and whether output files can be written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from latlas.errors import UsageError
from latlas.files.write import cannot_write


def require_can_write(path: Path | str) -> None:
    """Raises an error if no file or folder can be written at `path`; the attempt leaves nothing behind.

    It does not make missing folders above `path`, and does not look whether `path` itself exists.

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
    """Raises `UsageError` if there is no file at `path`; `otherwise` ends the message with what to do."""
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise UsageError(f"{path}: {what}{f'; {otherwise}' if otherwise else ''}")


def _nearest_folder(path: Path) -> Path:
    """The nearest existing folder above `path`, or `path` itself if it is one."""
    place = path
    while True:
        try:
            os.stat(place)  # fails for a name that is too long, and for a folder that we may not read
            break
        except FileNotFoundError:
            if place == place.parent:
                raise
            place = place.parent
    return place if place.is_dir() or place != path else place.parent
