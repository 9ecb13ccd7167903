"""A saved predictor: a folder with one file, `predictor.json`. It is no pickle, so reading it runs no code.

The folder holds all that predicting and further learning need: the samples, the operators' isolated latencies and the learnt
spreads. A predictor belongs to the environment and the space that it was learnt in.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from latlas.errors import EnvironmentMismatchError, FileFormatError, LatlasError, UnknownOperatorError, UsageError
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.files.write import require_free, whole_folder
from latlas.latency.machine.environment import Environment
from latlas.latency.predictor.adapted import AdaptedPredictor
from latlas.latency.predictor.folder import MANIFEST, MAX_BYTES, require_predictor
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.saved import PredictorSample, SavedPredictor

__all__ = ["PredictorSample", "SavedPredictor", "load_predictor", "save_predictor"]

# Version 3 was the first that was published. It keeps the regression's samples, to learn on from, and the test samples.
SCHEMA_VERSION = 3

KINDS: dict[str, Callable[[Mapping[str, Any]], LatencyPredictor]] = {
    LatencyPredictor.kind: LatencyPredictor.from_record,
    AdaptedPredictor.kind: AdaptedPredictor.from_record,
}
"""By kind of predictor, the function that reads its record."""


def save_predictor(folder: Path, saved: SavedPredictor, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; raises as `write_folder` does."""
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": saved.predictor.kind,
        "predictor": saved.predictor.to_record(),
        "environment": saved.environment.to_record(),
        "space": saved.space_text,
        "figures": saved.figures,
        "samples": [sample.to_record() for sample in saved.samples],
        "adapted_from": list(saved.adapted_from),
    }
    write_folder(folder, record, overwrite)


def write_folder(folder: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Write a record, with its checksum, as a predictor's folder, whole or not at all.

    Raises as `files.write.whole_folder` and `check_replaceable` do.
    """
    require_free(folder, overwrite)
    check_replaceable(folder)
    record = record | {"sha256": checksum(record)}
    with whole_folder(folder, overwrite) as draft:
        (draft / MANIFEST).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def check_replaceable(folder: Path) -> None:
    """Raises `UsageError` if the folder holds anything but a predictor: replacing it would delete that."""
    if folder.is_dir():
        strange = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
        if strange or not (folder / MANIFEST).is_file():
            held = f"holds {', '.join(strange[:3])}" if strange else "is no predictor"
            raise UsageError(f"{folder} exists and {held}; choose another path")
    elif os.path.lexists(folder):
        raise UsageError(f"{folder} exists and is no folder; choose another path")


def load_predictor(folder: Path) -> SavedPredictor:
    """The predictor of a folder; raises `UsageError` if there is none, `FileFormatError` if it is broken."""
    require_predictor(folder)
    path = folder / MANIFEST
    what = str(path)
    if path.stat().st_size > MAX_BYTES:
        raise FileFormatError(f"{what}: larger than {MAX_BYTES} bytes; not a predictor")
    record = parse_json(path.read_bytes(), what)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if isinstance(record, dict) and record.get("kind") == "samples":
        raise EnvironmentMismatchError(
            f"{folder} was learnt from somebody's samples (--samples), not measured on a machine; only `predict` takes it"
        )
    if type(version) is not int or version != SCHEMA_VERSION:
        raise FileFormatError(f"{what}: schema version {version!r:.40}; this Latlas reads {SCHEMA_VERSION}")
    if record.get("sha256") != checksum(record):
        raise FileFormatError(f"{what}: its checksum does not match; it was damaged or edited, fit it again")
    broken = "it was damaged or edited, fit it again"
    try:
        kind, predictor_record = record["kind"], dict(record["predictor"])
        if kind not in KINDS:
            raise ValueError(f"a predictor of kind {kind!r:.40}, known are {', '.join(KINDS)}")
        environment = Environment.from_record(record["environment"], f"{what}, environment")
        samples = tuple(PredictorSample.from_record(sample, f"{what}, a sample") for sample in record["samples"])
        adapted_from = tuple(dict(source) for source in record["adapted_from"])
        space, figures = record["space"], dict(record["figures"])
        if not isinstance(space, str) or not space or space != one_line(space):
            raise ValueError("its space is no line of text")
        predictor = KINDS[kind](predictor_record)
    except FileFormatError:
        raise
    except UnknownOperatorError as error:  # the operator is another package's; the file is whole
        raise FileFormatError(f"{what}: {one_line(str(error), 800)}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, LatlasError) as error:
        raise FileFormatError(f"{what}: {one_line(f'{type(error).__name__}: {error}', 200)}; {broken}") from None
    return SavedPredictor(predictor, environment, space, figures, samples, adapted_from)


def checksum(record: Mapping[str, Any]) -> str:
    """The sha256 of a record without its field `sha256`; raises `FileFormatError` for a number beyond all floats."""
    try:
        text = canonical_json({k: v for k, v in record.items() if k != "sha256"})
    except ValueError as error:  # 1e999 is a number in JSON and infinity in Python
        raise FileFormatError(f"a predictor's record: {one_line(str(error), 100)}") from None
    return hashlib.sha256(text.encode()).hexdigest()
