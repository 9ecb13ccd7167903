"""Decides once for a data set how its masks are read, from the values in all of them or from what the user says.

Masks are 0 and 1, or black and white with soft borders, or one colour on black. Anything else is a label map, and only the
user knows which label is a person. Such masks are refused with an error that lists their values.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from latlas.errors import DataError
from latlas.supernet.data.images import Mask
from latlas.supernet.data.mask_file import Kind, MaskFile, Values, read_mask_file
from latlas.supernet.data.mask_survey import Counts, Survey, areas_of, is_soft, survey
from latlas.supernet.data.mask_values import PERSON, VOID, MaskValues

OPTION = "--mask-values"
_SHOWN = 8
_CODES = {"background": 0, "person": PERSON, "void": VOID}
_NEAR_EXACT, _NEAR_LOSSY = 4, 32


@dataclass(frozen=True)
class MaskDecoder:
    """How masks are read. `tables` has, for each kind of file, a table from value to code (0, `PERSON`, `VOID`) as bytes.

    `text` describes the tables in words. `colours` are the colours the user named. `cut_out` means that opacity is the mask;
    then a file that is opaque everywhere is all person.
    """

    tables: dict[Kind, bytes] = field(default_factory=dict)
    text: str = ""
    colours: MaskValues | None = None
    cut_out: bool = False

    def mask(self, file: MaskFile) -> Mask:
        """The mask `(h, w)` of a file: 0 background, 1 person, 255 void."""
        if self.cut_out and file.opaque:
            return np.full(file.values.shape, self.tables["opacity"][-1], dtype=np.uint8)
        if self.colours is not None and file.kind in ("colour", "index"):
            return _by_colour(file, self.colours)
        if file.kind == "index" and "index" not in self.tables:
            return (file.in_colour != 0).astype(np.uint8)
        table = np.frombuffer(self.tables.get(file.kind, _by_half(255)), dtype=np.uint8)
        return table[np.minimum(file.brightest, len(table) - 1)]


def read_mask(path: Path) -> Mask:
    """The mask `(h, w)` of a single file, read without others: 0 background, 1 person.

    Raises `DataError` if the file is broken, or if its values do not show which pixels are person.
    """
    file = read_mask_file(path)
    return decoder_of(survey([file]), str(path)).mask(file)


def decoder_of(found: Survey, where: str, values: MaskValues | None = None) -> MaskDecoder:
    """How to read the surveyed masks. `where` names them in errors.

    Raises `DataError` if their values do not show which pixels are person.
    """
    found = found.effective()
    tables: dict[Kind, bytes] = {}
    texts: list[str] = []
    if values is not None:
        tables = {kind: _named(counts, kind, values) for kind, counts in found.by_kind.items()}
        texts = [values.text]
    else:
        for kind, counts in sorted(found.by_kind.items()):
            if kind == "index":
                _require_one_palette_colour(found, counts, where)
                texts.append("the one colour is person")
                continue
            if kind == "colour":
                _require_one_colour(found, where)
            tables[kind], text = _grey(counts, where)
            texts.append(text)
    named = values if values is not None and values.colours else None
    return MaskDecoder(tables, ", ".join(dict.fromkeys(texts)), named, "opacity" in found.by_kind)


def values_text(found: Survey) -> str:
    """The values with their shares as text, most frequent first: `0 (56.2 %), 15 (31.6 %), 255 (12.2 %)`."""
    return ", ".join(_shares(counts) for counts in found.effective().by_kind.values())


def _shares(counts: Counts) -> str:
    order = sorted(counts.present, key=lambda value: -int(counts.pixels[value]))
    more = f" and {len(order) - _SHOWN} more" if len(order) > _SHOWN else ""
    return ", ".join(f"{value} ({100 * counts.share(value):.3g} %)" for value in order[:_SHOWN]) + more


def _by_half(scale: int) -> bytes:
    return bytes(scale // 2 + 1) + bytes([PERSON]) * (scale - scale // 2)


def _grey(counts: Counts, where: str) -> tuple[bytes, str]:
    """The table for grey files, and a description of it in words."""
    brightest, scale = max(counts.present, default=0), counts.scale
    if brightest <= 1:
        return bytes([0, PERSON]), "1 is person"
    areas = areas_of(counts)
    low, high = [v for v in areas if 2 * v < scale], [v for v in areas if 2 * v >= scale]
    near = scale // 20
    # 0, 1, 254 and 255 together are black and white, rounded by some tool; 0, 1 and 255 are labels and void.
    rounded = len(high) > 1 and all(v <= near or v >= scale - near for v in areas)
    if 2 * brightest < scale or ((len(low) > 1 or len(high) > 1) and not rounded):
        raise _label_map(counts, areas or counts.present, where)
    return _by_half(scale), f"person is above {scale // 2} of {scale}"


def _label_map(counts: Counts, areas: Sequence[int], where: str, more: str = "") -> DataError:
    scale, others = counts.scale, [value for value in areas if value]
    void = scale if len(others) > 1 and others[-1] == scale else None
    labels = [value for value in others if value != void]
    person = 15 if 15 in labels else max(labels, key=lambda value: int(counts.areas[value]), default=1)
    example = f"person={person}" + (f",void={void}" if void is not None else "")
    if len(labels) == 1 and void is not None and abs(2 * person - scale) < scale // 4:
        example = f"person={void},void={person}"  # a trimap: unknown is grey
    files = f"{counts.files} files" if counts.files > 1 else "1 file"
    return DataError(
        f"{where}: the masks have values up to {max(counts.present)} that are neither 0 and 1 nor black and white: "
        f"{_shares(counts)} in {files}{more}; say which is person, such as {OPTION} {example}; what is not named is background"
    )


def _require_one_palette_colour(found: Survey, counts: Counts, where: str) -> None:
    if len(found.palette_colours - {0}) > 1:
        more = f", of palette images of {len(found.palette_colours)} colours"
        raise _label_map(counts, counts.present, where, more)


def _require_one_colour(found: Survey, where: str) -> None:
    order = [c for c, _ in found.colours.most_common() if max(c >> 16, c >> 8 & 255, c & 255) > 64]
    if len(order) > 1:
        shown = ", ".join(f"#{colour:06x}" for colour in order[:_SHOWN])
        raise DataError(
            f"{where}: the masks have {len(order)} colours besides black, most frequent first: {shown}; "
            f"say which is person, such as {OPTION} person=#{order[0]:06x}; what is not named is background"
        )


def _named(counts: Counts, kind: Kind, values: MaskValues) -> bytes:
    """The table of the values that the user named. A soft grey gets the code of the nearest value that fills areas or has a
    name."""
    if values.colours:
        return _by_half(counts.scale)
    table = np.zeros(max(counts.scale, 255) + 1, dtype=np.uint8)
    singles = {value: name for value, name in values.singles.items() if value < len(table)}
    if kind != "index" and singles and (is_soft(counts) or _is_black_and_white(counts)):
        anchors = dict.fromkeys(areas_of(counts), "background") | singles
        order = sorted(anchors)
        codes = np.array([_CODES[anchors[value]] for value in order], dtype=np.uint8)
        middles = [(before + after) // 2 for before, after in itertools.pairwise(order)]
        return codes[np.searchsorted(middles, np.arange(len(table)), side="left")].tobytes()
    for name in values.named:
        for first, last in getattr(values, name):
            table[first : last + 1] = _CODES[name]
    return table.tobytes()


def _is_black_and_white(counts: Counts) -> bool:
    try:
        _grey(counts, "")
    except DataError:
        return False
    return True


def _by_colour(file: MaskFile, values: MaskValues) -> Mask:
    near = _NEAR_LOSSY if file.lossy else _NEAR_EXACT
    found: Values = file.in_colour
    mask = np.zeros(found.shape, dtype=np.uint8)
    for name in values.named:
        for colour, _ in getattr(values, name):
            distances = [np.abs((found >> shift & 255) - (colour >> shift & 255)) for shift in (16, 8, 0)]
            mask[np.max(distances, axis=0) <= near] = _CODES[name]
    return mask
