"""Reads the images and masks of a folder at one size. `mask_decoder` decides how masks are read."""

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
from latlas.supernet.data.mask_decoder import MaskDecoder, decoder_of
from latlas.supernet.data.mask_file import read_mask_file
from latlas.supernet.data.mask_survey import Survey, survey
from latlas.supernet.data.mask_values import PERSON, VOID, MaskValues, parse_mask_values
from latlas.supernet.data.orientation import Fit, fitted

SURVEYED = 64
"""How many masks are surveyed, before any image is read, to decide how all masks are read. The others are checked later."""
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

    `layouts.pairs_of` finds the images and masks, and `mask_decoder.decoder_of` decides how masks are read. A mask has the
    shape of its image; if its size differs, it is scaled. The data's `warnings` say what looks wrong.

    Args:
        folder: The folder with images and masks.
        split: `train` or `val`. In a folder without splits, the hash of the name makes about every tenth image, and at
            least one, `val`.
        height: Height of images and masks in memory, pixels.
        width: Width of images and masks in memory, pixels.
        keep_native: Also keep the masks at their own size.
        mask_values: The values of person and void, such as `person=15,void=255`; None to find them from the masks.
        sheet: Where to draw a sheet of pictures with their masks if the masks look wrong; None for nowhere.

    Raises:
        UsageError: The split is unknown, a size is below 1, or the mask values cannot be read.
        DataError: A file is missing, broken or does not match, or the values do not show what is person. The message names
            the file or the values.

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
    decoder = decoder_of(found, where, values)
    if len(pairs) == len(chosen):
        loaded = _load(pairs, height, width, keep_native, decoder)
    else:
        loaded, decoder, found = _load_many(pairs, height, width, keep_native, decoder, where, values)
    return check(loaded.dataset, loaded.fits, found, decoder, values, where, sheet)


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
    decoder: MaskDecoder,
    where: str,
    values: MaskValues | None,
) -> tuple[_Loaded, MaskDecoder, Survey]:
    """What `_load` gives. It reads the data again if all masks together lead to another decoder than the surveyed ones."""
    loaded = _load(pairs, height, width, keep_native, decoder, count=True)
    known = decoder_of(loaded.found, where, values)
    if known != decoder:
        loaded = _load(pairs, height, width, keep_native, known, count=True)
    return loaded, known, loaded.found


def _load(
    pairs: Sequence[tuple[Path, Path, str]],
    height: int,
    width: int,
    keep_native: bool,
    decoder: MaskDecoder,
    count: bool = False,
) -> _Loaded:
    images, masks = empty_arrays(len(pairs), height, width)

    def read(index: int) -> tuple[Mask, Fit, Survey | None]:
        path, mask_path, _ = pairs[index]
        image, turned = read_image(path)
        file = read_mask_file(mask_path)
        mask, fit = fitted(decoder.mask(file), file.turned, (image.height, image.width), turned, mask_path)
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
    """The results of `read` for each value, in order, from several threads. The first broken file ends the reading.

    Threads help because Pillow decodes and resizes without Python's lock.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's, about odd metadata and sizes: those that matter are errors here
        try:
            yield from pool.map(read, values)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def reduced(mask: Mask, height: int, width: int) -> Mask:
    """A mask at another size. A new pixel is void if more than half of it was void; else it is person if more than half of
    its known part was person."""

    def share(part: Mask) -> Mask:
        return np.asarray(Image.fromarray(part * np.uint8(255)).resize((width, height), Image.Resampling.BOX))

    person = share((mask == PERSON).astype(np.uint8))
    if not (mask == VOID).any():
        return (person > 127).astype(np.uint8)
    known = share((mask != VOID).astype(np.uint8))
    found = (person > known / 2).astype(np.uint8)
    found[known < 128] = VOID
    return found
