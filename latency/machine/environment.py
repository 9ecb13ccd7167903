"""What a latency depends on: the CPU, how the network was run on it, and the machine's state during the run.

Latencies from different environments cannot be compared. The `KEY_FIELDS` must agree before two tables, or a table and a
predictor, are used together. The other fields are recorded so that a reader can judge. The host's name is not kept.
"""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil

from latlas.distribution import latlas_version
from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.files.records import check_timestamp, from_record, one_line, utc_now
from latlas.latency.machine import system
from latlas.latency.machine.load import StealMeter
from latlas.latency.machine.state import MachineState, machine_state

__all__ = [
    "KEY_FIELDS",
    "PLACE_FIELDS",
    "UNKNOWN",
    "Environment",
    "MachineState",
    "StealMeter",
    "cpu_model",
    "detect",
    "device_slug",
    "differing_fields",
    "latlas_version",
    "machine_state",
    "require_same",
    "told_environment",
]

KEY_FIELDS = (
    "cpu_model",
    "cpu_flags",
    "threads",
    "streams",
    "precision",
    "batch",
    "openvino_version",
    "reference_id",
)
"""Two sets of latencies have the same environment if these fields agree."""
PLACE_FIELDS = ("core_kind", "affinity")
"""Which part of the machine was used, read from its state. It must agree too, unless a table does not say it."""
UNKNOWN = "unknown"
"""The value of a text field that is not known."""

# Kernels are chosen by these instruction sets, on x86-64 and on ARM.
_KERNEL_FLAG = re.compile(r"sse4_2|avx.*|fma|f16c|amx.*|asimd.*|sve.*|bf16|i8mm|fphp")


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of a set of latencies; its `KEY_FIELDS` are its identity.

    `cpu_flags` are sorted and separated by spaces. `precision`, `threads` and `streams` were read back from the compiled
    model. `reference_ms` is the latency of the reference network in that session. `openvino_build` is the full version with
    the build's number and commit. An imported table leaves much unknown: then a number is None and a text is `unknown`.
    An unknown field equals nothing, not even another unknown one.
    """

    @property
    def dead_branches(self) -> str:
        """What the runtime does with nodes whose result changes nothing; OpenVINO, the only one here, drops them."""
        return "dropped"

    cpu_model: str
    cpu_flags: str
    logical_cpus: int | None
    physical_cores: int | None
    threads: int | None
    streams: int | None
    precision: str
    batch: int | None
    openvino_version: str
    reference_id: str
    reference_ms: float | None
    kernel: str
    python_version: str
    latlas_version: str
    started_at: str
    state: MachineState
    openvino_build: str = UNKNOWN

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (not value or value != one_line(value, 4000)):
                if field.name == "cpu_flags" and not value:
                    continue
                shown = one_line(repr(value), 80)
                raise UsageError(f"environment: {field.name} is {shown}; it must be a line of text, not empty")
        for name in ("logical_cpus", "threads", "streams", "batch"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or not 1 <= value < 2**31):
                raise UsageError(
                    f"environment: {name} is {one_line(repr(value), 80)}; it must be a whole number of at least 1"
                )
        if self.reference_ms is not None and not (math.isfinite(self.reference_ms) and self.reference_ms > 0):
            raise UsageError(f"environment: reference_ms is {self.reference_ms!r}; it must be finite and positive")
        check_timestamp("environment: started_at", self.started_at)

    @property
    def device(self) -> str:
        """The CPU as a folder name: `intel-core-i7-8700`."""
        return device_slug(self.cpu_model)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the fields that are not known; empty if this version measured."""
        names = [field.name for field in fields(self) if field.name not in ("state", "physical_cores")]
        return tuple(name for name in names if getattr(self, name) in (None, UNKNOWN))

    @property
    def session_reference_ms(self) -> float:
        """`reference_ms`; raises `EnvironmentMismatchError` for an imported environment, which does not have it."""
        if self.reference_ms is None:
            raise EnvironmentMismatchError(
                "the environment is imported: what its reference took is not known; measure a table of your own"
            )
        return self.reference_ms

    @property
    def core_kind(self) -> str:
        """The kind of the cores that could be used: `alike`, `performance`, `efficiency`, `performance and efficiency`."""
        state = self.state
        if state.performance_cpus is None or state.efficiency_cpus is None or state.allowed_cpus is None:
            return UNKNOWN
        if not state.efficiency_cpus:
            return "alike"
        allowed = system.cpu_list(state.allowed_cpus)
        fast = allowed & system.cpu_list(state.performance_cpus)
        slow = allowed & system.cpu_list(state.efficiency_cpus)
        kinds = [*(["performance"] if fast else []), *(["efficiency"] if slow else [])]
        return " and ".join(kinds) or UNKNOWN

    @property
    def affinity(self) -> str:
        """How much of the machine could be used: `all`, or for example `2 of 12 CPUs on 1 core`."""
        usable, cores = self.state.affinity_cpus, self.state.allowed_cores
        if usable is None or self.logical_cpus is None:
            return UNKNOWN
        if usable >= self.logical_cpus:
            return "all"
        on = "" if cores is None else f" on {cores} core{'s' if cores > 1 else ''}"
        return f"{usable} of {self.logical_cpus} CPUs{on}"

    def place(self) -> dict[str, str]:
        """Which part of the machine was used: `PLACE_FIELDS` by name."""
        return {name: getattr(self, name) for name in PLACE_FIELDS}

    def key(self) -> dict[str, str | int | None]:
        """The fields that must agree, by name."""
        return {name: getattr(self, name) for name in KEY_FIELDS}

    def to_record(self) -> dict[str, object]:
        """Every field by name, with the state as a nested record; `Environment.from_record` reads it back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object, what: str = "environment") -> Environment:
        """The environment of a record; raises `FileFormatError` for unknown, missing, mistyped or impossible fields."""
        return from_record(cls, record, what)


def differing_fields(a: Environment, b: Environment) -> dict[str, tuple[object, object]]:
    """The key fields that differ or that one environment does not know, with both values; then the fields of the place.

    A field of the place that one of them does not know is no difference.
    """
    pairs = {name: (value, b.key()[name]) for name, value in a.key().items()}
    differing: dict[str, tuple[object, object]] = {
        name: (x, y) for name, (x, y) in pairs.items() if x != y or x is None or x == UNKNOWN
    }
    places = {name: (value, b.place()[name]) for name, value in a.place().items()}
    return differing | {name: pair for name, pair in places.items() if UNKNOWN not in pair and pair[0] != pair[1]}


def require_same(a: Environment, b: Environment, what: str, but: Sequence[str] = ()) -> None:
    """Raises `EnvironmentMismatchError` with each key field that differs and both values.

    Args:
        a: one environment.
        b: the other.
        what: what cannot be done with both, for the message: "merge a.parquet with b.parquet".
        but: key fields that may differ.
    """
    differing = {name: values for name, values in differing_fields(a, b).items() if name not in but}
    if differing:
        listed = "; ".join(f"{name} is {one!r} and {other!r}" for name, (one, other) in differing.items())
        raise EnvironmentMismatchError(
            f"cannot {what}: {listed}; latencies of different environments do not mix, measure again in one of them"
        )


def told_environment(*, cpu_model: str, threads: int | None, precision: str, batch: int | None) -> Environment:
    """The environment of latencies that somebody else measured; only the arguments are known of it."""
    return Environment(
        cpu_model=one_line(cpu_model, 200) or UNKNOWN,
        cpu_flags=UNKNOWN,
        logical_cpus=None,
        physical_cores=None,
        threads=threads,
        streams=None,
        precision=one_line(precision, 40) or UNKNOWN,
        batch=batch,
        openvino_version=UNKNOWN,
        reference_id=UNKNOWN,
        reference_ms=None,
        kernel=UNKNOWN,
        python_version=UNKNOWN,
        latlas_version=UNKNOWN,
        started_at=utc_now(),  # when it was read; nobody says when it was measured
        state=MachineState(),
    )


def device_slug(cpu_model: str) -> str:
    """A CPU's name as a folder name: `Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz` is `intel-core-i7-8700`."""
    name = re.sub(r"\((r|tm|c)\)|[®™]", " ", cpu_model.lower())
    name = re.sub(r"@.*|\bwith radeon.*|\b\d+th gen\b|\b\d+-core\b|\b(cpu|processor)\b", " ", name)
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "unknown-cpu"


