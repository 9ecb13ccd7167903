"""A predictor learnt from samples alone: its features, its regressor, and its errors on left-out samples."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray, IntArray
from latlas.errors import FileFormatError, UsageError
from latlas.files.records import parse_json
from latlas.latency.predictor import conformal
from latlas.latency.predictor.folder import MANIFEST, MAX_BYTES
from latlas.latency.predictor.predictor_file import checksum, write_folder
from latlas.latency.predictor.predicts import Prediction
from latlas.latency.samples.choose_regressor import regressor_from_record
from latlas.latency.samples.columns import TabularFeatures
from latlas.latency.samples.graph_features import GraphFeatures
from latlas.latency.samples.regressors import MAX_FEATURES, Regressor, read_number, read_numbers
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import architecture_in, parse_space

log = logging.getLogger(__name__)

SampleFeatures = TabularFeatures | GraphFeatures
_FACTORS = 0.5, 2.0
_LEAST_SHARE = 0.01
"""A lower bound is at least this share of the prediction: no network takes no time."""


@dataclass(frozen=True, slots=True)
class SamplePredictor:
    """Predicts milliseconds with intervals, from the matrix of features.

    The regressor gets the columns `kept` of the matrix. `scores` `(n,)` are the relative errors on left-out samples over their
    expected spread, sorted; the widths of intervals are quantiles of them. The regressor's milliseconds are multiplied by
    `factor`, see `centre_of`.
    """

    features: SampleFeatures
    kept: tuple[int, ...]
    regressor: Regressor
    scores: FloatArray
    target: str
    factor: float = 1.0

    def predict(self, matrix: npt.ArrayLike) -> FloatArray:
        """Milliseconds `(m,)` of a matrix `(m, all features)`."""
        return self.factor * self.regressor.predict(self._columns(matrix))

    def predict_interval(
        self, matrix: npt.ArrayLike, confidence: float = 0.95
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Milliseconds, and the bounds that hold the measured value with at least this confidence, `(m,)` each."""
        columns = self._columns(matrix)
        latency = self.factor * self.regressor.predict(columns)
        half = self.score(confidence) * self.regressor.spread(columns)
        return latency, latency * np.maximum(1 - half, _LEAST_SHARE), latency * (1 + half)

    def score(self, confidence: float) -> float:
        """Half width of the interval over the spread: the finite-sample quantile of split conformal prediction."""
        return conformal.quantile(self.scores, confidence)

    def _columns(self, matrix: npt.ArrayLike) -> FloatArray:
        array = np.asarray(matrix, dtype=float)
        if array.ndim != 2 or array.shape[1] <= max(self.kept):
            raise UsageError(f"features of shape {array.shape}; at least {max(self.kept) + 1} columns are needed")
        return array[:, list(self.kept)]

    def to_record(self) -> dict[str, Any]:
        """The whole predictor as a JSON record."""
        return {
            "features": self.features.to_record(),
            "kept": list(self.kept),
            "regressor": self.regressor.to_record(),
            "scores": self.scores.tolist(),
            "target": self.target,
            "factor": self.factor,
        }

    @classmethod
    def from_record(cls, record: object) -> SamplePredictor:
        """The predictor of a record from `to_record`; raises `FileFormatError` if it is broken."""
        if not isinstance(record, Mapping) or not isinstance(target := record.get("target"), str) or len(target) > 1000:
            raise FileFormatError("the predictor's record: no features, regressor and target")
        described = record.get("features")
        kind = described.get("kind") if isinstance(described, dict) else None
        if kind not in ("tabular", "graph"):
            raise FileFormatError(f"the predictor's features: {kind!r:.40} is neither tabular nor graph")
        features = (TabularFeatures if kind == "tabular" else GraphFeatures).from_record(described)
        kept = record.get("kept")
        if not isinstance(kept, list) or not 1 <= len(kept) <= MAX_FEATURES or any(type(k) is not int for k in kept):
            raise FileFormatError("the predictor's kept columns: no list of numbers")
        if min(kept) < 0 or max(kept) > 10 * MAX_FEATURES:
            raise FileFormatError("the predictor's kept columns: not columns of its features")
        scores = read_numbers(record, "scores", (None,))
        if not len(scores) or scores.min() < 0 or np.any(np.diff(scores) < 0):
            raise FileFormatError("the predictor's scores: they must be sorted, at least 0")
        factor = read_number(record, "factor", *_FACTORS)
        return cls(features, tuple(kept), regressor_from_record(record.get("regressor")), scores, target, factor)


def centre_of(regressor: Regressor, y: npt.ArrayLike) -> float:
    """The factor for predictions that gives the smallest mean absolute relative error on left-out samples.

    It is the median of measured over predicted, weighted by predicted over measured. Other work on a machine makes the errors
    skewed, and then a regressor's expectation is too high.
    """
    ratios = np.asarray(y, dtype=float) / regressor.left_out_
    order = np.argsort(ratios)
    weights = np.cumsum(1 / ratios[order])
    return float(np.clip(ratios[order][np.searchsorted(weights, weights[-1] / 2)], *_FACTORS))


