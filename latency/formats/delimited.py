"""Reads tables of text: separated by commas, semicolons or tabs, with comments or decimal commas, or from a spreadsheet.

Tables of operators and files of samples share this reader. Lines are read one at a time, so a field cannot hold a line break.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from latlas.errors import FileFormatError
from latlas.files.records import one_line

MAX_ENTRIES = 100_000
MAX_COLUMNS = 256
MAX_LINE = 2**18
MAX_LINES = 2 * MAX_ENTRIES
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_NUMBER_LIKE = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d{1,4})?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")

Record = tuple[str, dict[str, str]]
"""A line's name for messages, and its cells by column."""


@dataclass(frozen=True, slots=True)
class Delimited:
    """The column names of a text, its lines as records, and the lines with a wrong number of fields.

    `ragged` maps the name of such a line to a message; `delimiter` separates the fields.
    """

    header: list[str]
    records: list[Record]
    ragged: dict[str, str]
    delimiter: str

    def require_whole(self, path: object) -> Delimited:
        """The same object; raises `FileFormatError` if a line has a wrong number of fields, or if there are no lines."""
        if self.ragged:
            raise FileFormatError(listed(list(self.ragged.values()), len(self.records) + len(self.ragged)))
        if not self.records:
            raise FileFormatError(f"{path} has no rows")
        return self

    def with_points(self) -> Delimited:
        """The same with decimal points in columns of numbers: `12,5` is `12.5`, `1.234,5` and `1,234.5` are `1234.5`."""
        free = self.delimiter != ","
        columns = {name: _with_points([cells[name] for _, cells in self.records], free) for name in self.header}
        rows = zip(*columns.values(), strict=True)
        records = [
            (what, dict(zip(self.header, row, strict=True))) for (what, _), row in zip(self.records, rows, strict=True)
        ]
        return replace(self, records=records)


def _content(text: str, path: object) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip() and number <= MAX_LINES:
            continue
        what = f"{path}, line {number}"
        if number > MAX_LINES:
            raise FileFormatError(f"{path} has more than {MAX_LINES} lines; that is no latency table")
        if len(line) > MAX_LINE:
            raise FileFormatError(f"{what} has more than {MAX_LINE} characters; that is no latency table")
        yield what, line.rstrip("\n")


def _fields(what: str, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True, delimiter=delimiter))
    except (csv.Error, StopIteration, TypeError) as error:
        raise FileFormatError(f"{what} is not CSV: {one_line(str(error), 120)}") from None


def _delimiter(header: str) -> str:
    """The most frequent separator between the names in the first line, or a comma if there is none."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",", ";", "\t", key=lambda one: (bare.count(one), one == ","))


def read_delimited(text: str, path: object) -> Delimited:
    """The columns and lines of a text; raises `FileFormatError` if it is no table, or if a name is given twice.

    Lines that begin with `#`, and a first line such as `sep=;`, are left out. If a comment above numbers has the names of the
    columns, as numpy writes them, that comment is the first line.
    """
    content = list(_content(text, path))
    told = _SEPARATOR_LINE.fullmatch(content[0][1]) if content else None
    content = content[1:] if told else content
    remarks = [(what, line) for what, line in content if line.startswith("#")]
    content = [(what, line) for what, line in content if not line.startswith("#")]
    delimiter = told[1] if told else _delimiter(content[0][1] if content else "")
    lines = [(what, _fields(what, line, delimiter)) for what, line in content]
    if remarks and lines and all(_NUMBER_LIKE.fullmatch(cell.strip()) for cell in lines[0][1]):
        names = _fields(remarks[-1][0], remarks[-1][1].lstrip("# "), delimiter)
        if len(names) == len(lines[0][1]) > 1:
            lines.insert(0, (remarks[-1][0], names))
    what, header = lines[0] if lines else ("", [])
    header = [name.strip() for name in header]
    if len(lines) - 1 > MAX_ENTRIES:
        raise FileFormatError(f"{path} has more than {MAX_ENTRIES} rows")
    count = len(header)
    rows = [(line, fields) for line, fields in lines[1:] if len(fields) == count]
    if count > 2 and not header[-1] and not any(fields[-1].strip() for _, fields in rows):
        header, rows = header[:-1], [(line, fields[:-1]) for line, fields in rows]  # each line ends with a delimiter
    if len(header) < 2 or len(header) > MAX_COLUMNS:
        raise FileFormatError(
            f"{path} has {len(header)} columns; a table has 2 to {MAX_COLUMNS}, parted by commas, semicolons or tabs"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise FileFormatError(f"{what}: columns given twice: {one_line(', '.join(twice), 200)}")
    ragged = {
        line: f"{line} has {len(fields)} fields; the first line names {count}"
        for line, fields in lines[1:]
        if len(fields) != count
    }
    return Delimited(
        header, [(line, dict(zip(header, fields, strict=True))) for line, fields in rows], ragged, delimiter
    )


def _with_points(cells: list[str], free: bool) -> list[str]:
    """A column of numbers with decimal points.

    `free` says that commas do not separate fields in the file. If `12,345` could be either, the column stays unchanged.
    """
    bare = [cell.strip() for cell in cells]
    with_commas = [cell for cell in bare if "," in cell]
    if not with_commas or not all(_NUMBER_LIKE.fullmatch(cell) for cell in with_commas):
        return cells
    both = [cell for cell in bare if "," in cell and "." in cell]
    if both:
        decimal = {max(",.", key=cell.rfind) for cell in both}
        if len(decimal) > 1:
            return cells
        comma_is_decimal = decimal == {","}
    elif any(cell.count(",") > 1 for cell in with_commas):
        comma_is_decimal = False
    elif not all(_THOUSANDS.fullmatch(cell) for cell in with_commas):
        comma_is_decimal = True
    elif any("." in cell for cell in bare):
        comma_is_decimal = False
    elif free and not all(_THOUSANDS.fullmatch(cell) for cell in bare if len(cell) > 3):
        comma_is_decimal = True
    else:
        return cells
    if comma_is_decimal:
        return [cell.replace(".", "").replace(",", ".") if "," in cell else cell for cell in bare]
    return [cell.replace(",", "") for cell in bare]


def listed(messages: list[str], lines: int, shown: int = 5) -> str:
    """The first of many messages, and how many there are; a single message stays as it is."""
    if len(messages) == 1:
        return messages[0]
    more = f"; and {len(messages) - shown} more" if len(messages) > shown else ""
    return f"{len(messages)} of {lines} lines are wrong: {'; '.join(messages[:shown])}{more}"
