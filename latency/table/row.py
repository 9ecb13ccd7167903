"""A row of a latency table: the latencies of one operator in one environment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import as_float, canonical_json, one_line
from latlas.spaces.operators.spec import SPEC_FIELDS, OpSpec

STATUSES = ("ok", "noisy", "failed")
ORIGINS = ("measured", "imported")
MAX_SOURCE = 1000

# Each triple is (lower, middle, upper), finite, positive and in order, unless the row failed.
_TRIPLES = (
    ("lower_ms", "latency_ms", "upper_ms"),
    ("ratio_lower", "ratio", "ratio_upper"),
    ("p10_ms", "p50_ms", "p90_ms"),
)
NUMBERS = (
    "latency_ms",
    "lower_ms",
    "upper_ms",
    "ratio",
    "ratio_lower",
    "ratio_upper",
    "p10_ms",
    "p50_ms",
    "p90_ms",
)
COUNTS = ("rounds", "discarded", "passes")
ESTIMATES = ("boundary_ms", "in_network_ms", "in_network_se_ms")
"""Fields that are derived from other measurements and may be missing; they are finite and at least 0."""


@dataclass(frozen=True, slots=True)
class Row:
    """The measurement of one operator; immutable, and checked when it is made.

    `latency_ms` is the median `ratio` to the reference network times the reference's own latency in that session, each
    with its interval; `p10_ms` to `p90_ms` are percentiles of the operator's raw times. `rounds` were accepted,
    `discarded` ones were hit by a burst, over `passes` through the list of operators. `status` is `ok`, `noisy` (the
    interval is wider than was asked for) or `failed`: then the numbers are None and `reason` says why.

    `boundary_ms` is the isolated latency without the call and without converting layout and precision at the borders
    (`boundary.py`). `in_network_ms` is what the operator adds to a network's latency, estimated from measured subnets, with
    its standard error. Both are None if they were not determined. `origin` is `measured`, or `imported` from another project:
    then only `latency_ms` must be known, and `source` is that project's name of the entry.

    Raises `UsageError` for an impossible value.
    """

    spec: OpSpec
    latency_ms: float | None
    lower_ms: float | None
    upper_ms: float | None
    ratio: float | None
    ratio_lower: float | None
    ratio_upper: float | None
    rounds: int
    discarded: int
    passes: int
    p10_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    status: str = "ok"
    reason: str = ""
    boundary_ms: float | None = None
    in_network_ms: float | None = None
    in_network_se_ms: float | None = None
    origin: str = "measured"
    source: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.spec, OpSpec):
            raise UsageError(f"row: spec is {one_line(repr(self.spec), 80)}; it must be an OpSpec")
        if self.status not in STATUSES:
            self._refuse("status", f"one of {', '.join(STATUSES)}")
        if not isinstance(self.reason, str) or (self.status == "failed" and not self.reason.strip()):
            self._refuse("reason", "text, and not empty where the row failed")
        object.__setattr__(self, "reason", one_line(self.reason))
        if self.origin not in ORIGINS:
            self._refuse("origin", f"one of {', '.join(ORIGINS)}")
        if not isinstance(self.source, str) or self.source != one_line(self.source, MAX_SOURCE):
            self._refuse("source", f"a line of at most {MAX_SOURCE} characters")
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < 2**63:
                self._refuse(name, "a whole number of at least 0")
            object.__setattr__(self, name, int(value))
        if self.status == "failed":
            for name in (*NUMBERS, *ESTIMATES):
                if getattr(self, name) is not None:
                    self._refuse(name, "nothing (None), as the row failed")
            return
        for name in (*NUMBERS, *ESTIMATES):
            value = getattr(self, name)
            estimate = name in ESTIMATES
            if value is None and (estimate or (self.origin == "imported" and name != "latency_ms")):
                continue
            number = as_float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
            if not (0 < number < math.inf or (estimate and number == 0)):
                self._refuse(name, "finite and at least 0" if estimate else "finite and positive")
            object.__setattr__(self, name, number)  # numpy's numbers become floats: equal rows give the same text
        for lower, middle, upper in _TRIPLES:
            low, mid, high = getattr(self, lower), getattr(self, middle), getattr(self, upper)
            if None not in (low, mid, high) and not low <= mid <= high:
                self._refuse(middle, f"between {lower} ({low!r}) and {upper} ({high!r})")

    def _refuse(self, name: str, wanted: str) -> None:
        raise UsageError(
            f"row of {self.spec}: {name} is {one_line(repr(getattr(self, name)), 80)}; it must be {wanted}"
        )

    @classmethod
    def failed(cls, spec: OpSpec, reason: str, *, rounds: int = 0, discarded: int = 0, passes: int = 0) -> Row:
        """The row of an operator that could not be measured; the reason becomes one line."""
        numbers: dict[str, Any] = dict.fromkeys(NUMBERS)
        counts: dict[str, Any] = {"rounds": rounds, "discarded": discarded, "passes": passes}
        return cls(spec=spec, **numbers, **counts, status="failed", reason=one_line(reason) or "no reason given")

    @property
    def relative_half_width(self) -> float:
        """Half the width of the ratio's interval, relative to the ratio; infinite for a failed row."""
        if self.ratio is None or self.ratio_lower is None or self.ratio_upper is None:
            return math.inf
        return (self.ratio_upper - self.ratio_lower) / 2 / self.ratio

    def to_record(self) -> dict[str, object]:
        """Every field by name, with the fields of the spec: a line of a table. `Row.from_record` reads it back."""
        measured = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "spec"}
        return {**self.spec.to_record(), **measured}

    @classmethod
    def from_record(cls, record: dict[str, Any], what: str = "row") -> Row:
        """The row of a record; raises `FileFormatError` for unknown, missing or impossible fields."""
        unknown, missing = sorted(set(record) - set(ROW_FIELDS)), [name for name in ROW_FIELDS if name not in record]
        if unknown or missing:
            names = one_line(", ".join(map(str, unknown)), 200) or "none"
            raise FileFormatError(f"{what}: unknown fields: {names}; missing fields: {', '.join(missing) or 'none'}")
        try:
            spec = OpSpec.from_record({name: record[name] for name in SPEC_FIELDS})
            return cls(spec=spec, **{name: record[name] for name in ROW_FIELDS if name not in SPEC_FIELDS})
        except UsageError as error:
            raise FileFormatError(f"{what}: {one_line(str(error))}") from None


ROW_FIELDS: tuple[str, ...] = (*SPEC_FIELDS, *(item.name for item in fields(Row) if item.name != "spec"))


def rows_checksum(rows: Iterable[Row]) -> str:
    """SHA-256, in hexadecimal, of the rows sorted by operator; the same for equal rows in any order and any file."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.spec):
        record = row.to_record()
        digest.update(canonical_json({name: record[name] for name in ROW_FIELDS}).encode() + b"\n")
    return digest.hexdigest()
