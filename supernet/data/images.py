"""Reading of images and masks that strangers made: upright, of bounded size, and with one clear error a file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from latlas.errors import DataError

MAX_PIXELS = 64_000_000

Mask = npt.NDArray[np.uint8]

# What Pillow's decoders are known to raise on broken files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def read_image(path: Path) -> Image.Image:
    """The picture in RGB, upright as its EXIF orientation says.

    Raises:
        DataError: The file is no image, broken, or claims more than `MAX_PIXELS` pixels.
    """
    image = _open(path)
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def read_mask(path: Path) -> Mask:
    """The person mask, uint8 `(h, w)` of 0 and 1.

    Person is what is above half of white. Of colours the brightest channel counts; where a picture is transparent in
    part, its opacity does. Masks whose brightest value is 1 are read as labels 0 and 1; an all-black one has no person.

    Raises:
        DataError: As `read_image`; or the brightest value is 2..127, or a palette has several colours: neither says
            which pixels are person.
    """
    image = _open(path)
    if image.mode == "P" and _is_coloured(image):
        colours = {
            tuple(colour) for _, colour in image.convert("RGB").getcolors(256) or [] if isinstance(colour, tuple)
        }
        if len(colours - {(0, 0, 0)}) > 1:
            raise DataError(
                f"{path} is a palette image of {len(colours)} colours; save person as white, all else as black"
            )
        return _flat(image.convert("RGB")).astype(bool).astype(np.uint8)
    if "transparency" in image.info or image.mode in ("LA", "RGBA", "PA"):
        image = image.convert("RGBA")
        opacity = np.asarray(image.getchannel("A"))
        values = opacity if opacity.min(initial=255) < 255 else _flat(image.convert("RGB"))
    elif image.mode.startswith("I"):
        values = _eight_bits(image)
    else:
        values = _flat(image.convert("RGB"))
    brightest = int(values.max(initial=0))
    if 1 < brightest < 128:
        raise DataError(
            f"{path} has values up to {brightest}; a mask has 0 and 255, or 0 and 1, with person the larger"
        )
    return (values > (127 if brightest > 1 else 0)).astype(np.uint8)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path, f"{image.width}x{image.height}")
            image.load()
            return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path, "far too many") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not an image; take it out of the folder") from None
    except DataError:
        raise  # a ValueError too
    except _BROKEN as error:
        raise DataError(f"{path} cannot be decoded ({error}); replace it or take it out of the folder") from None


def _too_large(path: Path, size: str) -> DataError:
    return DataError(f"{path} claims {size} pixels, more than {MAX_PIXELS} are not read; scale it down or take it out")


def _eight_bits(image: Image.Image) -> Mask:
    """A grey image of 16 or 32 bits a pixel in 0..255; values up to 255 stay as they are."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    return (values >> 8 if values.max(initial=0) > 255 else values).astype(np.uint8)


def _flat(image: Image.Image) -> Mask:
    """The brightest channel of RGB, `(h, w)`."""
    return np.asarray(image).max(axis=2)


def _is_coloured(image: Image.Image) -> bool:
    channels = np.asarray(image.convert("RGB"))
    return bool((channels.min(axis=2) != channels.max(axis=2)).any())
