"""Checks whether a predictor's folder is there, without the modules that read it: the command line asks before it loads them."""

from __future__ import annotations

from pathlib import Path

from latlas.errors import UsageError

MANIFEST = "predictor.json"
"""Its one file."""


def require_predictor(folder: Path) -> None:
    """Raises `UsageError` if a folder has no predictor; the predictor is not read."""
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} has no {MANIFEST}; make a predictor with `latlas fit-predictor --out {folder}`")
