"""Recognises the folder layouts of well-known tools by their files, and says what to do with a layout that is not read."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

from latlas.errors import DataError

_LOOKED_AT = 20_000
_JSON_HEAD_BYTES = 4096
_AS_MASKS = "write one PNG a picture into masks/ (white is person), with the pictures in images/"


def voc_names(folder: Path, split: str) -> frozenset[str] | None:
    """The names of a split in PASCAL VOC's lists in `ImageSets/Segmentation`; None if there are no lists."""
    lists = folder / "ImageSets" / "Segmentation"
    if not any(lists.glob("*.txt")):
        return None
    path = lists / f"{split}.txt"
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}, PASCAL VOC's list of {split}, cannot be read: {error}") from None


def explain(folder: Path) -> str:
    """A text that names a folder's known layout and says what to do; empty if the layout is not known."""
    files = _below(folder)
    jsons = [path for path in files if path.suffix.lower() == ".json"]
    names = {path.parent.name.lower() for path in files}
    if "jpegimages" in names and "segmentationclass" not in names:
        return f"this looks like PASCAL VOC without SegmentationClass (boxes only); {listing(folder)}"
    if "jpegimages" in names and "segmentationclass" in names:
        inner = next(path.parent.parent for path in files if path.parent.name.lower() == "segmentationclass")
        return f"this looks like PASCAL VOC; give the folder above SegmentationClass: {inner}"
    for path in jsons[:5]:
        head = _head(path)
        if ('"annotations"' in head and '"images"' in head) or '"categories"' in head:
            return f"this looks like COCO ({path.relative_to(folder)}), whose polygons are not read yet; {_AS_MASKS}"
        if ('"objects"' in head and '"size"' in head) or ("ann" in names and "img" in names):
            return f"this looks like Supervisely ({path.relative_to(folder)}), which is not read yet; {_AS_MASKS}"
        if '"shapes"' in head:
            return f"this looks like LabelMe ({path.relative_to(folder)}), whose polygons are not read yet; {_AS_MASKS}"
    return ""


def listing(folder: Path) -> str:
    """A text that says which files a folder has: `12 .tif and 3 .txt are there, such as a/b.tif`."""
    if not folder.is_dir():
        return f"there is no {folder}"
    files = _below(folder)
    if not files:
        return f"there are no files in {folder}"
    kinds = Counter(path.suffix.lower() or "files without suffix" for path in files).most_common(4)
    shown = " and ".join(f"{count} {kind}" for kind, count in kinds)
    return f"{shown} are there, such as {files[0].relative_to(folder)}"


def _below(folder: Path) -> list[Path]:
    found = islice((path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")), _LOOKED_AT)
    return sorted(found)


def _head(path: Path) -> str:
    """The top-level keys of a JSON file as text; the beginning and the end of a large file."""
    try:
        with path.open("rb") as file:
            head = file.read(_JSON_HEAD_BYTES).decode("utf-8", errors="replace")
            if len(head) < _JSON_HEAD_BYTES:
                loaded = json.loads(head)
                return " ".join(f'"{key}"' for key in loaded) if isinstance(loaded, dict) else ""
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _JSON_HEAD_BYTES))
            return head + file.read().decode("utf-8", errors="replace")
    except (OSError, ValueError, RecursionError):
        return ""
