"""Measured samples of anybody's networks as CSV: a line a network, its features or architecture, and its latency."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.csv_table import records_of
from latlas.latency.samples.columns import MAX_CATEGORIES, Column, numeric
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
"""Lines over which a neighbour's weight falls to 37 %, tried."""
PULLS = (0.5, 2.0, 8.0)
"""Weights of a neighbour that says the speed was usual, tried."""
_REACH = 6


def speed_along(residuals: FloatArray) -> FloatArray:
    """`(lines,)`: how many times its usual latency a network took at each line, told by the other lines alone.

    `residuals` are logarithms of measured over predicted latency, predicted without learning from that line; NaN where
    nothing was learnt from a line, whose speed only its neighbours tell.
    """
    known = ~np.isnan(residuals)
    if not known.any():
        return np.ones_like(residuals)
    value = np.where(known, residuals, 0.0)
    # Outliers say little of the speed.
    bound = 3 * float(np.median(np.abs(value[known])))
    value = np.clip(value, -bound, bound)
    best, found = float(np.mean(np.abs(value[known]))), np.zeros_like(value)
    for scale in SCALES:
        reach = int(min(_REACH * scale, (len(value) - 1) // 2))
        weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / scale)
        weights[reach] = 0  # not by itself
        total = np.convolve(value, weights, "same")
        count = np.convolve(known.astype(float), weights, "same")
        for pull in PULLS:
            speed = total / (count + pull)
            left = float(np.mean(np.abs(value - speed)[known]))
            if left < best:
                best, found = left, speed
    return np.exp(found)


MAX_BYTES = 64 * 2**20
MAX_MS = 1e12
ARCHITECTURE = "architecture"
"""The column that holds architectures, unless another is named."""
_CATEGORICAL = re.compile(r"(.+):categorical")


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The lines of a CSV of samples as they stand: names, and each line's name for messages with its cells by column."""

    path: Path
    header: tuple[str, ...]
    lines: tuple[tuple[str, dict[str, str]], ...]

    def __len__(self) -> int:
        return len(self.lines)

    def cells(self, name: str) -> list[str]:
        """The cells of a column; raises `UsageError` where there is none of that name."""
        if name not in self.header:
            known = one_line(", ".join(self.header), 300)
            raise UsageError(f"{self.path} has no column {one_line(repr(name), 80)}; it has {known}")
        return [cells[name].strip() for _, cells in self.lines]


def read_samples(path: Path) -> SampleFile:
    """The samples of a CSV file with a line of column names.

    Raises `UsageError` where it cannot be read, `FileFormatError` for what is not CSV, too large, ragged or empty.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_BYTES} bytes; split it, or leave columns out")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileFormatError(f"{path}, line {line}: not UTF-8; save it as CSV in UTF-8") from None
    if "\0" in text:
        raise FileFormatError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: holds a null character")
    header, lines = records_of(text, path)
    return SampleFile(path, tuple(header), tuple(lines))


def target_of(samples: SampleFile, target: str) -> FloatArray:
    """`(n,)` milliseconds of the target, which is a column or, as `a+b`, the sum of several.

    Raises `FileFormatError` that names line and value where a cell is no number, or the sum is not positive.
    """
    names = [target] if target in samples.header else [name.strip() for name in target.split("+")]
    total = np.zeros(len(samples))
    for name in names:
        for index, cell in enumerate(samples.cells(name)):
            total[index] += _number(cell, name, samples.lines[index][0])
    for index, value in enumerate(total):
        if not 0 < value <= MAX_MS:
            what = samples.lines[index][0]
            raise FileFormatError(
                f"{what}: {one_line(target, 80)} is {value:g}; a latency must be above 0, at most {MAX_MS:g}"
            )
    return total


def columns_of(samples: SampleFile, features: Sequence[str]) -> tuple[Column, ...]:
    """How each named column is read: as numbers where every cell is one, else as categories where none is.

    `name:categorical` reads a column of numbers as categories. Raises `UsageError` for no, unknown or repeated columns,
    `FileFormatError` that names line and value where a column mixes numbers and text, or has too many categories.
    """
    found: list[Column] = []
    for name in features:
        match = None if name in samples.header else _CATEGORICAL.fullmatch(name)
        name = match[1] if match else name
        cells = samples.cells(name)
        if any(column.name == name for column in found):
            raise UsageError(f"feature {name!r:.80} is named twice")
        numbers = [numeric(cell) is not None for cell in cells]
        for index, cell in enumerate(cells):
            what = samples.lines[index][0]
            if not cell:
                raise FileFormatError(f"{what}: {one_line(name, 80)} is empty; every sample needs every feature")
            if match is None and any(numbers) and not numbers[index]:
                raise FileFormatError(
                    f"{what}: {one_line(name, 80)} is {one_line(repr(cell), 80)}, other lines have numbers; mend it, or "
                    f"read all as text with {one_line(name, 80)}:categorical"
                )
        if match is None and all(numbers):
            found.append(Column(name, None))
            continue
        categories = tuple(sorted(set(cells)))
        if len(categories) > MAX_CATEGORIES:
            raise FileFormatError(
                f"{samples.path}: {one_line(name, 80)} has {len(categories)} different texts, such as "
                f"{one_line(repr(cells[0]), 80)}; at most {MAX_CATEGORIES} are learnt from"
            )
        found.append(Column(name, categories))
    if not found:
        raise UsageError(f"no features; name columns with --features, of {one_line(', '.join(samples.header), 300)}")
    return tuple(found)


def matrix_of(samples: SampleFile, columns: Sequence[Column]) -> FloatArray:
    """`(n, features)` of the columns; raises `FileFormatError` that names line and value where one cannot be read."""
    blocks = []
    for column in columns:
        rows = []
        for index, cell in enumerate(samples.cells(column.name)):
            try:
                rows.append(column.values(cell))
            except UsageError as error:
                raise FileFormatError(f"{samples.lines[index][0]}: {error}") from None
        blocks.append(np.array(rows, dtype=float))
    return np.hstack(blocks)


def architectures_of(samples: SampleFile, space: SearchSpace, column: str = ARCHITECTURE) -> list[Architecture]:
    """The architectures of a column; raises `FileFormatError` that names line and value where one is not of the space."""
    found = []
    for index, cell in enumerate(samples.cells(column)):
        try:
            found.append(parse_architecture(cell, space))
        except LatlasError as error:
            raise FileFormatError(f"{samples.lines[index][0]}: {one_line(str(error), 400)}") from None
    return found


def _number(cell: str, name: str, what: str) -> float:
    value = numeric(cell)
    if value is None:
        raise FileFormatError(f"{what}: {one_line(name, 80)} is {one_line(repr(cell), 80)}; it must be a number")
    return value
