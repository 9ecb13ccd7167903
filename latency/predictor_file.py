"""A saved predictor: a folder of `predictor.json` and, where there is one, `lightgbm.txt`. No pickle: it runs no code.

The folder holds all that predicting needs, the operators' isolated latencies included, and is tied to the environment
and the space it was learnt in.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latlas.latency.environment import Environment
from latlas.latency.errors import EnvironmentMismatchError, FileFormatError, MissingEntryError, UsageError
from latlas.latency.migrate import migrate_environment
from latlas.latency.ops import OpSpec
from latlas.latency.predictor import LatencyPredictor
from latlas.latency.record import canonical_json, parse_json

# Version 1 (0.1.0): ridge coefficients by feature name, optional LightGBM text, residuals, operator costs, figures.
# Version 2 (0.2.0): the environment says more of the machine's state, and OpenVINO's build. Version 1 is read.
SCHEMA_VERSION = 2
VERSIONS = (1, SCHEMA_VERSION)
MAX_BYTES = 64 * 2**20
MANIFEST, BOOSTER = "predictor.json", "lightgbm.txt"


@dataclass(frozen=True, slots=True)
class SavedPredictor:
    """A predictor with what it is tied to; `figures` is what `fit-predictor --json` printed."""

    predictor: LatencyPredictor
    environment: Environment
    space: str
    figures: dict[str, Any]

    def require(self, space: str, **options: str | int) -> None:
        """Raises `EnvironmentMismatchError` where the space or an option such as `threads=1` differs."""
        mine = {"space": self.space} | {name: getattr(self.environment, name) for name in options}
        differing = [
            f"{name} is {mine[name]!r}, asked for {value!r}"
            for name, value in ({"space": space} | options).items()
            if mine[name] != value
        ]
        if differing:
            raise EnvironmentMismatchError(
                f"the predictor is of another environment: {'; '.join(differing)}; make one with `latlas fit-predictor`"
            )


class CostList:
    """Isolated milliseconds of operators as a lookup; a miss is an error that names the operator."""

    def __init__(self, costs: Mapping[OpSpec, float]) -> None:
        self.costs = dict(costs)

    def __call__(self, spec: OpSpec) -> float:
        try:
            return self.costs[spec]
        except KeyError:
            raise MissingEntryError(
                f"the predictor has no latency of {spec}; measure it with `latlas profile-ops --update` and fit again"
            ) from None


def save_predictor(folder: Path, saved: SavedPredictor, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; raises `UsageError` where it exists or cannot be written."""
    if os.path.lexists(folder) and not overwrite:
        raise UsageError(f"{folder} exists already; choose another path, or say --force to replace it")
    check_replaceable(folder)
    predictor = saved.predictor
    booster = predictor.booster_.model_to_string() if predictor.booster_ is not None else None
    costs = predictor.cost_of
    if costs is not None and not isinstance(costs, CostList):
        raise UsageError("a predictor is saved with its operators' latencies; make it with cost_of=CostList(...)")
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "environment": saved.environment.to_dict(),
        "space": saved.space,
        "names": predictor.names_,
        "coef": [float(value) for value in predictor.coef_],
        "intercept": float(predictor.intercept_),
        "residuals": [float(value) for value in predictor.residuals_],
        "cv_mape": predictor.cv_mape_,
        "range_ms": list(predictor.range_ms_),
        "costs": None if costs is None else [[spec.to_dict(), ms] for spec, ms in sorted(costs.costs.items())],
        "figures": saved.figures,
        "lightgbm_sha256": hashlib.sha256(booster.encode()).hexdigest() if booster is not None else None,
    }
    record["sha256"] = _checksum(record)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another path") from None
    try:
        if booster is not None:
            (temporary / BOOSTER).write_text(booster, encoding="utf-8")
        (temporary / MANIFEST).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
        temporary.chmod(0o755)
        _replace(temporary, folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another path") from None


def check_replaceable(folder: Path) -> None:
    """Raises `UsageError` where the folder holds anything but a predictor, which replacing it would delete."""
    if folder.is_dir():
        strange = sorted(path.name for path in folder.iterdir() if path.name not in (MANIFEST, BOOSTER))
        if strange or not (folder / MANIFEST).is_file():
            held = f"holds {', '.join(strange[:3])}" if strange else "is no predictor"
            raise UsageError(f"{folder} exists and {held}; choose another path")
    elif os.path.lexists(folder):
        raise UsageError(f"{folder} exists and is no folder; choose another path")


def _replace(temporary: Path, folder: Path) -> None:
    """Rename the new folder into place; the old one goes only when the new one is there."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = temporary.with_name(temporary.name + ".old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def load_predictor(folder: Path) -> SavedPredictor:
    """The predictor of a folder; raises `UsageError` where there is none, `FileFormatError` where it is broken."""
    path = folder / MANIFEST
    what = str(path)
    if not path.is_file():
        raise UsageError(f"{folder} has no {MANIFEST}; make a predictor with `latlas fit-predictor --out {folder}`")
    if path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{what}: larger than {MAX_BYTES} bytes; not a predictor")
    record = parse_json(path.read_bytes(), what)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if type(version) is not int or version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise FileFormatError(f"{what}: schema version {version!r:.40}; this Latlas reads {known}")
    if record.get("sha256") != _checksum(record):
        raise FileFormatError(f"{what}: its checksum does not match; it was damaged or edited, fit it again")
    described = record.get("environment")
    described = migrate_environment(described) if version == 1 else described
    environment = Environment.from_dict(described, f"{what}, environment")
    if environment.reference_ms is None or environment.threads is None:
        raise FileFormatError(f"{what}: its environment says nothing of threads or the reference; fit it again")
    try:
        predictor = _rebuild(record)
        space, figures = str(record["space"]), dict(record["figures"])
        sha256 = record["lightgbm_sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"{what}: {error!s:.200}; it was damaged or edited, fit it again") from None
    predictor.booster_ = _load_booster(folder / BOOSTER, sha256, len(predictor.names_))
    return SavedPredictor(predictor, environment, space, figures)


def _rebuild(record: dict[str, Any]) -> LatencyPredictor:
    costs = record["costs"]
    lookup = None if costs is None else CostList({OpSpec.from_dict(spec): float(ms) for spec, ms in costs})
    predictor = LatencyPredictor(cost_of=lookup)
    predictor.names_ = [str(name) for name in record["names"]]
    predictor.coef_ = np.array(record["coef"], dtype=float)
    predictor.intercept_ = float(record["intercept"])
    predictor.residuals_ = np.array(record["residuals"], dtype=float)
    predictor.cv_mape_ = float(record["cv_mape"])
    low, high = (float(value) for value in record["range_ms"])
    predictor.range_ms_ = (low, high)
    numbers = [*predictor.coef_, predictor.intercept_, *predictor.residuals_, low, high]
    numbers += [] if lookup is None else lookup.costs.values()
    if len(predictor.coef_) != len(predictor.names_) or not len(predictor.residuals_):
        raise ValueError("its coefficients do not match its feature names")
    if not all(map(math.isfinite, numbers)) or low <= 0:
        raise ValueError("one of its numbers is not finite")
    return predictor


def _load_booster(path: Path, sha256: str | None, features: int) -> Any:
    if sha256 is None:
        return None
    import lightgbm

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{path}: missing or too large; the predictor is not whole, fit it again")
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != sha256:
        raise FileFormatError(f"{path}: its checksum does not match; it was damaged or edited, fit it again")
    try:
        booster = lightgbm.Booster(model_str=text.decode())
    except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: LightGBM cannot read it: {error!s:.200}") from None
    if booster.num_feature() != features:
        raise FileFormatError(f"{path}: it has {booster.num_feature()} features, the predictor {features}")
    return booster


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json({k: v for k, v in record.items() if k != "sha256"}).encode()).hexdigest()
