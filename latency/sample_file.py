"""A saved predictor of samples: a folder of `predictor.json` and, where there is one, `lightgbm.txt`, as of other predictors."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latlas.latency.errors import FileFormatError, UsageError
from latlas.latency.predictor_file import BOOSTER, MANIFEST, MAX_BYTES, _checksum, _replace, check_replaceable
from latlas.latency.record import parse_json
from latlas.latency.sample_predictor import SamplePredictor

SAMPLE_SCHEMA_VERSION = 1
_KIND = "samples"


@dataclass(frozen=True, slots=True)
class SavedSamplePredictor:
    """A predictor of samples and the figures that `fit-predictor --json` printed."""

    predictor: SamplePredictor
    figures: dict[str, Any]


def save_sample_predictor(folder: Path, saved: SavedSamplePredictor, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; raises `UsageError` where it exists or cannot be written."""
    if folder.exists() and not overwrite:
        raise UsageError(f"{folder} exists already; choose another path, or say --force to replace it")
    check_replaceable(folder)
    described = saved.predictor.to_record()
    text = described["regressor"].pop("lightgbm", None)
    record: dict[str, Any] = {
        "kind": _KIND,
        "sample_schema_version": SAMPLE_SCHEMA_VERSION,
        "predictor": described,
        "figures": saved.figures,
        "lightgbm_sha256": None if text is None else hashlib.sha256(text.encode()).hexdigest(),
    }
    record["sha256"] = _checksum(record)
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        if text is not None:
            (temporary / BOOSTER).write_text(text, encoding="utf-8")
        (temporary / MANIFEST).write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
        temporary.chmod(0o755)
        _replace(temporary, folder)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another path") from None


def load_sample_predictor(folder: Path) -> SavedSamplePredictor | None:
    """The predictor of a folder, None where the folder holds one of another kind; raises `FileFormatError` for a broken one."""
    path = folder / MANIFEST
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    record = parse_json(path.read_bytes(), str(path))
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        return None
    if record.get("sample_schema_version") != SAMPLE_SCHEMA_VERSION:
        version = record.get("sample_schema_version")
        raise FileFormatError(f"{path}: schema version {version!r:.40}; this Latlas reads {SAMPLE_SCHEMA_VERSION}")
    if record.get("sha256") != _checksum(record):
        raise FileFormatError(f"{path}: its checksum does not match; it was damaged or edited, fit it again")
    described, figures, sha256 = (record.get(name) for name in ("predictor", "figures", "lightgbm_sha256"))
    regressor = described.get("regressor") if isinstance(described, dict) else None
    if not isinstance(regressor, dict) or not isinstance(figures, dict):
        raise FileFormatError(f"{path}: no regressor or figures; it was damaged or edited, fit it again")
    if sha256 is not None:
        text = folder / BOOSTER
        if not text.is_file() or text.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{text}: missing or too large; the predictor is not whole, fit it again")
        content = text.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise FileFormatError(f"{text}: its checksum does not match; it was damaged or edited, fit it again")
        regressor["lightgbm"] = content.decode("utf-8", errors="replace")
    try:
        return SavedSamplePredictor(SamplePredictor.from_record(described), figures)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
