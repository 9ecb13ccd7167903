"""The manifest of a latency table, which says where its rows come from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

from latlas.distribution import latlas_version
from latlas.errors import FileFormatError, UsageError
from latlas.files.records import check_timestamp, from_record, one_line, utc_now
from latlas.latency.machine.environment import KEY_FIELDS, Environment, MachineState
from latlas.latency.table.row import ORIGINS

# Version 2 was the first that was published. It has one row for each operator, with every OpSpec field; isolated,
# boundary-corrected and in-network latency, its ratio to the reference, intervals, percentiles, status, origin and source; the
# environment's key fields as columns; the manifest as JSON under "latlas", with null for unknown fields of the environment.
SCHEMA_VERSION = 2
MAX_TEXT = 64_000
SPACES = " + "
"""The separator between the spaces of a merged table in `space`."""


@dataclass(frozen=True, slots=True)
class InNetwork:
    """Where a table's in-network latencies were estimated from.

    `subnets` were measured end to end against `reference_id`, which took `reference_ms` in that session. `fixed_ms` is the time
    of a network besides its operators. `error` is the mean absolute relative error of the plain sum on subnets, each left out
    of the estimate in turn.
    """

    subnets: int
    reference_id: str
    reference_ms: float
    fixed_ms: float
    error: float
    seed: int

    def __post_init__(self) -> None:
        if self.subnets < 1:
            raise UsageError(f"manifest: in_network.subnets is {self.subnets}; it must be at least 1")
        object.__setattr__(self, "reference_id", one_line(self.reference_id, 200))
        for name in ("reference_ms", "fixed_ms", "error"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"manifest: in_network.{name} is {value!r}; it must be finite and at least 0")


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a table's rows come from.

    `reference` describes the reference network. `space` is the search space as it is given on the command line, and `command`
    the command line. `noise_floor` is the relative error between two measurements of one network in that session. `end_state`
    is the machine's state after the last row; `environment.state` is its state before the first. The table sets `rows_sha256`.
    `origin` holds for all rows. `source` names the file, project and licence of an imported table, and the parts of a merged one
    (`merge.parts`). A table merged from several spaces has all of them in `space`, with ` + ` between them; `spaces` separates
    them. `in_network` says where the in-network latencies were estimated from.
    """

    environment: Environment
    reference: str
    space: str
    command: str
    seed: int | None
    noise_floor: float | None = None
    end_state: MachineState | None = None
    origin: str = "measured"
    source: str = ""
    in_network: InNetwork | None = None
    created_at: str = field(default_factory=utc_now)
    tool_version: str = field(default_factory=latlas_version)
    rows_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("reference", "space", "command", "tool_version", "source"):
            object.__setattr__(self, name, one_line(getattr(self, name), MAX_TEXT))
        if not self.space:
            raise UsageError("manifest: space is empty; it must name the search space")
        if self.origin not in ORIGINS:
            raise UsageError(f"manifest: origin is {one_line(repr(self.origin), 80)}; known: {', '.join(ORIGINS)}")
        if self.noise_floor is not None and not (math.isfinite(self.noise_floor) and self.noise_floor >= 0):
            raise UsageError(f"manifest: noise_floor is {self.noise_floor!r}; it must be finite and at least 0")
        unknown = [name for name in self.environment.unknown if name in (*KEY_FIELDS, "reference_ms", "logical_cpus")]
        if self.origin == "measured" and unknown:
            raise UsageError(f"manifest: it says measured, and nothing of {', '.join(unknown)}; only imported may")
        check_timestamp("manifest: created_at", self.created_at)

    @property
    def spaces(self) -> tuple[str, ...]:
        """The search spaces of the rows: one, or several in a merged table."""
        return tuple(self.space.split(SPACES))

    def only_space(self, what: str) -> str:
        """The only space; raises `UsageError` if there are several, with `what` and the spaces in the message."""
        if len(self.spaces) > 1:
            raise UsageError(f"{what} is merged of {len(self.spaces)} spaces; name one with --space: {self.space}")
        return self.space

    def to_record(self) -> dict[str, object]:
        """Every field by name, environment and state nested; `Manifest.from_record` reads it back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object, what: str = "manifest") -> Manifest:
        """The manifest of a record; raises `FileFormatError` for another schema, unknown or impossible fields."""
        version = record.get("schema_version") if isinstance(record, dict) else None
        if version != SCHEMA_VERSION or type(version) is not int:
            raise FileFormatError(
                f"{what}: schema_version is {one_line(repr(version), 80)}; this Latlas reads {SCHEMA_VERSION}"
            )
        return from_record(cls, record, what)
