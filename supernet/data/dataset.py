"""Images of persons with masks: from a folder, or drawn; held in memory at one size."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from latlas.errors import DataError, UsageError
from latlas.supernet.data.images import Mask, read_image, read_mask
from latlas.supernet.data.portraits import generate_portrait

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MASK_SUFFIXES = (".png", ".bmp", ".webp", ".jpg", ".jpeg")
MANIFEST_COLUMNS = ("split", "image", "mask")
VALIDATION_SHARE = 0.1
SPLITS = ("train", "val")
_RESIZED_AT_ONCE = 64  # as float: 64 images of 256x256 are 50 MB


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
    return _chosen(dataset, _order(dataset, count, seed)[:count])


def parted(dataset: Dataset, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
    """`subset` and the rest, which may have no samples."""
    order = _order(dataset, count, seed)
    return _chosen(dataset, order[:count]), _chosen(dataset, order[count:])


def _order(dataset: Dataset, count: int, seed: int) -> npt.NDArray[np.int64]:
    if count < 1:
        raise UsageError(f"a subset of {count} samples was asked for; it must be at least 1")
    return np.random.default_rng(seed).permutation(len(dataset))


def _chosen(dataset: Dataset, indices: npt.NDArray[np.int64]) -> Dataset:
    indices = np.sort(indices)
    return Dataset(
        dataset.images[indices],
        dataset.masks[indices],
        tuple(dataset.sources[i] for i in indices),
        tuple(dataset.names[i] for i in indices),
        tuple(dataset.native_masks[i] for i in indices) if dataset.native_masks else (),
    )


def resized(dataset: Dataset, height: int, width: int) -> Dataset:
    """The same samples at another size, without native masks; the data set itself where it has that size.

    Images by antialiased bilinear interpolation; a mask's pixel is person where more than half of it was.
    """
    if dataset.images.shape[2:] == (height, width):
        return dataset
    images, masks = _empty(len(dataset), height, width)

    def smooth(pixels: Tensor) -> Tensor:
        return F.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)

    for start in range(0, len(dataset), _RESIZED_AT_ONCE):
        part = slice(start, start + _RESIZED_AT_ONCE)
        images[part] = smooth(dataset.images[part]).round_().clamp_(0, 255).to(torch.uint8)
        masks[part] = (smooth(dataset.masks[part, None])[:, 0] > 0.5).to(torch.uint8)
    return Dataset(images, masks, dataset.sources, dataset.names)


def synthetic(count: int, height: int, width: int, seed: int = 0, keep_native: bool = False) -> Dataset:
    """`count` procedural portraits; the same for the same arguments, everywhere."""
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    images, masks = _empty(count, height, width)
    for index in range(count):
        image, mask = generate_portrait(np.random.default_rng((seed, index)), height, width)
        images[index], masks[index] = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)
    names = tuple(f"portrait-{seed}-{index}" for index in range(count))
    native = tuple(mask.numpy() for mask in masks) if keep_native else ()
    return Dataset(images, masks, ("synthetic",) * count, names, native)


def load_folder(folder: str | Path, split: str, height: int, width: int, keep_native: bool = False) -> Dataset:
    """The samples of one split, `train` or `val`, resized to `(height, width)`.

    Three layouts are known: `folder/manifest.csv` with columns split, image, mask and, if you like, source (paths are
    within the folder); `folder/<split>/images` and `masks`; or `folder/images` and `masks`, of which every tenth name by
    its hash, at least one, is `val`. A mask has its image's stem and size; `images.read_mask` says how it is read.

    Raises:
        UsageError: Another split, or a size below 1.
        DataError: Names the file that is missing, broken or does not match, or says that there is no person at all.

    Example:
        >>> validation = load_folder("photos", "val", 256, 256, keep_native=True)
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}; known: {', '.join(SPLITS)}")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with images/ and masks/, or `synthetic`")
    pairs = _pairs(folder, split)
    if not pairs:
        raise DataError(f"{folder} has no images for {split}; put them in {split}/images and {split}/masks")
    images, masks = _empty(len(pairs), height, width)

    def read(index: int) -> Mask:
        image, native, mask = _sample(*pairs[index][:2], height, width)
        images[index], masks[index] = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)
        return native if keep_native else mask[:0]

    # Pillow decodes and resizes without Python's lock. The first broken file ends the reading.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on odd metadata and on sizes: what matters of them is an error here
        try:
            native = tuple(pool.map(read, range(len(pairs))))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if not bool(masks.any()):
        raise DataError(f"{folder}: no mask of {split} has a person pixel; white (255 or 1) is person")
    names, sources = tuple(image.stem for image, _, _ in pairs), tuple(source for _, _, source in pairs)
    return Dataset(images, masks, sources, names, native if keep_native else ())