def scores_of(regressor: Regressor, y: npt.ArrayLike, factor: float = 1.0, place: IntArray | None = None) -> FloatArray:
    """The sorted errors of left-out samples over their spread, both relative to the prediction times `factor`.

    If some networks are measured several times, `place` is the index of the regressor's sample for each latency in `y`.
    """
    which = np.arange(len(regressor.left_out_)) if place is None else place
    spread = np.maximum(regressor.left_out_spread_[which], 1e-12)
    return conformal.scores(np.asarray(y, dtype=float), factor * regressor.left_out_[which], spread)


# Version 3 was the first that was published. It has trees as numbers, and the factor for predictions.
SAMPLE_SCHEMA_VERSION = 3
_KIND = "samples"


@dataclass(frozen=True, slots=True)
class SavedSamplePredictor:
    """A predictor of samples and the figures that `fit-predictor --json` printed."""

    predictor: SamplePredictor
    figures: dict[str, Any]

    @property
    def space(self) -> SearchSpace | None:
        """The space whose architectures it predicts; None for a predictor of named columns."""
        features = self.predictor.features
        return parse_space(features.space) if isinstance(features, GraphFeatures) else None

    def __repr__(self) -> str:
        """One line: target, space or columns, and error."""
        features = self.predictor.features
        of = features.space if isinstance(features, GraphFeatures) else f"{len(features.columns)} columns"
        mape = [f"MAPE {100 * self.figures['mape']:.2f} %"] if "mape" in self.figures else []
        return f"<SavedSamplePredictor: {'; '.join([self.predictor.target, f'of {of}', *mape])}>"

    def predict(
        self, networks: Sequence[Architecture | str | Mapping[str, object]], confidence: float = 0.95
    ) -> list[Prediction]:
        """Milliseconds of each network with the bounds of its interval, on the machine where the samples were measured.

        Args:
            networks: Searchable architectures of `space`, as objects or as texts. If `space` is None, mappings from the name of
                each column that was learnt from to its value.
            confidence: Share of networks whose measured latency the intervals hold, at least; between 0 and 1.

        Raises:
            UsageError: A network is no architecture of the space, a baseline, or lacks a column.

        Example:
            >>> import latlas
            >>> predictor = latlas.load_sample_predictor("of-samples")
            >>> [one] = predictor.predict([{"depth": 12}])
            >>> one.lower_ms < one.latency_ms < one.upper_ms
            True
        """
        rows = self.predictor.predict_interval(self._matrix(networks), confidence)
        return [Prediction(*row) for row in zip(*(values.tolist() for values in rows), strict=True)]

    def _matrix(self, networks: Sequence[Architecture | str | Mapping[str, object]]) -> FloatArray:
        """The features `(n, features)` of networks."""
        features, space = self.predictor.features, self.space
        if space is None or not isinstance(features, GraphFeatures):
            assert isinstance(features, TabularFeatures)
            names = ", ".join(column.name for column in features.columns)
            rows = [one for one in networks if isinstance(one, Mapping)]
            if len(rows) < len(networks):
                raise UsageError(f"this predictor is of columns {names}; give a mapping of them for each network")
            return features.matrix([{name: str(value) for name, value in row.items()} for row in rows])
        known = [architecture_in(space, one, log.warning) if isinstance(one, str) else one for one in networks]
        architectures = [one for one in known if isinstance(one, Architecture)]
        if len(architectures) < len(known):
            raise UsageError(f"this predictor is of {space.text}; give architectures of it")
        return np.hstack(list(features.blocks(space.template(), space.encode(architectures)).values()))


def save_sample_predictor(folder: Path, saved: SavedSamplePredictor, overwrite: bool = False) -> None:
    """Write the folder, whole or not at all; raises as `write_folder` does."""
    record: dict[str, Any] = {
        "kind": _KIND,
        "sample_schema_version": SAMPLE_SCHEMA_VERSION,
        "predictor": saved.predictor.to_record(),
        "figures": saved.figures,
    }
    write_folder(folder, record, overwrite)


def load_sample_predictor(folder: Path) -> SavedSamplePredictor | None:
    """The predictor of a folder, None if it is one of another kind; raises `FileFormatError` if it is broken."""
    path = folder / MANIFEST
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    record = parse_json(path.read_bytes(), str(path))
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        return None
    version = record.get("sample_schema_version")
    if type(version) is not int or version != SAMPLE_SCHEMA_VERSION:
        raise FileFormatError(f"{path}: schema version {version!r:.40}; this Latlas reads {SAMPLE_SCHEMA_VERSION}")
    if record.get("sha256") != checksum(record):
        raise FileFormatError(f"{path}: its checksum does not match; it was damaged or edited, fit it again")
    if not isinstance(figures := record.get("figures"), dict):
        raise FileFormatError(f"{path}: it has no figures; it was damaged or edited, fit it again")
    try:
        return SavedSamplePredictor(SamplePredictor.from_record(record.get("predictor")), figures)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
