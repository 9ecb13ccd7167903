"""An entry of another project's latency table: its name there, its milliseconds, and its operator in Latlas.

If an entry is not exactly an operator of Latlas, it gets the kind `foreign`, with its name as the label. Entries are neither
dropped nor merged: if two would be the same operator, both stay foreign.
"""

from __future__ import annotations

import hashlib
import re
import reprlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.delimited import listed
from latlas.latency.formats.table_format import UNITS
from latlas.latency.table.row import MAX_SOURCE, NUMBERS, Row
from latlas.spaces.operators.spec import FOREIGN, MAX_LABEL, OpSpec

_NUMBER = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,4})?")
_WHOLE = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file.

    `source` is its name in the file. `spec` is the operator of Latlas that it exactly is, or None; `foreign` is its foreign
    operator. `stated` says whether the file itself gives the spec, as files that Latlas wrote do. `rounds` is how often it was
    measured, 0 if the file does not say. `percentiles` are 10, 50 and 90 %, in milliseconds. An entry that failed has no
    latency, but a `reason`. `what` names it in messages.
    """

    source: str
    latency_ms: float | None
    foreign: OpSpec
    spec: OpSpec | None = None
    stated: bool = False
    rounds: int = 0
    percentiles: tuple[float | None, float | None, float | None] = (None, None, None)
    reason: str = ""
    what: str = ""


def brief(value: object) -> str:
    """A value for a message, shortened to one line."""
    return one_line(reprlib.repr(value), 80)


def called(name: str) -> str:
    """An entry's name for a message."""
    return one_line(name[:400], 120)


def milliseconds(text: str, unit: str, what: str) -> float:
    """The milliseconds of a decimal number in a unit; raises `FileFormatError` unless it is finite and positive."""
    value, reason = latency_in(text, unit)
    if value is None:
        raise FileFormatError(f"{what}: {reason}")
    return value


def latency_in(text: str, unit: str) -> tuple[float | None, str]:
    """The milliseconds of a decimal number in a unit; if there is no latency, None and the reason."""
    # A decimal is used, so that a number written with the point moved three places is read as the same float.
    value = float(Decimal(text).scaleb(UNITS[unit])) if _NUMBER.fullmatch(text) else 0.0
    if 0 < value < float("inf"):
        return value, ""
    return None, f"the latency is {brief(text)}; it must be a finite, positive number"


def exact_text(latency_ms: float, unit: str) -> str:
    """The milliseconds as a decimal number in a unit; `milliseconds` reads the same float from it."""
    number = Decimal(repr(latency_ms)).scaleb(-UNITS[unit])
    return format(number, "f") if -12 <= number.adjusted() <= 12 else str(number)


def whole(text: str, what: str) -> int:
    """A whole number of at most nine digits; raises `FileFormatError`."""
    if not _WHOLE.fullmatch(text):
        raise FileFormatError(f"{what} is {brief(text)}; it must be a whole number below a thousand million")
    return int(text)


def source_of(text: str, what: str) -> str:
    """The entry's name, if a table can keep it as it is; raises `FileFormatError`."""
    if not text or len(text) > MAX_SOURCE or text != one_line(text, MAX_SOURCE):
        raise FileFormatError(
            f"{what}: its name is {brief(text)}; it must be a line of at most {MAX_SOURCE} characters with single spaces"
        )
    return text


def foreign_operator(source: str, what: str, **fields: int) -> OpSpec:
    """The foreign operator for an entry's name, with the known fields of its place; raises `FileFormatError`."""
    label = source
    if len(source) > MAX_LABEL:
        label = source[: MAX_LABEL - 20].rstrip() + " #" + hashlib.sha256(source.encode()).hexdigest()[:16]
    if fields.get("kernel_size", 1) % 2 == 0:
        del fields["kernel_size"]  # an OpSpec only takes odd ones; the label still has it
    try:
        return OpSpec(kind=FOREIGN, label=label, **fields)  # type: ignore[arg-type]
    except UsageError as error:
        raise FileFormatError(f"{what}: {one_line(str(error), 200)}") from None


def stated_spec(record: object, what: str) -> OpSpec:
    """The spec that a file states, with whole numbers as numbers or as texts; raises `FileFormatError`."""
    if not isinstance(record, dict) or len(record) > 32:
        raise FileFormatError(f"{what}: its spec is {brief(record)}; it must be an operator's fields")
    texts = ("kind", "activation", "label")
    fields: dict[str, Any] = {}
    for name, value in record.items():
        number = name not in texts and type(value) in (str, int)
        fields[name] = whole(str(value), f"{what}: {one_line(name, 40)}") if number else value
    try:
        return OpSpec.from_record(fields)
    except UsageError as error:
        raise FileFormatError(f"{what}: {one_line(str(error), 300)}") from None


def short_record(spec: OpSpec) -> dict[str, int | str]:
    """The fields of a spec that differ from their defaults; `stated_spec` reads them back."""
    bare = OpSpec(FOREIGN, 1, 1, 1, 1, label="x").to_record()
    needed = ("kind", "in_channels", "out_channels", "height", "width", "label" if spec.label else "kind")
    return {
        name: value for name, value in spec.to_record().items() if name in needed or (value != bare[name] and value)
    }


def rows_of(entries: Iterable[Entry], path: object, keep_failed: bool = False) -> list[Row]:
    """A row for each entry; with `keep_failed`, an entry without a latency becomes a failed row.

    Raises `FileFormatError` if two entries have one name or state one operator. Without `keep_failed`, it also raises for
    entries without a latency, and names the first few and how many there are.
    """
    entries = list(entries)
    failed = [f"{entry.what}: {entry.reason}" for entry in entries if entry.latency_ms is None]
    if failed and not keep_failed:
        raise FileFormatError(f"{listed(failed, len(entries))}; --skip-bad keeps such entries as failed")
    names = Counter(entry.source for entry in entries if not entry.stated)
    specs = Counter(entry.spec for entry in entries)
    rows: dict[OpSpec, Row] = {}
    for entry in entries:
        if names[entry.source] > 1:
            raise FileFormatError(f"{path}: two entries are called {called(entry.source)}")
        ours = entry.spec is not None and (entry.stated or specs[entry.spec] == 1)
        spec = entry.spec if ours and entry.spec is not None else entry.foreign
        if spec in rows:
            raise FileFormatError(f"{path}: two entries are of one operator, {spec}")
        numbers: dict[str, Any] = dict.fromkeys(NUMBERS) | {"latency_ms": entry.latency_ms}
        numbers |= dict(zip(("p10_ms", "p50_ms", "p90_ms"), entry.percentiles, strict=True))
        failure: dict[str, Any] = {} if entry.latency_ms is not None else {"status": "failed", "reason": entry.reason}
        if failure:
            numbers = dict.fromkeys(NUMBERS)
        try:
            rows[spec] = Row(
                spec=spec,
                **numbers,
                rounds=entry.rounds,
                discarded=0,
                passes=0,
                origin="imported",
                source=entry.source,
                **failure,
            )
        except UsageError as error:
            raise FileFormatError(f"{path}: {one_line(str(error), 300)}") from None
    return list(rows.values())
