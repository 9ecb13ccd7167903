"""Tables and predictors of earlier schema versions, as those of this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from latlas.latency.machine.environment import UNKNOWN
from latlas.latency.table.manifest import SCHEMA_VERSION

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


def migrate_predictor(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a predictor of this version.

    Versions 1 and 2 were a ridge regression without its samples, with residuals that were the margins themselves. Raises
    `ValueError` for one with a LightGBM part, which nothing here predicts with any more.
    """
    if record["schema_version"] > 2:
        return dict(record)
    if record["lightgbm_sha256"] is not None:
        raise ValueError(f"it has a LightGBM part, as only version {record['schema_version']} had")
    environment = record["environment"]
    names, coef = [_renamed(name) for name in record["names"]], [*record["coef"], record["intercept"]]
    model = {
        "features": len(coef),
        "groups": {},
        "mean": None,
        "spreads": {"misfit": 1.0},
        "rows": [],
        "coef": coef,
        "y": [],
        "errors": [],
    }
    return {
        "kind": "graph",
        "predictor": {
            **{name: record[name] for name in ("costs", "cv_mape", "range_ms")},
            "campaign_sd": 0.0,
            "names": names,
            "model": model,
            "scores": record["residuals"],
        },
        "environment": migrate_environment(environment) if record["schema_version"] == 1 else environment,
        "space": record["space"],
        "figures": record["figures"],
        "samples": [],
        "adapted_from": [],
        "lightgbm_sha256": None,
    }


_RENAMED = {"kind": "place", "pair": "meeting"}


def _renamed(name: str) -> str:
    """What a feature of version 1 or 2 is called since."""
    group, _, rest = name.partition(" ")
    return f"{_RENAMED.get(group, group)} {rest}"
