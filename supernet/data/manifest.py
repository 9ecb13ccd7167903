"""Reads `manifest.csv`, in which the folder's owner lists each image with its mask and split."""

from __future__ import annotations

import csv
from pathlib import Path

from latlas.errors import DataError

MANIFEST_COLUMNS = ("split", "image", "mask")


def manifest_pairs(folder: Path, manifest: Path, split: str) -> list[tuple[Path, Path, str]]:
    """`(image, mask, source)` for each pair of a split, sorted by path. Raises `DataError`, which names the wrong row."""
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{manifest} cannot be read: {error}") from None
    missing = [column for column in MANIFEST_COLUMNS if column not in columns]
    if missing:
        raise DataError(f"{manifest} has no column {', '.join(missing)}; it has {', '.join(columns)!r:.120}")
    pairs = []
    for number, row in enumerate(rows, start=2):
        where = f"{manifest}, row {number}"
        if not all(row[column] for column in MANIFEST_COLUMNS):
            raise DataError(f"{where}: split, image and mask are needed, it has {dict(row)!r:.120}")
        if row["split"] == split:
            image, mask = (_inside(folder, row[column], where) for column in ("image", "mask"))
            pairs.append((image, mask, row.get("source") or "folder"))
    return sorted(pairs)


def _inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file with that name in the folder. A link must not lead outside the folder."""
    path = folder / name
    try:
        inside, exists = path.resolve().is_relative_to(folder.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{where}: {name!r:.120} is no path ({error})") from None
    if not inside:
        raise DataError(f"{where}: {path} lies outside {folder}")
    if not exists:
        raise DataError(f"{where}: {path}: no such file")
    return path
