"""Images of persons with masks: from a folder, or drawn; held in memory at one size."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from latlas.latency.errors import DataError, UsageError
from latlas.supernet.augment import Augmentation, augment
from latlas.supernet.portraits import generate_portrait

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MASK_SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg")
MAX_PIXELS = 64_000_000
VALIDATION_SHARE = 0.1
SPLITS = ("train", "val")

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset:
    """Samples of one size in memory.

    `images` is uint8 `(N, 3, H, W)` RGB, `masks` uint8 `(N, H, W)` of 0 and 1; `sources` and `names` have one text a
    sample. `native_masks` are the masks `(h, w)` at their own size, empty unless asked for: quality is stated at it.
    """

    images: Tensor
    masks: Tensor
    sources: tuple[str, ...]
    names: tuple[str, ...]
    native_masks: tuple[Mask, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


def subset(dataset: Dataset, count: int, seed: int = 0) -> Dataset:
    """`count` samples at random, in their order; all where there are no more."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:count])
    return Dataset(
        dataset.images[chosen],
        dataset.masks[chosen],
        tuple(dataset.sources[i] for i in chosen),
        tuple(dataset.names[i] for i in chosen),
        tuple(dataset.native_masks[i] for i in chosen) if dataset.native_masks else (),
    )


def synthetic(count: int, height: int, width: int, seed: int = 0, keep_native: bool = False) -> Dataset:
    """`count` procedural portraits; the same for the same arguments, everywhere."""
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    images, masks = torch.empty(count, 3, height, width, dtype=torch.uint8), torch.empty(count, height, width)
    for index in range(count):
        image, mask = generate_portrait(np.random.default_rng((seed, index)), height, width)
        images[index], masks[index] = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)
    names = tuple(f"portrait-{seed}-{index}" for index in range(count))
    whole = masks.to(torch.uint8)
    native = tuple(mask.numpy() for mask in whole) if keep_native else ()
    return Dataset(images, whole, ("synthetic",) * count, names, native)


def load_folder(folder: Path, split: str, height: int, width: int, keep_native: bool = False) -> Dataset:
    """The samples of one split, `train` or `val`, resized to `(height, width)`.

    Three layouts are known: `folder/manifest.csv` with columns split, source, image and mask (paths within the folder);
    `folder/<split>/images` and `masks`; or `folder/images` and `masks`, of which every tenth name by its hash is `val`.
    A mask has its image's stem and size. Its values above half of 255 are person; where none is above 1, ones are.
    Raises `DataError` that names the file.
    """
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}; known: {', '.join(SPLITS)}")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with images/ and masks/, or `synthetic`")
    pairs = _pairs(folder, split)
    if not pairs:
        raise DataError(f"{folder} has no images for {split}; put them in {split}/images and {split}/masks")
    images = torch.empty(len(pairs), 3, height, width, dtype=torch.uint8)
    masks = torch.empty(len(pairs), height, width, dtype=torch.uint8)
    native: list[Mask] = []
    for index, (image_path, mask_path, _) in enumerate(pairs):
        image = _open(image_path).convert("RGB")
        mask = _mask(mask_path)
        if (image.height, image.width) != mask.shape:
            raise DataError(
                f"{mask_path} is {mask.shape[1]}x{mask.shape[0]}, its image {image.width}x{image.height}; "
                "a mask has its image's size"
            )
        resized = image.resize((width, height), Image.Resampling.BILINEAR)
        images[index] = torch.from_numpy(np.array(resized)).permute(2, 0, 1)
        share = Image.fromarray(mask * 255).resize((width, height), Image.Resampling.BOX)
        masks[index] = torch.from_numpy(np.array(share) > 127)
        if keep_native:
            native.append(mask)
    if not bool(masks.any()):
        raise DataError(f"{folder}: no mask of {split} has a person pixel; white (255 or 1) is person")
    return Dataset(
        images, masks, tuple(source for _, _, source in pairs), tuple(path.stem for path, _, _ in pairs), tuple(native)
    )


