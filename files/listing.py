"""Lists the files below a folder while other processes may be writing there."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path, ending: str) -> list[Path]:
    """The files below a folder whose names have this ending, sorted.

    It skips hidden files and folders, where other processes keep unfinished files. It also skips files that vanish while it
    looks. A folder that cannot be read counts as empty.

    Example:
        >>> files_below(Path("no such folder"), ".parquet")
        []
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if name.endswith(ending) and not name.startswith(".")]
    return sorted(found)
