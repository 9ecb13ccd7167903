"""Finds the unit of time in a column's name, in the user's option, or in a cell."""

from __future__ import annotations

import re

from latlas.errors import UsageError
from latlas.files.records import one_line
from latlas.latency.formats.table_format import UNITS

_NAMES = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "usecs", "micros", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"),
}
_UNIT_OF = {name: unit for unit, names in _NAMES.items() for name in names}
_STATISTIC = re.compile(r"p\d+|q\d+|mean|median|avg|average|min|max|total|\d+")
_WORDS = re.compile(r"[^\W\d_]+\d*|\d+", re.UNICODE)
_CELL = re.compile(r"\s*(.*?[\d.])\s*([a-zµμ]+)\s*", re.IGNORECASE)


def unit_in(name: str) -> str | None:
    """The unit that a column's name ends with, before any statistic: `latency_us`, `Time (ms)`, `runtime_us_p50`; else None."""
    words = [word.lower() for word in _WORDS.findall(re.sub(r"(?<=[a-zµμ])(?=[A-ZΜ])", " ", name))]
    while words and _STATISTIC.fullmatch(words[-1]):
        words.pop()
    return _UNIT_OF.get(words[-1]) if words else None


def unit_of(name: str, given: str | None, default: str | None = None) -> str:
    """The unit of a column: the unit in its name, else the given one, else the default.

    Raises `UsageError` if the name and the given unit differ, or if nothing says the unit.
    """
    if given is not None and given not in UNITS:
        raise UsageError(f"--unit is {one_line(given, 60)}; it must be one of {', '.join(UNITS)}")
    said = unit_in(name)
    found = said or given or default
    if given is not None and found != given:
        raise UsageError(f"--unit is {given}; the column {one_line(name, 80)} says {found}")
    if found is None:
        raise UsageError(
            f"what unit is the column {one_line(name, 80)}? Say --unit {', '.join(UNITS)}, or name the column with it, as "
            "latency_ms"
        )
    return found


def cell_in_unit(cell: str) -> tuple[str, str | None]:
    """The number in a cell such as `12.5 ms`, and the unit beside it; None for a number alone."""
    match = _CELL.fullmatch(cell)
    unit = _UNIT_OF.get(match[2].lower()) if match else None
    return (match[1], unit) if match and unit else (cell, None)
