"""Checks whether a table's file is there, without the modules that read it: the command line asks before it loads them."""

from __future__ import annotations

from pathlib import Path

from latlas.errors import UsageError


def no_table(path: Path) -> UsageError:
    """The error for a table that is not there."""
    return UsageError(f"there is no table {path}; measure one with `latlas profile-ops`")


def require_table(path: Path) -> None:
    """Raises `UsageError` if nothing is at `path`; the table is not read."""
    if not path.exists():
        raise no_table(path)