def _pairs(folder: Path, split: str) -> list[tuple[Path, Path, str]]:
    """`(image, mask, source)` of a split, sorted by path."""
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return _manifest_pairs(folder, manifest, split)
    if (folder / split / "images").is_dir():
        return _folder_pairs(folder / split)
    if (folder / "images").is_dir():
        held_out = split == "val"
        return [pair for pair in _folder_pairs(folder) if _is_validation(pair[0].stem) == held_out]
    raise DataError(f"{folder} has neither manifest.csv, nor {split}/images, nor images; see README, Data")


def _is_validation(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < VALIDATION_SHARE * 2**32


def _folder_pairs(folder: Path) -> list[tuple[Path, Path, str]]:
    masks = {path.stem: path for path in sorted((folder / "masks").glob("*")) if path.suffix.lower() in MASK_SUFFIXES}
    pairs = []
    for image in sorted((folder / "images").glob("*")):
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if image.stem not in masks:
            raise DataError(f"{image} has no mask; {folder / 'masks' / (image.stem + '.png')} is looked for")
        pairs.append((image, masks[image.stem], "folder"))
    return pairs


def _manifest_pairs(folder: Path, manifest: Path, split: str) -> list[tuple[Path, Path, str]]:
    pairs = []
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{manifest} cannot be read: {error}") from None
    for number, row in enumerate(rows, start=2):
        if not row.get("split") or not row.get("image") or not row.get("mask"):
            raise DataError(f"{manifest}, line {number}: split, image and mask are needed, it has {dict(row)!r:.120}")
        if row["split"] != split:
            continue
        paths = [folder / row["image"], folder / row["mask"]]
        for path in paths:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{manifest}, line {number}: {path} lies outside {folder}")
            if not path.is_file():
                raise DataError(f"{manifest}, line {number}: {path}: no such file")
        pairs.append((paths[0], paths[1], row.get("source") or "folder"))
    return sorted(pairs)


def _open(path: Path) -> Image.Image:
    """The decoded image, upright."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{path} claims {image.width}x{image.height} pixels; more than {MAX_PIXELS} are not read"
                )
            image.load()
            return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image; take it out of the folder") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path} claims more pixels than are read ({MAX_PIXELS}); take it out of the folder") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be decoded ({error}); take it out of the folder") from None


def _mask(path: Path) -> Mask:
    """0 and 1, `(h, w)`; transparency counts where there is no other content."""
    image = _open(path)
    values = np.array(
        image.getchannel("A") if image.mode in ("LA", "RGBA") else image if image.mode == "P" else image.convert("L")
    )
    limit = 0 if values.max(initial=0) <= 1 else 127
    return (values > limit).astype(np.uint8)


def batches(
    dataset: Dataset,
    batch_size: int,
    rng: np.random.Generator,
    augmentation: Augmentation | None,
    device: torch.device | str = "cpu",
    height: int | None = None,
    width: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless `(images, masks)`: float `(B, 3, h, w)` in 0..1, channels last, and float `(B, 1, h, w)` in 0..1.

    Every epoch is shuffled by `rng`; a batch may span two. `height` and `width` default to the data set's.
    """
    size = (height or dataset.images.shape[2], width or dataset.images.shape[3])
    order: list[int] = []
    while True:
        while len(order) < batch_size:
            order += rng.permutation(len(dataset)).tolist()
        chosen, order = order[:batch_size], order[batch_size:]
        images = dataset.images[chosen].to(device).float().div_(255)
        masks = dataset.masks[chosen].to(device).float()[:, None]
        yield augment(images, masks, augmentation, rng, size)


def evaluation_batches(dataset: Dataset, batch_size: int) -> Iterator[tuple[Tensor, range]]:
    """Images `(B, 3, H, W)` in 0..1, channels last, in order, with the indices they are of."""
    for start in range(0, len(dataset), batch_size):
        images = dataset.images[start : start + batch_size].float().div_(255)
        yield images.contiguous(memory_format=torch.channels_last), range(start, start + len(images))
