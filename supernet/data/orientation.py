"""Fits a mask onto its image: checks that both have the same shape, and turns the mask if EXIF turned only the image."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from latlas.errors import DataError
from latlas.supernet.data.images import Mask

Fit = Literal["same", "either", "turned", "scaled"]
"""`same`: the mask has the image's size. `either`: EXIF turns the image, and the mask fits before and after. `turned`: the
mask was turned like its image. `scaled`: it has the image's shape but another size."""
_ASPECT = 0.02


def fitted(mask: Mask, mask_turned: int, size: tuple[int, int], turned: int, path: Path) -> tuple[Mask, Fit]:
    """The mask `(h, w)` that fits its upright image of `size` (height, width), and how it fits.

    `turned` and `mask_turned` are the EXIF orientations of image and mask, 1 for none. The mask is already turned upright by
    its own orientation. Raises `DataError` for a mask of another shape.
    """
    tells_nothing = turned != 1 and mask_turned == 1
    if mask.shape == size:
        return mask, "either" if tells_nothing and (turned < 5 or size[0] == size[1]) else "same"
    if tells_nothing and turned >= 5 and mask.shape == size[::-1]:
        return upright(mask, turned), "turned"  # it was drawn on the stored pixels, before EXIF turned them
    aspects = mask.shape[1] / mask.shape[0], size[1] / size[0]
    if abs(aspects[0] / aspects[1] - 1) <= _ASPECT:
        return mask, "scaled"
    raise DataError(
        f"{path} is {mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]}"
        " (as its EXIF turns it); a mask has its image's size, or its shape"
    )


def upright(pixels: Mask, turned: int) -> Mask:
    """Stored pixels `(h, w)`, turned upright by an EXIF orientation of 1 to 8."""
    if turned >= 5:
        pixels = pixels.T
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
