"""Whether a mask lies on its image: turned as the image's EXIF orientation turns it, and of the same shape."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from latlas.errors import DataError
from latlas.supernet.data.images import Mask

Fit = Literal["same", "either", "turned", "scaled"]
"""`either`: the image is turned by EXIF, and the mask fits before and after; `turned`: it was turned as its image;
`scaled`: it has another size of the same shape."""
_ASPECT = 0.02


def fitted(mask: Mask, mask_turned: int, size: tuple[int, int], turned: int, path: Path) -> tuple[Mask, Fit]:
    """The mask `(h, w)` as it lies on its upright image of `size`, height and width, and what had to be done.

    `turned` and `mask_turned` are the EXIF orientations of image and mask, 1 for none; the mask is upright by its own.
    Raises `DataError` for a mask of another shape.
    """
    tells_nothing = turned != 1 and mask_turned == 1
    if mask.shape == size:
        return mask, "either" if tells_nothing and (turned < 5 or size[0] == size[1]) else "same"
    if tells_nothing and turned >= 5 and mask.shape == size[::-1]:
        return upright(mask, turned), "turned"  # it was drawn on the pixels as they are stored
    aspects = mask.shape[1] / mask.shape[0], size[1] / size[0]
    if abs(aspects[0] / aspects[1] - 1) <= _ASPECT:
        return mask, "scaled"
    raise DataError(
        f"{path} is {mask.shape[1]}x{mask.shape[0]}, its image {size[1]}x{size[0]}"
        " (as its EXIF turns it); a mask has its image's size, or its shape"
    )


def upright(pixels: Mask, turned: int) -> Mask:
    """Stored pixels `(h, w)` as an EXIF orientation of 1 to 8 turns them."""
    if turned >= 5:
        pixels = pixels.T
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
