"""Finds the images and masks of a folder and pairs them by name, in the folder layouts that people use."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

from latlas.errors import DataError
from latlas.supernet.data.known_layouts import explain, listing, voc_names
from latlas.supernet.data.manifest import manifest_pairs

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
VALIDATION_SHARE = 0.1
SPLITS = ("train", "val")
_SPLIT_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
_IMAGES = ("images", "image", "imgs", "img", "jpegimages", "photos", "clip_img", "input", "inputs", "rgb")
_MASKS = (
    *("masks", "mask", "mattes", "matte", "matting", "alpha", "alphas", "labels", "label", "annotations"),
    *("segmentationclass", "segmentation", "segmentations", "groundtruth", "gt", "silhouettes", "targets"),
)
_WORDS = r"(?:mask|matte|matting|alpha|segmentation|seg|labels?|groundtruth|gt|silhouette)s?"
_MASK_NAME = re.compile(rf"(?i)(?:(?P<stem>.+?)[-_. ]{_WORDS}|{_WORDS}[-_. ](?P<rest>.+))")

Pair = tuple[Path, Path, str]


def require_data(folder: str | Path) -> None:
    """Raise `DataError` if the folder does not exist. `synthetic` means drawn images, which need no folder."""
    if str(folder) != "synthetic" and not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder; give one with images/ and masks/, or `synthetic`")


def pairs_of(folder: Path, split: str) -> list[Pair]:
    """`(image, mask, source)` for each pair of a split, sorted by path.

    The layouts are tried in this order: `manifest.csv`; `<split>/images` with `<split>/masks`; `images/<split>` with
    `masks/<split>`; `images` with `masks`; images and masks in one folder. An image and its mask have the same path below
    these folders, apart from the suffix. A mask's name may also have `_mask`, `_matte`, `_segmentation` or the like.

    Raises:
        DataError: The folder has none of these layouts, or an image has no mask. The message says what is there.
    """
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return manifest_pairs(folder, manifest, split)
    for name in _SPLIT_NAMES[split]:
        part = _child(folder, (name,))
        if part is not None and (found := _folders(part)):
            return _paired(*found)
    images, masks = _child(folder, _IMAGES), _child(folder, _MASKS) or folder / "masks"
    if images is not None:
        if any(_child(images, names) is not None for names in _SPLIT_NAMES.values()):
            below = _child(images, _SPLIT_NAMES[split])
            return [] if below is None else _paired(below, _child(masks, _SPLIT_NAMES[split]) or masks)
        listed = voc_names(folder, split)
        pairs = _paired(images, masks, listed)
        return pairs if listed is not None else _split_by_name(images, pairs, split)
    if _side_by_side(folder):
        return _split_by_name(folder, _paired(folder, folder), split)
    there = explain(folder) or listing(folder)
    raise DataError(
        f"{folder} has neither manifest.csv, nor {split}/images, nor images (with masks/ beside them); {there}"
    )


def _child(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The subfolder with the first of these names that exists, in upper or lower case; None if there is none."""
    try:
        there = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()}
    except OSError:
        return None
    return next((there[name] for name in names if name in there), None)


def _folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of masks in a folder. If images and masks lie side by side, both are the folder itself."""
    images, masks = _child(folder, _IMAGES), _child(folder, _MASKS)
    if images is not None:
        return images, masks if masks is not None else folder / "masks"
    return (folder, folder) if _side_by_side(folder) else None


def _side_by_side(folder: Path) -> bool:
    return any(_MASK_NAME.fullmatch(path.stem) for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def _files(folder: Path) -> dict[str, Path]:
    """The images below a folder, by their path in it without suffix. Raises `DataError` if two have the same name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise DataError(f"{path} and {found[name].name} have one name; rename or remove one of them")
            found[name] = path
    return found


def _paired(images_in: Path, masks_in: Path, only: frozenset[str] | None = None) -> list[Pair]:
    """The pairs of two folders. `only` names the images to take; None takes all."""
    images, masks = _files(images_in), _files(masks_in)
    if images_in == masks_in:
        masks = {name: path for name, path in images.items() if _MASK_NAME.fullmatch(path.stem)}
        images = {name: path for name, path in images.items() if name not in masks}
    if only is not None:
        images = {name: path for name, path in images.items() if name in only}
    for named in (masks, _plain(masks), _lowered(masks), _by_stem(masks), _by_affix(images, masks)):
        found = {name: named.get(name) or named.get(name.lower()) or named.get(Path(name).name) for name in images}
        if all(found.values()) and len(set(found.values())) == len(found):
            return [(images[name], mask, "folder") for name, mask in found.items() if mask is not None]
    found = {name: masks.get(name) or _plain(masks).get(name) for name in images}
    without = [path for name, path in images.items() if found[name] is None]
    first = without[0] if without else next(iter(images.values()))
    wanted = masks_in / first.relative_to(images_in).with_suffix(".png")
    there = explain(images_in.parent) or listing(masks_in)
    if masks:
        there = f"{len(masks)} masks are there, such as {next(iter(masks.values())).name}"
    raise DataError(
        f"{first} has no mask; {wanted} is looked for, or {wanted.stem}_mask with another suffix ({len(without)} of "
        f"{len(images)} images have none; {there}); add the masks, take the images out, or list the pairs in manifest.csv"
    )


def _plain(masks: dict[str, Path]) -> dict[str, Path]:
    """Masks by name, without `_mask` and the like."""
    found: dict[str, Path] = {}
    for name, path in masks.items():
        match = _MASK_NAME.fullmatch(path.stem)
        stem = (match["stem"] or match["rest"]) if match else path.stem
        found.setdefault((Path(name).parent / stem).as_posix(), path)
    return found


def _lowered(masks: dict[str, Path]) -> dict[str, Path]:
    return {name.lower(): path for name, path in _plain(masks).items()}


def _by_stem(masks: dict[str, Path]) -> dict[str, Path]:
    """Masks by file name alone, for subfolders that have other names than the images'. Empty if a name is there twice."""
    found = {Path(name).name: path for name, path in _plain(masks).items()}
    return found if len(found) == len(masks) else {}


def _by_affix(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, Path]:
    """Masks named like their images plus a text that is the same for all, such as `_s`."""
    behind: Counter[str] = Counter()
    for name in images:
        rests = (other[len(name) :] for other in masks if other.startswith(name))
        behind.update({rest for rest in rests if rest and not rest[0].isalnum()})
    if not behind:
        return {}
    affix = behind.most_common(1)[0][0]
    return {name: masks[name + affix] for name in images if name + affix in masks}


def _split_by_name(images: Path, pairs: list[Pair], split: str) -> list[Pair]:
    """The pairs of a split. The hash of a pair's name decides: about every tenth, and at least one, is `val`."""
    if len(pairs) == 1:
        raise DataError(f"{images} has one image; at least two are needed to keep one for validation")
    names = {image: image.relative_to(images).with_suffix("").as_posix() for image, _, _ in pairs}
    hashes = {image: _share_of_hash(name) for image, name in names.items()}
    # New images do not move others between the splits, except in a handful of images whose hashes are all small or all large.
    limit = max(VALIDATION_SHARE, min(hashes.values(), default=0.0))
    if max(hashes.values(), default=1.0) <= limit:
        limit = min(hashes.values())
    return [pair for pair in pairs if (hashes[pair[0]] <= limit) == (split == "val")]


def _share_of_hash(name: str) -> float:
    """A number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:4], "big") / 2**32
