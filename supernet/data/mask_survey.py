"""Surveys the masks of a data set: how often each value occurs, and which values fill areas rather than only borders.

Labels fill areas. The greys of a soft border, a resize or JPEG do not: hardly any of their pixels equals all its neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.supernet.data.mask_file import Kind, MaskFile, Values

N = TypeVar("N", np.int64, np.float64)
_BYTE, _WORD = 256, 65536
SOFT_LEVELS = 8
"""A mask with at least so many greys between black and white, none of which fills an area, has soft borders."""
AREA_IN_A_FILE = 0.001
_AREA_BESIDE_SOFT, _AREA_NEAR_AN_END = 0.02, 0.05
_END = 0.05  # a share of the scale: a grey this near to black or white may be noise
_SMALL = 32  # in masks smaller than this (pixels of a side) areas are 2x2 pixels, in others 3x3


@dataclass
class Counts:
    """Counts for one kind of file. For each value: its pixels, its pixels in areas, and its largest share of a file's pixels
    that are in areas."""

    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BYTE, np.int64))
    areas: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BYTE, np.int64))
    largest: FloatArray = field(default_factory=lambda: np.zeros(_BYTE))
    files: int = 0
    lossy: bool = False

    @property
    def present(self) -> list[int]:
        """The values that are there, sorted."""
        return [int(value) for value in np.flatnonzero(self.pixels)]

    @property
    def scale(self) -> int:
        """The value of white: 255, or 65535 if a value is above 255."""
        return len(self.pixels) - 1

    def share(self, value: int) -> float:
        """The share of all pixels that have this value, 0..1; 0 if none has."""
        return float(self.pixels[value]) / max(1, int(self.pixels.sum()))

    def add(self, values: Values, lossy: bool) -> None:
        """Count one file."""
        levels = _BYTE if values.max(initial=0) < _BYTE else _WORD
        areas = np.bincount(values[in_areas(values)], minlength=levels)
        pixels = np.bincount(values.ravel(), minlength=levels)
        self.merge(Counts(pixels, areas, areas / max(1, values.size), 1, lossy))

    def merge(self, other: Counts) -> None:
        """Add the counts of other files."""
        levels = max(len(self.pixels), len(other.pixels))
        self.pixels = _grown(self.pixels, levels) + _grown(other.pixels, levels)
        self.areas = _grown(self.areas, levels) + _grown(other.areas, levels)
        self.largest = np.maximum(_grown(self.largest, levels), _grown(other.largest, levels))
        self.files += other.files
        self.lossy = self.lossy or other.lossy


@dataclass
class Survey:
    """The counts of each kind of file. Colour files count the brightest channel; `colours` counts the colours in areas.

    `palette_colours` are the colours that palette files use. `opaque` surveys the files that have an opacity channel but are
    fully opaque.
    """

    by_kind: dict[Kind, Counts] = field(default_factory=dict)
    colours: Counter[int] = field(default_factory=Counter)
    palette_colours: set[int] = field(default_factory=set)
    opaque: Survey | None = None

    def add(self, file: MaskFile) -> None:
        """Count one file."""
        if file.opaque:
            self.opaque = self.opaque or Survey()
            self.opaque._add(file)
        else:
            self._add(file)

    def _add(self, file: MaskFile) -> None:
        self.by_kind.setdefault(file.kind, Counts()).add(file.brightest, file.lossy)
        if file.kind == "colour":
            values = coarse(file.values) if file.lossy else file.values
            found, areas = np.unique(values[in_areas(values)], return_counts=True)
            large = areas >= AREA_IN_A_FILE * values.size
            self.colours.update(dict(zip(found[large].tolist(), areas[large].tolist(), strict=True)))
        if file.kind == "index":
            self.palette_colours |= set(np.unique(file.in_colour).tolist())

    def merge(self, other: Survey) -> None:
        """Add the counts of another survey."""
        for kind, counts in other.by_kind.items():
            self.by_kind.setdefault(kind, Counts()).merge(counts)
        self.colours.update(other.colours)
        self.palette_colours |= other.palette_colours
        if other.opaque is not None:
            self.opaque = self.opaque or Survey()
            self.opaque.merge(other.opaque)

    def effective(self) -> Survey:
        """The survey to decide from. Fully opaque files count with their colours, but only if no file uses opacity."""
        if self.opaque is None or "opacity" in self.by_kind:
            return self
        found = Survey()
        found.merge(Survey(self.by_kind, self.colours, self.palette_colours))
        found.merge(self.opaque)
        return found


def survey(files: Iterable[MaskFile]) -> Survey:
    """The survey of these files."""
    found = Survey()
    for file in files:
        found.add(file)
    return found


def coarse(colours: Values) -> Values:
    """Colours rounded to the nearest of 8 levels per channel. This joins the shades that JPEG makes of one colour."""
    channels = [((colours >> shift & 255) + 18) // 36 * 36 for shift in (16, 8, 0)]
    return np.asarray(channels[0] << 16 | channels[1] << 8 | channels[2])


def is_soft(counts: Counts) -> bool:
    """Whether the files have soft borders: they are lossy, or have many greys that fill no area."""
    greys = [v for v in counts.present if not _near_an_end(v, counts.scale) and counts.largest[v] < AREA_IN_A_FILE]
    return counts.lossy or len(greys) >= SOFT_LEVELS


def areas_of(counts: Counts) -> list[int]:
    """The values that fill areas, sorted. In files with soft borders, a value has to fill a larger area.

    In files without soft borders, the darkest and the brightest value count too: a mixture of two areas is never beyond both.
    """
    scale, total = counts.scale, max(1, int(counts.pixels.sum()))
    filled = [int(value) for value in np.flatnonzero(counts.largest >= AREA_IN_A_FILE)]
    if not is_soft(counts):
        extremes = {min(counts.present, default=0), max(counts.present, default=0)}
        return sorted({*filled, *(value for value in extremes if counts.share(value) >= AREA_IN_A_FILE)})
    ends = [value for value in filled if _near_an_end(value, scale)]
    halves = [v for v in ends if 2 * v < scale], [v for v in ends if 2 * v >= scale]
    # The most frequent value near black is black, and likewise white. JPEG's blocks of almost the same value are noise.
    main = {max(half, key=lambda v: int(counts.areas[v])) for half in halves if half}

    def least_share(value: int) -> float:
        if not _near_an_end(value, scale):
            return _AREA_BESIDE_SOFT
        return 2.0 if counts.lossy else _AREA_NEAR_AN_END

    return [v for v in filled if v in main or counts.areas[v] / total >= least_share(v)]


def _grown(array: npt.NDArray[N], levels: int) -> npt.NDArray[N]:
    return np.pad(array, (0, levels - len(array)))


def _near_an_end(value: int, scale: int) -> bool:
    return value <= _END * scale or value >= (1 - _END) * scale


def in_areas(values: Values) -> npt.NDArray[np.bool_]:
    """Whether each pixel's block of 3x3 pixels (2x2 in small masks) has one value. False for blocks that the border cuts."""
    height, width = values.shape
    size = 2 if min(height, width) < _SMALL else 3
    whole = np.zeros(values.shape, dtype=np.bool_)
    if min(height, width) < size:
        return whole
    down, along = height - size + 1, width - size + 1
    same, first = np.ones((down, along), dtype=np.bool_), values[:down, :along]
    for row in range(size):
        for column in range(size):
            if row or column:
                same &= values[row : row + down, column : column + along] == first
    whole[size // 2 : size // 2 + down, size // 2 : size // 2 + along] = same
    return whole
