"""Reads images of unknown origin: upright, up to a largest size, and with one clear error for a bad file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from latlas.errors import DataError

MAX_PIXELS = 64_000_000
ORIENTATION = 0x0112
"""The EXIF tag of the orientation."""

Mask = npt.NDArray[np.uint8]

# The errors that Pillow's decoders are known to raise on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def read_image(path: Path) -> tuple[Image.Image, int]:
    """The picture in RGB, turned upright by its EXIF orientation, and that orientation (1 for none).

    Raises:
        DataError: The file is not an image or is broken, claims more than `MAX_PIXELS` pixels, or has float pixels.
    """
    image, turned = open_upright(path)
    return _in_rgb(image, path), turned


def _in_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise DataError(f"{path} has floats for pixels, whose white nobody knows; save it with 8 bits a channel")
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def open_upright(path: Path) -> tuple[Image.Image, int]:
    """The picture, turned upright by its EXIF orientation, and that orientation (1 for none).

    `info["latlas_format"]` has its file format. Raises `DataError` as `read_image` does.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width}x{image.height}")
            image.load()
            turned = image.getexif().get(ORIENTATION, 1)
            upright = ImageOps.exif_transpose(image)
            upright.info["latlas_format"] = image.format
            return upright, turned if turned in range(1, 9) else 1
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path, "far too many") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image; take it out of the folder") from None
    except DataError:
        raise  # DataError is a ValueError, so the next clause would catch it
    except _BROKEN as error:
        raise DataError(f"{path} cannot be decoded ({error}); replace it or take it out of the folder") from None


def _too_large(path: Path, size: str) -> DataError:
    return DataError(f"{path} claims {size} pixels, more than {MAX_PIXELS} are not read; scale it down or take it out")


def _eight_bits(image: Image.Image) -> Mask:
    """A grey image of 16 or 32 bits per pixel, brought to 0..255. If no value is above 255, the values stay."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    return (values >> 8 if values.max(initial=0) > 255 else values).astype(np.uint8)
