"""Turns frozen dataclasses into JSON records and back, strictly, and makes text safe for one line."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from latlas.errors import FileFormatError, UsageError

T = TypeVar("T")


def canonical_json(value: object) -> str:
    """The JSON text of a value. Equal values give equal texts: keys sorted, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text; raises `FileFormatError`, also for NaN, Infinity and extreme nesting."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise FileFormatError(f"{what} is not JSON: {one_line(str(error), 120)}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def one_line(text: str, limit: int = 500) -> str:
    """The text with every run of blanks and unprintable characters replaced by one space, cut to `limit` characters.

    A second application changes nothing, so stored text equals read text. Terminal escapes are removed.
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def utc_now() -> str:
    """Now in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_timestamp(name: str, value: str) -> None:
    """Raises `UsageError` unless the value is an ISO 8601 time with its offset from UTC."""
    try:
        aware = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise UsageError(f"{name} is {one_line(repr(value), 80)}; it must be an ISO 8601 time such as {utc_now()}")


def from_record(cls: type[T], record: object, what: str) -> T:
    """A dataclass from a record, which must have exactly its fields, each of the right type; nested dataclasses too.

    Raises a `FileFormatError` that names `what`, and the unknown, missing or mistyped field with its value.
    """
    if not isinstance(record, Mapping):
        raise FileFormatError(f"{what} is {type(record).__name__}; it must be an object with named fields")
    hints = get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    unknown, missing = sorted(map(str, set(record) - set(names))), [name for name in names if name not in record]
    if unknown or missing:
        problems = [f"unknown fields {one_line(', '.join(unknown), 200)}"] if unknown else []
        problems += [f"missing fields {', '.join(missing)}"] if missing else []
        raise FileFormatError(f"{what} has {' and '.join(problems)}")
    values = {name: _checked(hints[name], record[name], f"{what}, field {name}") for name in names}
    try:
        return cls(**values)
    except UsageError as error:
        raise FileFormatError(f"{what}: {error}") from None


def _checked(hint: Any, value: object, what: str) -> object:
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return from_record(option, value, what)  # type: ignore[arg-type]
        if option is float and type(value) in (int, float):
            number = as_float(value)
            if math.isfinite(number):
                return number
        elif type(value) is option:  # not isinstance: True is no count
            return value
    wanted = " or ".join("nothing" if option is type(None) else option.__name__ for option in options)
    raise FileFormatError(f"{what} is {one_line(repr(value), 80)}; it must be {wanted}")


def as_float(value: Any) -> float:
    """The number as a float; infinity if a whole number is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
