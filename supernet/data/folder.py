"""Images and masks of a folder, read to one size, each mask as `mask_reading` decides it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from latlas.errors import DataError, UsageError
from latlas.supernet.data.checks import check
from latlas.supernet.data.dataset import Dataset, empty_arrays
from latlas.supernet.data.images import Mask, read_image
from latlas.supernet.data.layouts import SPLITS, pairs_of, require_data
from latlas.supernet.data.mask_file import read_mask_file
from latlas.supernet.data.mask_reading import Reading, reading_of
from latlas.supernet.data.mask_survey import Survey, survey
from latlas.supernet.data.mask_values import PERSON, VOID, MaskValues, parse_mask_values
from latlas.supernet.data.orientation import Fit, fitted

SURVEYED = 64
"""So many masks decide how all are read, before any image is; the others are held against it as they are read."""
T = TypeVar("T")
U = TypeVar("U")


def load_folder(
    folder: str | Path,
    split: str,
    height: int,
    width: int,
    keep_native: bool = False,
    mask_values: MaskValues | str | None = None,
    sheet: Path | None = None,
) -> Dataset:
    """The samples of one split, `train` or `val`, resized to `(height, width)`.

    `layouts.pairs_of` says where images and masks lie, `mask_reading.reading_of` how masks are read. A mask has its image's
    shape; one that is smaller or larger by a factor is enlarged or reduced. What looks wrong is in the data's `warnings`.

    Args:
        folder: Of images and masks.
        split: `train` or `val`; where the folder has no splits every tenth name by its hash, at least one, is `val`.
        height: Pixels of images and masks in memory.
        width: As `height`.
        keep_native: Keep the masks at their own size too.
        mask_values: Which values are person and void, such as `person=15,void=255`; None where masks say it themselves.
        sheet: Where a sheet of pictures with their masks is drawn if the masks look wrong; None for nowhere.

    Raises:
        UsageError: Another split, a size below 1, or mask values that cannot be read.
        DataError: Names the file that is missing, broken or does not match, or the values that do not say what is person.

    Example:
        >>> validation = load_folder("photos", "val", 256, 256, keep_native=True)
    """
    folder = Path(folder)
    if split not in SPLITS:
        raise UsageError(f"split is {split!r}; known: {', '.join(SPLITS)}")
    values = parse_mask_values(mask_values) if isinstance(mask_values, str) else mask_values
    require_data(folder)
    pairs = pairs_of(folder, split)
    if not pairs:
        raise DataError(f"{folder} has no images for {split}; put them in {split}/images and {split}/masks")
    where = f"{folder}, {split}"
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(SURVEYED, len(pairs))).astype(int))
    found = survey(_each([pairs[index][1] for index in chosen], read_mask_file))
    reading = reading_of(found, where, values)
    if len(pairs) == len(chosen):
        loaded = _load(pairs, height, width, keep_native, reading)
    else:
        loaded, reading, found = _load_many(pairs, height, width, keep_native, reading, where, values)
    return check(loaded.dataset, loaded.fits, found, reading, values, where, sheet)


@dataclass(frozen=True)
class _Loaded:
    dataset: Dataset
    fits: tuple[Fit, ...]
    found: Survey


def _load_many(
    pairs: Sequence[tuple[Path, Path, str]],
    height: int,
    width: int,
    keep_native: bool,
    reading: Reading,
    where: str,
    values: MaskValues | None,
) -> tuple[_Loaded, Reading, Survey]:
    """As `_load`; read once more where all masks together are read otherwise than the first that were looked at."""
    loaded = _load(pairs, height, width, keep_native, reading, count=True)
    known = reading_of(loaded.found, where, values)
    if known != reading:
        loaded = _load(pairs, height, width, keep_native, known, count=True)
    return loaded, known, loaded.found


def _load(
    pairs: Sequence[tuple[Path, Path, str]],
    height: int,
    width: int,
    keep_native: bool,
    reading: Reading,
    count: bool = False,
) -> _Loaded:
    images, masks = empty_arrays(len(pairs), height, width)

    def read(index: int) -> tuple[Mask, Fit, Survey | None]:
        path, mask_path, _ = pairs[index]
        image, turned = read_image(path)
        file = read_mask_file(mask_path)
        mask, fit = fitted(reading.mask(file), file.turned, (image.height, image.width), turned, mask_path)
        pixels = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
        images[index] = torch.from_numpy(pixels).permute(2, 0, 1)
        masks[index] = torch.from_numpy(reduced(mask, height, width))
        return mask if keep_native else mask[:0], fit, survey([file]) if count else None

    found = Survey()
    fits: list[Fit] = []
    native: list[Mask] = []
    for mask, fit, one in _each(range(len(pairs)), read):
        native.append(mask)
        fits.append(fit)
        if one is not None:
            found.merge(one)
    names, sources = tuple(image.stem for image, _, _ in pairs), tuple(source for _, _, source in pairs)
    dataset = Dataset(images, masks, sources, names, tuple(native) if keep_native else ())
    return _Loaded(dataset, tuple(fits), found)


def _each(values: Sequence[T], read: Callable[[T], U]) -> Iterator[U]:
    """`read` of each in order. Pillow decodes and resizes without Python's lock; the first broken file ends the reading."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on odd metadata and on sizes: what matters of them is an error here
        try:
            yield from pool.map(read, values)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def reduced(mask: Mask, height: int, width: int) -> Mask:
    """A mask at another size: void where more than half of a pixel was, person where more than half of the rest was."""

    def share(part: Mask) -> Mask:
        return np.asarray(Image.fromarray(part * np.uint8(255)).resize((width, height), Image.Resampling.BOX))

    person = share((mask == PERSON).astype(np.uint8))
    if not (mask == VOID).any():
        return (person > 127).astype(np.uint8)
    known = share((mask != VOID).astype(np.uint8))
    found = (person > known / 2).astype(np.uint8)
    found[known < 128] = VOID
    return found
