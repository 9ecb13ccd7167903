"""A table's file, apart from what reads it: the command line looks whether one is there before it loads that."""

from __future__ import annotations

from pathlib import Path

from latlas.errors import UsageError


def no_table(path: Path) -> UsageError:
    """The error for a table that is not there."""
    return UsageError(f"there is no table {path}; measure one with `latlas profile-ops`")


def require_table(path: Path) -> None:
    """Raises `UsageError` where nothing is at `path`; it is not read."""
    if not path.exists():
        raise no_table(path)
