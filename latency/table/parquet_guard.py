"""Checks what a Parquet file claims about itself, before a Parquet library reads it.

A library believes a file's footer and page headers: pyarrow 26 ends the whole process on some broken footers, and
allocates and fills what a page's header claims, up to 2 GiB a page. A table of Latlas needs little of the format, and only
that passes: flat columns of three types, pages of version 1, plain or dictionary encoding, sizes that add up and are bounded.
The field numbers come from https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from latlas.files.records import one_line

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_BITS = {I16: 16, I32: 32, I64: 64}
MAX_DEPTH = 16
MAX_VALUES = 200_000

Struct = dict[int, tuple[int, Any]]
"""A struct: maps the number of a field to its type and value. A list's value is `(element type, values)`; text is bytes."""


class ThriftError(ValueError):
    """The bytes are no struct of this protocol, or a struct that no latency table has."""


class Reader:
    """Reads structs from bytes; `position` is where it stands.

    Raises `ThriftError` for bytes that end too early, a field given twice, a number too large for its type, a depth above
    `MAX_DEPTH`, or more than `MAX_VALUES` values in all.
    """

    def __init__(self, content: memoryview, position: int = 0) -> None:
        self.position = position
        self._content = content
        self._left = MAX_VALUES

    def struct(self, depth: int = 0) -> Struct:
        """The struct that begins here."""
        if depth > MAX_DEPTH:
            raise ThriftError(f"structs lie more than {MAX_DEPTH} deep in each other")
        found: Struct = {}
        number = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            kind, delta = head & 0x0F, head >> 4
            number = number + delta if delta else self._signed(16)
            if number in found:
                raise ThriftError(f"a struct has field {number} twice")
            # A field that is true or false has no value of its own: its type is its value.
            found[number] = (TRUE, kind == TRUE) if kind in (TRUE, FALSE) else (kind, self._value(kind, depth))

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ThriftError(f"it has more than {MAX_VALUES} values")
        if kind in _BITS:
            return self._signed(_BITS[kind])
        if kind in (TRUE, FALSE, BYTE):  # as an element of a list
            return self._byte()
        if kind == DOUBLE:
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self._unsigned(32))
        if kind in (LIST, SET):
            return self._list(depth)
        if kind == STRUCT:
            return self.struct(depth + 1)
        raise ThriftError(f"it has a value of type {kind}, which no footer has")

    def _list(self, depth: int) -> tuple[int, list[Any]]:
        if depth > MAX_DEPTH:
            raise ThriftError(f"lists lie more than {MAX_DEPTH} deep in each other")
        head = self._byte()
        kind, size = head & 0x0F, head >> 4
        if size == 15:
            size = self._unsigned(32)
        if size > self._left:
            raise ThriftError(f"a list has {size} values")
        return kind, [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        if self.position >= len(self._content):
            raise ThriftError("it ends too early")
        self.position += 1
        return self._content[self.position - 1]

    def _bytes(self, size: int) -> bytes:
        if size > len(self._content) - self.position:
            raise ThriftError(f"a text of {size} bytes goes beyond its end")
        self.position += size
        return bytes(self._content[self.position - size : self.position])

    def _unsigned(self, bits: int) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > bits:
                raise ThriftError(f"a number is too long for {bits} bits")
        if value >> bits:
            raise ThriftError(f"a number is too large for {bits} bits")
        return value

    def _signed(self, bits: int) -> int:
        value = self._unsigned(bits)
        return (value >> 1) ^ -(value & 1)  # zigzag: 0, -1, 1, -2, ...


MAGIC = b"PAR1"
MAX_FOOTER_BYTES = 4 * 2**20
MAX_PAGE_BYTES = 16 * 2**20
MAX_DATA_BYTES = 256 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_ROW_GROUPS = 1_000
MAX_PAGES = 20_000

_INT64, _DOUBLE, _BYTE_ARRAY = 2, 5, 6
_TYPES = {_INT64: "int64", _DOUBLE: "double", _BYTE_ARRAY: "text"}
_UTF8 = 0
_CODECS = {0: "none", 1: "snappy", 6: "zstd"}
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8
# The delta encodings are not allowed: a few bytes of DELTA_BYTE_ARRAY expand to gigabytes, and no header states that size.
_ENCODINGS = (_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY)


class SuspectFileError(ValueError):
    """The file claims something that no latency table has; the message says what."""


@dataclass
class _Budget:
    """How much the pages of the whole file may still claim."""

    bytes_left: int = MAX_DATA_BYTES
    pages_left: int = MAX_PAGES


def check_parquet(content: bytes) -> None:
    """Raises `SuspectFileError` unless a Parquet library may safely read the file.

    The check takes time and memory in proportion to the footer and the number of pages, both bounded; it decompresses nothing.
    """
    view = memoryview(content)
    end = len(content) - 8
    if end < len(MAGIC) or content[:4] != MAGIC or content[-4:] != MAGIC:
        raise SuspectFileError("it does not begin and end as one")
    size = int.from_bytes(content[end : end + 4], "little")
    if not 0 < size <= min(end - len(MAGIC), MAX_FOOTER_BYTES):
        raise SuspectFileError(
            f"its footer claims {size} bytes of {len(content)}, and at most {MAX_FOOTER_BYTES} are read"
        )
    try:
        reader = Reader(view[end - size : end])
        footer = reader.struct()
        if reader.position != size:
            raise SuspectFileError("its footer has bytes after its end")
        columns = _check_schema(footer)
        _check_groups(footer, columns, view[: end - size])
    except ThriftError as error:
        raise SuspectFileError(f"its footer or a page's header is broken: {error}") from None


def _check_schema(footer: Struct) -> list[int]:
    """The physical types of the columns, in order."""
    root, *leaves = _structs(footer, 2, "schema", MAX_COLUMNS + 1) or [{}]
    if _number(root, 5, I32, "the number of columns") != len(leaves):
        raise SuspectFileError(f"its columns are nested, or not the {len(leaves)} it claims")
    types = []
    for leaf in leaves:
        name = one_line(_text(leaf, 4, "a column's name").decode("utf-8", "replace"), 80)
        if _number(leaf, 5, I32, "children", 0):
            raise SuspectFileError(f"column {name} is nested")
        kind = _number(leaf, 1, I32, f"the type of column {name}")
        if kind not in _TYPES or _number(leaf, 3, I32, f"whether column {name} may be missing") not in (0, 1):
            raise SuspectFileError(f"column {name} is of physical type {kind} or repeated; a table's are not")
        converted = _number(leaf, 6, I32, f"the type of column {name}", -1)
        if converted not in ((-1, _UTF8) if kind == _BYTE_ARRAY else (-1,)):
            raise SuspectFileError(f"column {name} is of converted type {converted}; a table's are not")
        logical = leaf.get(10)
        text = logical is not None and logical[0] == STRUCT and list(logical[1]) == [1]  # LogicalType.STRING
        if (logical is not None and not (text and kind == _BYTE_ARRAY)) or leaf.keys() - {1, 3, 4, 5, 6, 9, 10}:
            raise SuspectFileError(f"column {name} is of a logical type that no table has")
        types.append(kind)
    return types


def _check_groups(footer: Struct, types: list[int], data: memoryview) -> None:
    rows = _number(footer, 3, I64, "its number of rows")
    if not 0 <= rows <= MAX_ROWS:
        raise SuspectFileError(f"it claims {rows} rows; a latency table has at most {MAX_ROWS}")
    if footer.keys() & {8, 9}:
        raise SuspectFileError("it is encrypted; a table is not")
    total, budget = 0, _Budget()
    for group in _structs(footer, 4, "row groups", MAX_ROW_GROUPS):
        group_rows = _number(group, 3, I64, "the rows of a row group")
        if not 0 <= group_rows <= rows:
            raise SuspectFileError(f"a row group claims {group_rows} rows of {rows}")
        total += group_rows
        chunks = _structs(group, 1, "columns", MAX_COLUMNS)
        if len(chunks) != len(types):
            raise SuspectFileError(f"a row group has {len(chunks)} columns of {len(types)}")
        for chunk, kind in zip(chunks, types, strict=True):
            if chunk.keys() & {1, 8, 9}:
                raise SuspectFileError("a column lies in another file or is encrypted; a table's are not")
            _check_chunk(_struct(chunk, 3, "a column's place"), kind, group_rows, data, budget)
    if total != rows:
        raise SuspectFileError(f"its row groups have {total} rows, and it claims {rows}")


def _check_chunk(chunk: Struct, kind: int, rows: int, data: memoryview, budget: _Budget) -> None:
    if _number(chunk, 1, I32, "a column's type") != kind:
        raise SuspectFileError("a column is of another type than the schema says")
    if _number(chunk, 4, I32, "a column's compression") not in _CODECS:
        known = ", ".join(_CODECS.values())
        raise SuspectFileError(f"a column's compression is number {chunk[4][1]}; read are {known}")
    if _number(chunk, 5, I64, "a column's values") != rows:
        raise SuspectFileError(f"a column has {chunk[5][1]} values in {rows} rows")
    size = _number(chunk, 7, I64, "a column's size")
    if _number(chunk, 6, I64, "a column's full size") < 0:
        raise SuspectFileError("a column's full size is negative")
    start = first = _number(chunk, 9, I64, "a column's place")
    dictionary = _number(chunk, 11, I64, "a dictionary's place", 0)
    if dictionary:
        start = min(first, dictionary)
    if rows == 0:
        return  # without rows nothing is read, and writers give the data of such a column no place
    if not (len(MAGIC) <= start <= first <= start + size <= len(data)) or size < 0:
        raise SuspectFileError(f"a column lies at {start} to {start + size} of {len(data)} bytes")
    _check_pages(data, start, start + size, rows, budget)


def _check_pages(data: memoryview, start: int, end: int, rows: int, budget: _Budget) -> None:
    values, place = 0, start
    while place < end:
        budget.pages_left -= 1
        if budget.pages_left < 0:
            raise SuspectFileError(f"it has more than {MAX_PAGES} pages")
        reader = Reader(data[:end], place)
        page = reader.struct()
        kind = _number(page, 1, I32, "a page's type")
        full, stored = _number(page, 2, I32, "a page's full size"), _number(page, 3, I32, "a page's size")
        if not (0 <= full <= MAX_PAGE_BYTES and 0 <= stored <= end - reader.position):
            raise SuspectFileError(f"a page claims {full} bytes in {stored}; at most {MAX_PAGE_BYTES} are read")
        budget.bytes_left -= full
        if budget.bytes_left < 0:
            raise SuspectFileError(f"its pages claim more than {MAX_DATA_BYTES} bytes")
        if kind == _DICTIONARY_PAGE and place == start:
            header = _struct(page, 7, "a dictionary's header")
        elif kind == _DATA_PAGE:
            header = _struct(page, 5, "a page's header")
        else:
            raise SuspectFileError(f"a page is of type {kind}; a table has data pages after at most one dictionary")
        count = _number(header, 1, I32, "a page's values")
        if not 0 <= count <= rows or _number(header, 2, I32, "a page's encoding") not in _ENCODINGS:
            raise SuspectFileError(f"a page claims {count} values of {rows}, in encoding {header[2][1]}")
        if kind == _DATA_PAGE:
            if any(_number(header, number, I32, "a page's levels") != _RLE for number in (3, 4)):
                raise SuspectFileError("a page's levels are in an encoding that no table has")
            values += count
        place = reader.position + stored
    if values != rows:
        raise SuspectFileError(f"a column's pages have {values} values of {rows}")


def _number(struct: Struct, number: int, kind: int, what: str, default: int | None = None) -> int:
    found = struct.get(number)
    if found is None and default is not None:
        return default
    if found is None or found[0] != kind:
        raise SuspectFileError(f"{what} is not given as a number of its type")
    return int(found[1])


def _text(struct: Struct, number: int, what: str) -> bytes:
    found = struct.get(number)
    if found is None or found[0] != BINARY:
        raise SuspectFileError(f"{what} is not given as text")
    return bytes(found[1])


def _struct(struct: Struct, number: int, what: str) -> Struct:
    found = struct.get(number)
    if found is None or found[0] != STRUCT:
        raise SuspectFileError(f"{what} is not given")
    value: Struct = found[1]
    return value


def _structs(struct: Struct, number: int, what: str, limit: int) -> list[Struct]:
    found: tuple[int, Any] | None = struct.get(number)
    if found is None or found[0] != LIST:
        raise SuspectFileError(f"its {what} are not given")
    kind, values = found[1]
    if (values and kind != STRUCT) or len(values) > limit:
        raise SuspectFileError(f"its {what} are {len(values)}, at most {limit} are read, or of another type")
    return list(values)
