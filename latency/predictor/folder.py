"""A predictor's folder, apart from what reads it: the command line looks whether one is there before it loads that."""

from __future__ import annotations

from pathlib import Path

from latlas.errors import UsageError

MANIFEST = "predictor.json"
"""Its one file."""


def require_predictor(folder: Path) -> None:
    """Raises `UsageError` where a folder has no predictor; it is not read."""
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} has no {MANIFEST}; make a predictor with `latlas fit-predictor --out {folder}`")
