"""Reads measured samples of anybody's networks from CSV: a line for each network, with features or architecture, and latency.

Readers report all lines that they cannot use. `usable` leaves such lines out beforehand and says which they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.records import one_line
from latlas.files.stand_in import stand_in
from latlas.latency.formats.delimited import listed, read_delimited
from latlas.latency.formats.table_format import UNITS
from latlas.latency.formats.unit import cell_in_unit, unit_in, unit_of
from latlas.latency.samples.columns import MAX_CATEGORIES, Column, numeric
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture

MAX_BYTES = 64 * 2**20
MAX_MS = 1e12
ARCHITECTURE = "architecture"
"""The column that holds architectures, unless another is named."""
_CATEGORICAL = re.compile(r"(.+):categorical")
_MISSING = ("", "-", "na", "n/a", "nan", "none", "null", "#n/a", "?")
_BYTE_ORDERS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class SampleFile:
    """The lines of a CSV of samples: the column names, and for each line its name for messages and its cells by column.

    `ragged` are the lines with a wrong number of fields, with a message for each.
    """

    path: Path
    header: tuple[str, ...]
    lines: tuple[tuple[str, dict[str, str]], ...]
    ragged: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def cells(self, name: str) -> list[str]:
        """The cells of a column; raises `UsageError` if there is no such column."""
        if name not in self.header:
            known = one_line(", ".join(self.header), 300)
            raise UsageError(f"{self.path} has no column {one_line(repr(name), 80)}; it has {known}")
        return [cells[name].strip() for _, cells in self.lines]

    def what(self, index: int) -> str:
        """The name of a line, for messages."""
        return self.lines[index][0]

    def require_whole(self) -> None:
        """Raises `FileFormatError` if lines have a wrong number of fields."""
        if self.ragged:
            raise FileFormatError(_all(list(self.ragged.values()), len(self) + len(self.ragged)))

    def without(self, indices: Mapping[int, str]) -> SampleFile:
        """The same file without these lines."""
        return replace(
            self, lines=tuple(line for index, line in enumerate(self.lines) if index not in indices), ragged={}
        )


def read_samples(path: Path, *, skip_bad: bool = False) -> SampleFile:
    """The samples of a CSV file with a line of column names, separated by commas, semicolons or tabs; numbers get points.

    With `skip_bad`, lines with a wrong number of fields go to `ragged`. Raises `UsageError` if the file cannot be read,
    `FileFormatError` if it is no such table, too large, ragged or empty.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_BYTES} bytes; split it, or leave columns out")
    if found := stand_in(content[:4096], len(content)):
        raise FileFormatError(f"{path}: {found}")
    try:
        text = content.decode("utf-16" if content.startswith(_BYTE_ORDERS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileFormatError(f"{path}, line {line}: not UTF-8; save it as CSV in UTF-8") from None
    if "\0" in text:
        raise FileFormatError(f"{path}, line {text[: text.index(chr(0))].count(chr(10)) + 1}: holds a null character")
    read = read_delimited(text, path)
    if not read.records:
        raise FileFormatError(f"{path} has no rows")
    samples = SampleFile(path, tuple(read.header), tuple(read.with_points().records), read.ragged)
    if not skip_bad:
        samples.require_whole()
    return samples


def usable(
    samples: SampleFile,
    target: str,
    unit: str | None = None,
    *,
    features: Sequence[str] = (),
    space: SearchSpace | None = None,
    column: str = ARCHITECTURE,
) -> tuple[SampleFile, list[str]]:
    """The lines that can be learnt from, and a message for each other line: failed, empty, ragged or not of the space.

    Raises `UsageError` for unknown columns, and if no line is left.
    """
    wrong = _targets(samples, target, unit)[1]
    if space is not None:
        wrong |= _architectures(samples, space, column)[1]
    for name in features:
        _, cells, numbers, said = _column(samples, name)
        mostly = said is None and 2 * sum(numbers) >= sum(cell.lower() not in _MISSING for cell in cells)
        for index, cell in enumerate(cells):
            if cell.lower() in _MISSING or (mostly and not numbers[index]):
                wrong.setdefault(index, f"{samples.what(index)}: {one_line(name, 80)} is {one_line(repr(cell), 80)}")
    left = samples.without(wrong)
    messages = [*samples.ragged.values(), *(wrong[index] for index in sorted(wrong))]
    if not len(left):
        raise UsageError(f"{samples.path}: no line can be used; {_all(messages, len(messages))}")
    return left, messages


def target_of(samples: SampleFile, target: str, unit: str | None = None) -> FloatArray:
    """Milliseconds `(n,)` of the target, which is a column or, written `a+b`, the sum of several.

    The unit comes from each column's name (`latency_us`), from each cell (`12.5 ms`), or from `unit`. Raises `UsageError` if
    nothing says it. Raises `FileFormatError` with line and value if a cell is no number or a sum is not positive.
    """
    total, wrong = _targets(samples, target, unit)
    _raise(wrong, samples)
    return total


def _targets(samples: SampleFile, target: str, unit: str | None) -> tuple[FloatArray, dict[int, str]]:
    names = [target] if target in samples.header else [name.strip() for name in target.split("+")]
    total, wrong = np.zeros(len(samples)), dict[int, str]()
    for name in names:
        cells = [cell_in_unit(cell) for cell in samples.cells(name)]
        inside = {said for cell, said in cells if cell.lower() not in _MISSING}
        usual = _unit_of_cells(samples, name, inside, unit)
        for index, (cell, said) in enumerate(cells):
            value = numeric(cell)
            if value is None:
                hint = (
                    "; it may mean two numbers: write it without the comma" if re.fullmatch(r"\d+,\d{3}", cell) else ""
                )
                shown = one_line(repr(samples.lines[index][1][name].strip()), 80)
                wrong.setdefault(
                    index, f"{samples.what(index)}: {one_line(name, 80)} is {shown}; it must be a number{hint}"
                )
            else:
                total[index] += value * 10.0 ** UNITS[said or usual]
    for index, value in enumerate(total.tolist()):
        if index not in wrong and not 0 < value <= MAX_MS:
            wrong[index] = (
                f"{samples.what(index)}: {one_line(target, 80)} is {value:g}; a latency must be above 0, at most {MAX_MS:g}"
            )
    return total, wrong


def _unit_of_cells(samples: SampleFile, name: str, inside: set[str | None], unit: str | None) -> str:
    """The unit of the cells in a column that do not say their unit."""
    units = inside - {None}
    said = unit_in(name)
    if units and None not in inside:
        for one in (said, unit):
            if one is not None and units != {one}:
                raise UsageError(
                    f"{samples.path}: cells of {one_line(name, 80)} say {', '.join(sorted(map(str, units)))}, not {one}"
                )
        return "ms"  # every cell says its unit, so this is not used
    return unit_of(name, unit)


def columns_of(samples: SampleFile, features: Sequence[str]) -> tuple[Column, ...]:
    """How each named column is read: as numbers if every cell is a number, as categories if none is.

    `name:categorical` reads a column of numbers as categories. Raises `UsageError` for missing, unknown or repeated columns.
    Raises `FileFormatError` with line and value if a column mixes numbers and text, or has too many categories.
    """
    found: list[Column] = []
    for asked in features:
        name, cells, numbers, said = _column(samples, asked)
        if any(column.name == name for column in found):
            raise UsageError(f"feature {name!r:.80} is named twice")
        wrong = {}
        for index, cell in enumerate(cells):
            what = samples.what(index)
            if not cell:
                wrong[index] = f"{what}: {one_line(name, 80)} is empty; every sample needs every feature"
            elif said is None and any(numbers) and not numbers[index]:
                wrong[index] = (
                    f"{what}: {one_line(name, 80)} is {one_line(repr(cell), 80)}, other lines have numbers; mend it, or "
                    f"read all as text with {one_line(name, 80)}:categorical"
                )
        _raise(wrong, samples)
        if said is None and all(numbers):
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


def _column(samples: SampleFile, asked: str) -> tuple[str, list[str], list[bool], str | None]:
    """A feature's column name, its cells, which of them are numbers, and `categorical` if the user asked for that."""
    match = None if asked in samples.header else _CATEGORICAL.fullmatch(asked)
    name = match[1] if match else asked
    cells = samples.cells(name)
    return name, cells, [numeric(cell) is not None for cell in cells], "categorical" if match else None


def matrix_of(samples: SampleFile, columns: Sequence[Column]) -> FloatArray:
    """The features `(n, features)` of the columns; raises `FileFormatError` with line and value for a cell it cannot read."""
    blocks, wrong = [], dict[int, str]()
    for column in columns:
        rows = []
        for index, cell in enumerate(samples.cells(column.name)):
            try:
                rows.append(column.values(cell))
            except UsageError as error:
                wrong.setdefault(index, f"{samples.what(index)}: {error}")
        blocks.append(rows)
    _raise(wrong, samples)
    return np.hstack([np.array(rows, dtype=float) for rows in blocks])


def architectures_of(samples: SampleFile, space: SearchSpace, column: str = ARCHITECTURE) -> list[Architecture]:
    """The architectures of a column; raises `FileFormatError` with line and value if one is not of the space."""
    found, wrong = _architectures(samples, space, column)
    _raise(wrong, samples)
    return found


def _architectures(samples: SampleFile, space: SearchSpace, column: str) -> tuple[list[Architecture], dict[int, str]]:
    if column not in samples.header:
        known = one_line(", ".join(samples.header), 300)
        raise UsageError(
            f"{samples.path} has no column {one_line(repr(column), 80)} of architectures; it has {known}: name it with --column"
        )
    found, wrong = [], {}
    for index, cell in enumerate(samples.cells(column)):
        try:
            found.append(parse_architecture(cell, space))
        except LatlasError as error:
            wrong[index] = f"{samples.what(index)}: {one_line(str(error), 400)}"
    return found, wrong


def _raise(wrong: Mapping[int, str], samples: SampleFile) -> None:
    if wrong:
        raise FileFormatError(_all([wrong[index] for index in sorted(wrong)], len(samples)))


def _all(messages: list[str], lines: int) -> str:
    more = " (leave such lines out with --skip-bad)" if len(messages) > 1 else ""
    return listed(messages, lines) + more
