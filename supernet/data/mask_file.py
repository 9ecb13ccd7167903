"""The values in a mask file, before anything decides what they mean: greys, palette indexes, colours or opacity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from latlas.supernet.data.images import open_upright

Kind = Literal["grey", "index", "colour", "opacity"]
Values = npt.NDArray[np.int32]
LOSSY = ("JPEG", "MPO", "WEBP")
_GREY_SPREAD = 32
"""Channels of a lossy file that differ by at most this are one grey that JPEG changed."""


@dataclass(frozen=True)
class MaskFile:
    """A mask's values `(h, w)`: grey or opacity in 0..65535, palette indexes, or colours as `0xRRGGBB`.

    `turned` is its EXIF orientation, 1 for none. `palette` are the colours of the indexes. `opaque` means that the file has
    an opacity channel and is fully opaque everywhere.
    """

    kind: Kind
    values: Values
    lossy: bool = False
    turned: int = 1
    palette: tuple[int, ...] = ()
    opaque: bool = False

    @property
    def in_colour(self) -> Values:
        """The values of a palette or colour file as colours `0xRRGGBB`."""
        if self.kind != "index":
            return self.values
        palette = np.zeros(256, dtype=np.int32)
        palette[: len(self.palette)] = self.palette[:256]
        return palette[self.values]

    @property
    def brightest(self) -> Values:
        """The values; for a colour file, the value of the brightest channel."""
        if self.kind != "colour":
            return self.values
        channels = self.values >> 16, self.values >> 8 & 255, self.values & 255
        return np.maximum(np.maximum(channels[0], channels[1]), channels[2])


def read_mask_file(path: Path) -> MaskFile:
    """The values of a mask, turned upright by its EXIF orientation. Raises `DataError` for a broken file."""
    image, turned = open_upright(path)
    opaque = False
    lossy = (image.info.get("latlas_format") or "") in LOSSY
    if image.mode == "P" and "transparency" not in image.info:
        colours = np.asarray(image.convert("RGB"), dtype=np.int32)
        if _is_coloured(colours, 0):
            return MaskFile("index", np.asarray(image, dtype=np.int32), turned=turned, palette=_palette(image))
        return MaskFile("grey", colours[..., 0], turned=turned)
    if "transparency" in image.info or image.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        opacity = np.asarray(image.getchannel("A"), dtype=np.int32)
        if opacity.min(initial=255) < 255:
            return MaskFile("opacity", opacity, turned=turned)
        image, opaque = image.convert("RGB"), True
    elif image.mode.startswith("I"):
        return MaskFile("grey", np.asarray(image).clip(0, 65535).astype(np.int32), turned=turned)
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
        if values.max(initial=0.0) <= 1.0 and bool((values != values.round()).any()):
            values = values * 255  # probabilities
        return MaskFile("grey", values.round().clip(0, 65535).astype(np.int32), turned=turned)
    elif image.mode in ("1", "L"):
        return MaskFile("grey", np.asarray(image.convert("L"), dtype=np.int32), lossy, turned)
    colours = np.asarray(image.convert("RGB"), dtype=np.int32)
    if not _is_coloured(colours, _GREY_SPREAD if lossy else 0):
        return MaskFile("grey", colours.max(axis=2), lossy, turned, opaque=opaque)
    packed = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
    return MaskFile("colour", packed, lossy, turned, opaque=opaque)


def _is_coloured(channels: Values, spread: int) -> bool:
    return bool((channels.max(axis=2) - channels.min(axis=2) > spread).any())


def _palette(image: Image.Image) -> tuple[int, ...]:
    colours = image.getpalette("RGB") or []
    return tuple(r << 16 | g << 8 | b for r, g, b in zip(colours[::3], colours[1::3], colours[2::3], strict=True))
