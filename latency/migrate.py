"""Tables and predictors of earlier schema versions, as those of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from latlas.latency.environment import UNKNOWN
from latlas.latency.manifest import SCHEMA_VERSION

_V1_COLUMNS = (
    *("kind", "in_channels", "out_channels", "height", "width", "stride", "kernel_size", "hidden_channels"),
    *("squeeze_channels", "dilation", "scale", "activation"),
    *("latency_ms", "lower_ms", "upper_ms", "ratio", "ratio_lower", "ratio_upper", "rounds", "discarded", "passes"),
    *("p10_ms", "p50_ms", "p90_ms", "status", "reason"),
)
_V1_ADDED: dict[str, Any] = {
    "label": "",
    "boundary_ms": None,
    "in_network_ms": None,
    "in_network_se_ms": None,
    "origin": "measured",
    "source": "",
}

ROW_COLUMNS: dict[int, tuple[str, ...]] = {1: _V1_COLUMNS}
"""The columns of a row that earlier versions had, which are also what their checksum is over."""


def migrate_row(record: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The record of a row of this version; a row of this version is itself."""
    return {**record, **_V1_ADDED} if version == 1 else dict(record)


# What an environment and a machine's state say since tables and predictors of version 2.
_ENVIRONMENT_ADDED: dict[str, Any] = {"openvino_build": UNKNOWN}
_STATE_ADDED: dict[str, Any] = dict.fromkeys(
    (
        *("cpufreq_driver", "energy_preference", "frequency_mhz", "max_mhz", "thermal_throttles"),
        *("cgroup_throttles", "cgroup_throttled_s", "allowed_cpus", "allowed_cores", "siblings"),
        *("performance_cpus", "efficiency_cpus", "numa_nodes", "transparent_huge_pages"),
        *("memory_bytes", "available_bytes", "swap_used_bytes", "virtualization", "container", "microcode"),
    )
)


def migrate_environment(record: object) -> object:
    """The record of an environment of version 1, completed; what is no such record stays for its reader to refuse."""
    if not isinstance(record, Mapping):
        return record
    return {**record, **_ENVIRONMENT_ADDED, "state": _state_1(record.get("state"))}


def _state_1(record: object) -> object:
    return {**record, **_STATE_ADDED} if isinstance(record, Mapping) else record


def _manifest_1(record: Mapping[str, Any]) -> dict[str, Any]:
    environments = {"environment": migrate_environment(record.get("environment"))}
    if "end_state" in record:
        environments["end_state"] = _state_1(record["end_state"])
    return {**record, **environments, "source": "", "in_network": None, "schema_version": 2}


_MANIFESTS: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: _manifest_1}
VERSIONS = (*_MANIFESTS, SCHEMA_VERSION)
"""The versions that are read."""


def migrate_manifest(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a manifest of this version."""
    while record.get("schema_version") in _MANIFESTS:
        record = _MANIFESTS[record["schema_version"]](record)
    return dict(record)
