"""A predictor learnt from samples alone: what it sees of a network, the regressor, and how far it was off on samples left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.latency import conformal
from latlas.latency.errors import FileFormatError, UsageError
from latlas.latency.graph_features import GraphFeatures
from latlas.latency.regressors import (
    MAX_FEATURES,
    FloatArray,
    Regressor,
    read_number,
    read_numbers,
    regressor_from_record,
)
from latlas.latency.tabular import TabularFeatures

SampleFeatures = TabularFeatures | GraphFeatures
_FACTORS = 0.5, 2.0
_LEAST_SHARE = 0.01
"""A lower bound is at least this share of the prediction: no network takes no time."""


@dataclass(frozen=True, slots=True)
class SamplePredictor:
    """Milliseconds with intervals, from the features' matrix.

    `kept` are the columns of it that the regressor was given; `scores` `(n,)` are, sorted, the relative errors of samples that
    were left out over the spread that was expected of them, of which the intervals' widths are quantiles. `factor` is what the
    regressor's milliseconds are multiplied with: see `centre_of`.
    """

    features: SampleFeatures
    kept: tuple[int, ...]
    regressor: Regressor
    scores: FloatArray
    target: str
    factor: float = 1.0

    def predict(self, matrix: npt.ArrayLike) -> FloatArray:
        """`(m,)` milliseconds of `(m, all features)`."""
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
        """All of it as JSON; a LightGBM model is a text in it."""
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
        """The predictor of `to_record`; raises `FileFormatError` where it is none."""
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
        # The first files had none.
        factor = read_number(record, "factor", *_FACTORS) if "factor" in record else 1.0
        return cls(features, tuple(kept), regressor_from_record(record.get("regressor")), scores, target, factor)


def centre_of(regressor: Regressor, y: npt.ArrayLike) -> float:
    """What predictions are multiplied with for the least mean absolute relative error on left-out samples.

    That is the median of measured over predicted, weighted by predicted over measured. Where errors are skewed, as other work
    on a machine makes them, what a regressor expects lies above it.
    """
    ratios = np.asarray(y, dtype=float) / regressor.left_out_
    order = np.argsort(ratios)
    weights = np.cumsum(1 / ratios[order])
    return float(np.clip(ratios[order][np.searchsorted(weights, weights[-1] / 2)], *_FACTORS))


def scores_of(regressor: Regressor, y: npt.ArrayLike, factor: float = 1.0) -> FloatArray:
    """The sorted errors of left-out samples over their spread, both relative to the prediction times `factor`."""
    return conformal.scores(
        np.asarray(y, dtype=float), factor * regressor.left_out_, np.maximum(regressor.left_out_spread_, 1e-12)
    )
