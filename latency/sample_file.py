"""A saved predictor of samples: a folder of `predictor.json` and, where there is one, `lightgbm.txt`, as of other predictors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latlas.latency.errors import FileFormatError
from latlas.latency.predictor_file import BOOSTER, MANIFEST, MAX_BYTES, booster_text, checksum, write_folder
from latlas.latency.record import parse_json
from latlas.latency.sample_predictor import SamplePredictor

SAMPLE_SCHEMA_VERSION = 2
"""2: the factor that predictions are multiplied with, 1 before; `unread_dropped`. Earlier ones are read."""
_KIND = "samples"


@dataclass(frozen=True, slots=True)
class SavedSamplePredictor:
    """A predictor of samples and the figures that `fit-predictor --json` printed."""

    predictor: SamplePredictor
    figures: dict[str, Any]


def save_sample_predictor(folder: Path, saved: SavedSamplePredictor, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; raises `UsageError` where it exists or cannot be written."""
    described = saved.predictor.to_record()
    text = described["regressor"].pop("lightgbm", None)
    record: dict[str, Any] = {
        "kind": _KIND,
        "sample_schema_version": SAMPLE_SCHEMA_VERSION,
        "predictor": described,
        "figures": saved.figures,
    }
    write_folder(folder, record, text, overwrite)


def load_sample_predictor(folder: Path) -> SavedSamplePredictor | None:
    """The predictor of a folder, None where the folder holds one of another kind; raises `FileFormatError` for a broken one."""
    path = folder / MANIFEST
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    record = parse_json(path.read_bytes(), str(path))
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        return None
    version = record.get("sample_schema_version")
    if type(version) is not int or not 1 <= version <= SAMPLE_SCHEMA_VERSION:
        raise FileFormatError(f"{path}: schema version {version!r:.40}; this Latlas reads 1 to {SAMPLE_SCHEMA_VERSION}")
    if record.get("sha256") != checksum(record):
        raise FileFormatError(f"{path}: its checksum does not match; it was damaged or edited, fit it again")
    described, figures, sha256 = (record.get(name) for name in ("predictor", "figures", "lightgbm_sha256"))
    regressor = described.get("regressor") if isinstance(described, dict) else None
    if not isinstance(regressor, dict) or not isinstance(figures, dict):
        raise FileFormatError(f"{path}: no regressor or figures; it was damaged or edited, fit it again")
    if sha256 is not None:
        regressor["lightgbm"] = booster_text(folder / BOOSTER, sha256)
    try:
        return SavedSamplePredictor(SamplePredictor.from_record(described), figures)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
