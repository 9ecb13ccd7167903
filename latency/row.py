"""A row of a latency table, and the manifest that says where all its rows come from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from latlas.latency.environment import Environment, MachineState, latlas_version
from latlas.latency.errors import FileFormatError, UsageError
from latlas.latency.ops import SPEC_FIELDS, OpSpec
from latlas.latency.record import as_float, canonical_json, check_timestamp, from_record, one_line, utc_now

# Version 1 (0.1.0): one row an operator, every OpSpec field; isolated latency, its ratio to the reference, both with
# intervals; percentiles; status; the environment's key fields as columns; the manifest as JSON under "latlas".
SCHEMA_VERSION = 1

STATUSES = ("ok", "noisy", "failed")
ORIGINS = ("measured",)

# Each is (lower, middle, upper), finite, positive and in order, unless the row failed.
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


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one operator: immutable, checked when it is made.

    `latency_ms` is the median `ratio` to the reference network times the reference's own latency in that session, each
    with its interval; `p10_ms` to `p90_ms` are percentiles of the operator's raw times. `rounds` were accepted,
    `discarded` ones were hit by a burst, over `passes` through the list of operators. `status` is `ok`, `noisy` (the
    interval is wider than was asked for) or `failed`: then the numbers are None and `reason` says why.

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

    def __post_init__(self) -> None:
        if not isinstance(self.spec, OpSpec):
            raise UsageError(f"row: spec is {one_line(repr(self.spec), 80)}; it must be an OpSpec")
        if self.status not in STATUSES:
            self._refuse("status", f"one of {', '.join(STATUSES)}")
        if not isinstance(self.reason, str) or (self.status == "failed" and not self.reason.strip()):
            self._refuse("reason", "text, and not empty where the row failed")
        object.__setattr__(self, "reason", one_line(self.reason))
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) < 2**63:
                self._refuse(name, "a whole number of at least 0")
            object.__setattr__(self, name, int(value))
        if self.status == "failed":
            for name in NUMBERS:
                if getattr(self, name) is not None:
                    self._refuse(name, "nothing (None), as the row failed")
            return
        for name in NUMBERS:
            value = getattr(self, name)
            number = as_float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
            if not 0 < number < math.inf:
                self._refuse(name, "finite and positive")
            object.__setattr__(self, name, number)  # numpy's are floats now, so that equal rows are the same text
        for lower, middle, upper in _TRIPLES:
            low, mid, high = getattr(self, lower), getattr(self, middle), getattr(self, upper)
            if not low <= mid <= high:
                self._refuse(middle, f"between {lower} ({low!r}) and {upper} ({high!r})")

    def _refuse(self, name: str, wanted: str) -> None:
        raise UsageError(
            f"row of {self.spec}: {name} is {one_line(repr(getattr(self, name)), 80)}; it must be {wanted}"
        )

    @classmethod
    def failed(cls, spec: OpSpec, reason: str, *, rounds: int = 0, discarded: int = 0, passes: int = 0) -> Row:
        """The row of an operator that could not be measured; the reason becomes one line."""
        numbers: dict[str, Any] = dict.fromkeys(NUMBERS)
        counts = {"rounds": rounds, "discarded": discarded, "passes": passes}
        return cls(spec=spec, **numbers, **counts, status="failed", reason=one_line(reason) or "no reason given")

    @property
    def relative_error(self) -> float:
        """Half the width of the ratio's interval over the ratio; infinite for a failed row."""
        if self.ratio is None or self.ratio_lower is None or self.ratio_upper is None:
            return math.inf
        return (self.ratio_upper - self.ratio_lower) / 2 / self.ratio

    def to_dict(self) -> dict[str, object]:
        """Every field by name, those of the spec among them: a line of a table; `Row.from_dict` reads it back."""
        measured = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "spec"}
        return {**self.spec.to_dict(), **measured}

    @classmethod
    def from_dict(cls, record: dict[str, Any], what: str = "row") -> Row:
        """The row of a record; raises `FileFormatError` for unknown, missing or impossible fields."""
        unknown, missing = sorted(set(record) - set(ROW_FIELDS)), [name for name in ROW_FIELDS if name not in record]
        if unknown or missing:
            names = one_line(", ".join(map(str, unknown)), 200) or "none"
            raise FileFormatError(f"{what}: unknown fields: {names}; missing fields: {', '.join(missing) or 'none'}")
        try:
            spec = OpSpec.from_dict({name: record[name] for name in SPEC_FIELDS})
            return cls(spec=spec, **{name: record[name] for name in ROW_FIELDS if name not in SPEC_FIELDS})
        except UsageError as error:
            raise FileFormatError(f"{what}: {one_line(str(error))}") from None


ROW_FIELDS: tuple[str, ...] = (*SPEC_FIELDS, *(item.name for item in fields(Row) if item.name != "spec"))


def rows_checksum(rows: Iterable[Row]) -> str:
    """SHA-256, in hexadecimal, of the rows sorted by operator; the same for equal rows in any order and any file."""
    digest = hashlib.sha256()
    for row in sorted(rows, key=lambda row: row.spec):
        digest.update(canonical_json(row.to_dict()).encode() + b"\n")
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a table's rows come from.

    `reference` describes the reference network, `space` is the search space as it is given on the command line,
    `command` the command line, `noise_floor` the relative error between two measurements of one network in that
    session, `end_state` the machine's state after the last row (`environment.state` is that before the first).
    `rows_sha256` is set by the table.
    """

    environment: Environment
    reference: str
    space: str
    command: str
    seed: int | None
    noise_floor: float | None = None
    end_state: MachineState | None = None
    origin: str = "measured"
    created_at: str = field(default_factory=utc_now)
    tool_version: str = field(default_factory=latlas_version)
    rows_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("reference", "space", "command", "tool_version"):
            object.__setattr__(self, name, one_line(getattr(self, name), 4000))
        if not self.space:
            raise UsageError("manifest: space is empty; it must name the search space")
        if self.origin not in ORIGINS:
            raise UsageError(f"manifest: origin is {one_line(repr(self.origin), 80)}; known: {', '.join(ORIGINS)}")
        if self.noise_floor is not None and not (math.isfinite(self.noise_floor) and self.noise_floor >= 0):
            raise UsageError(f"manifest: noise_floor is {self.noise_floor!r}; it must be finite and at least 0")
        check_timestamp("manifest: created_at", self.created_at)

    def to_dict(self) -> dict[str, object]:
        """Every field by name, environment and state nested; `Manifest.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: object, what: str = "manifest") -> Manifest:
        """The manifest of a record; raises `FileFormatError` for another schema, unknown or impossible fields."""
        version = record.get("schema_version") if isinstance(record, dict) else None
        if version != SCHEMA_VERSION or type(version) is not int:
            raise FileFormatError(
                f"{what}: schema_version is {one_line(repr(version), 80)}; this Latlas reads {SCHEMA_VERSION}"
            )
        return from_record(cls, record, what)
