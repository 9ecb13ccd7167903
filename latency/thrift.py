"""Thrift's compact protocol, read into plain values with every size bounded.

Parquet's footer and page headers are written in it:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_BITS = {I16: 16, I32: 32, I64: 64}
MAX_DEPTH = 16
MAX_VALUES = 200_000

Struct = dict[int, tuple[int, Any]]
"""A struct: type and value by the field's number. A list's value is `(element type, values)`, text is bytes."""


class ThriftError(ValueError):
    """The bytes are no struct of this protocol, or one that no latency table has."""


class Reader:
    """Reads structs from bytes; `position` is where it stands.

    Raises `ThriftError` for what ends too early, a field given twice, a number too large for its type, a depth above
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