def detect(
    *,
    threads: int,
    streams: int,
    precision: str,
    batch: int,
    openvino_version: str,
    reference_id: str,
    reference_ms: float | None,
    openvino_build: str = UNKNOWN,
) -> Environment:
    """The environment of latencies measured here and now; only the runtime knows the arguments.

    Raises `UsageError` if an argument is impossible.
    """
    info = system.cpuinfo(Path("/"))
    return Environment(
        cpu_model=cpu_model(),
        cpu_flags=" ".join(flag for flag in system.cpu_flags(info) if _KERNEL_FLAG.fullmatch(flag)),
        logical_cpus=psutil.cpu_count() or 1,
        physical_cores=psutil.cpu_count(logical=False),
        threads=threads,
        streams=streams,
        precision=precision,
        batch=batch,
        openvino_version=openvino_version,
        reference_id=reference_id,
        reference_ms=None if reference_ms is None else float(reference_ms),
        kernel=one_line(f"{platform.system()} {platform.release()}"),
        python_version=platform.python_version(),
        latlas_version=latlas_version(),
        started_at=utc_now(),
        state=machine_state(),
        openvino_build=one_line(openvino_build) or UNKNOWN,
    )


def cpu_model() -> str:
    """The name that the CPU gives itself, or `unnamed CPU` if it gives none."""
    info = system.cpuinfo(Path("/"))
    return one_line(info.get("model name") or platform.processor() or platform.machine()) or "unnamed CPU"
