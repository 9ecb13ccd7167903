"""Checks whether a predictor's folder is there, without the modules that read it: the command line asks before it loads them."""

from __future__ import annotations

import json
from pathlib import Path

from latlas.errors import UsageError

MANIFEST = "predictor.json"
"""Its one file."""
MAX_BYTES = 64 * 2**20
"""A larger file is no predictor."""


def require_predictor(folder: Path) -> None:
    """Raises `UsageError` if a folder has no predictor; the predictor is not read."""
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} has no {MANIFEST}; make a predictor with `latlas fit-predictor --out {folder}`")


def space_text_of(folder: Path) -> str | None:
    """The text of the space that a predictor's file names; None where it does not say it. Nothing else of it is checked."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # what is wrong with the file is told where it is read in full
    text = record.get("space") if isinstance(record, dict) else None
    return text if isinstance(text, str) else None