def _empty(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    if min(height, width) < 1:
        raise UsageError(f"images of {height}x{width} were asked for; height and width must be at least 1")
    return (
        torch.empty(count, 3, height, width, dtype=torch.uint8),
        torch.empty(count, height, width, dtype=torch.uint8),
    )


def _sample(image_path: Path, mask_path: Path, height: int, width: int) -> tuple[Mask, Mask, Mask]:
    """Image `(height, width, 3)`, mask at its own size, and mask `(height, width)`."""
    image, mask = read_image(image_path), read_mask(mask_path)
    if (image.height, image.width) != mask.shape:
        raise DataError(
            f"{mask_path} is {mask.shape[1]}x{mask.shape[0]}, its image {image.width}x{image.height}"
            " (as its EXIF turns it); a mask has its image's size"
        )
    share = Image.fromarray(mask * 255).resize((width, height), Image.Resampling.BOX)
    resized = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized, mask, (np.asarray(share) > 127).astype(np.uint8)


def _pairs(folder: Path, split: str) -> list[tuple[Path, Path, str]]:
    """`(image, mask, source)` of a split, sorted by path."""
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        return _manifest_pairs(folder, manifest, split)
    if (folder / split / "images").is_dir():
        return _folder_pairs(folder / split)
    if (folder / "images").is_dir():
        pairs = _folder_pairs(folder)
        if len(pairs) == 1:
            raise DataError(f"{folder / 'images'} has one image; at least two are needed to keep one for validation")
        hashes = {name: _share_of_hash(name) for name in (image.stem for image, _, _ in pairs)}
        # Adding images moves none between the splits, but for a handful of which no hash, or every one, is small.
        limit = max(VALIDATION_SHARE, min(hashes.values(), default=0.0))
        if max(hashes.values(), default=1.0) <= limit:
            limit = min(hashes.values())
        return [pair for pair in pairs if (hashes[pair[0].stem] <= limit) == (split == "val")]
    raise DataError(f"{folder} has neither manifest.csv, nor {split}/images, nor images; see README, Data")


def _share_of_hash(name: str) -> float:
    """A number in 0..1 that the name alone decides."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:4], "big") / 2**32


def _folder_pairs(folder: Path) -> list[tuple[Path, Path, str]]:
    images, masks = _by_stem(folder / "images", IMAGE_SUFFIXES), _by_stem(folder / "masks", MASK_SUFFIXES)
    for stem, image in images.items():
        if stem not in masks:
            raise DataError(f"{image} has no mask; {folder / 'masks' / (stem + '.png')} is looked for")
    return [(image, masks[stem], "folder") for stem, image in images.items()]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in found:
                raise DataError(f"{path} and {found[path.stem].name} have one name; rename or remove one of them")
            found[path.stem] = path
    return found


def _manifest_pairs(folder: Path, manifest: Path, split: str) -> list[tuple[Path, Path, str]]:
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
    """The file of that name, which may not lie outside the folder, not even through a link."""
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


def evaluation_batches(dataset: Dataset, batch_size: int) -> Iterator[tuple[Tensor, range]]:
    """Images `(B, 3, H, W)` in 0..1, channels last, in order, with the indices they are of."""
    for start in range(0, len(dataset), batch_size):
        images = dataset.images[start : start + batch_size].float().div_(255)
        yield images.contiguous(memory_format=torch.channels_last), range(start, start + len(images))


def weights_sha256(network: nn.Module) -> str:
    """The sha256 of a network's parameters and buffers, with their names, types and shapes."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()


def data_sha256(dataset: Dataset) -> str:
    """The sha256 of a data set's images, masks, and their names."""
    found = hashlib.sha256()
    for array in (dataset.images.numpy(), dataset.masks.numpy(), *dataset.native_masks):
        found.update(f"{array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    found.update(json.dumps([dataset.sources, dataset.names], separators=(",", ":")).encode())
    return found.hexdigest()
