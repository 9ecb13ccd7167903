"""The predictor: end-to-end latency of a network from its graph, learnt from measured subnets, with an interval.

A ridge regression on the additive features of `latlas.latency.features`, in relative error (each sample is divided by
its latency), each group of features with a prior scale of its own; a LightGBM model of what is left over is added where
cross-validation says that it helps. Intervals are conformal in form: quantiles of the relative residuals that cross-validation
left, at the finite-sample rank of split conformal prediction, put about the fit to all samples. No distribution is assumed;
how often they hold on subnets that were not learnt from is measured and stored as `coverage`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from latlas.latency.errors import UsageError
from latlas.latency.features import GROUPS, CostOf, Features, features, unit_cost
from latlas.latency.graph import Node

FloatArray = npt.NDArray[np.float64]
FOLDS = 5
MIN_SAMPLES = 10
NOISE_GRID = (0.003, 0.01, 0.03)
"""Relative standard deviations of what no feature explains, tried in cross-validation."""
SCALE_GRID = ((0.1, 0.05, 0.0), (0.3, 0.1, 0.1), (0.3, 0.3, 0.0), (0.5, 0.5, 0.3), (0.3, 0.3, 1.0))
"""Prior standard deviations of the coefficients of `kind`, `spec` and `pair` features, tried in cross-validation."""
BASE_SCALE = 10.0
LIGHTGBM = {
    "objective": "regression",
    "num_leaves": 7,
    "min_data_in_leaf": 8,
    "learning_rate": 0.05,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "num_threads": 1,
    "deterministic": True,
    "verbosity": -1,
}
LIGHTGBM_ROUNDS = 80
LIGHTGBM_GAIN = 0.95
"""The LightGBM residual is kept if it brings the cross-validated error below this share of the ridge's alone."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Milliseconds with the bounds of an interval."""

    latency_ms: float
    lower_ms: float
    upper_ms: float


class LatencyPredictor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predicts milliseconds from graphs.

    `cost_of` gives an operator's isolated milliseconds, as `table.latency_ms` does; None predicts from the graph alone.
    Learned attributes: `names_` the features, `coef_` and `intercept_` their weights, `booster_` the LightGBM residual
    or None, `residuals_` the sorted absolute relative residuals of cross-validation, `cv_mape_` their mean, `range_ms_`
    the smallest and largest latency learnt from.

    Example:
        >>> from latlas.supernet.portrait import PortraitSpace
        >>> import numpy as np
        >>> graphs = [a.graph() for a in PortraitSpace().sample(30, np.random.default_rng(0))]
        >>> predictor = LatencyPredictor().fit(graphs, [sum(n.spec.macs for n in g) / 3e7 for g in graphs])
        >>> predictor.predict(graphs[:2]).shape
        (2,)
    """

    def __init__(self, cost_of: CostOf | None = None, use_lightgbm: bool = True, seed: int = 0) -> None:
        self.cost_of = cost_of
        self.use_lightgbm = use_lightgbm
        self.seed = seed

    def fit(self, X: Sequence[Sequence[Node]], y: Sequence[float]) -> LatencyPredictor:
        """Learn from graphs and their measured milliseconds; raises `UsageError` for too few or impossible samples."""
        latencies = np.asarray(y, dtype=float)
        if len(X) != len(latencies) or len(X) < MIN_SAMPLES:
            raise UsageError(
                f"{len(X)} graphs and {len(latencies)} latencies; at least {MIN_SAMPLES} of each are needed"
            )
        if not np.all(np.isfinite(latencies) & (latencies > 0)):
            raise UsageError("a latency to learn from is not positive and finite")
        records = [self._features(graph) for graph in X]
        self.names_ = sorted({name for record in records for name in record})
        matrix = self._matrix(records)
        folds = [
            (np.asarray(train), np.asarray(test))
            for train, test in KFold(FOLDS, shuffle=True, random_state=self.seed).split(matrix)
        ]
        scored = []
        for noise, scales in product(NOISE_GRID, SCALE_GRID):
            out = np.empty_like(latencies)
            for train, test in folds:
                coef, intercept = self._ridge(matrix[train], latencies[train], noise, scales)
                out[test] = matrix[test] @ coef + intercept
            scored.append((float(np.mean(np.abs(out / latencies - 1))), noise, scales, out))
        self.cv_mape_, self.noise_, self.scales_, linear_out = min(scored, key=lambda row: row[0])
        self.coef_, self.intercept_ = self._ridge(matrix, latencies, self.noise_, self.scales_)
        self.booster_: Any = None
        out = linear_out
        if self.use_lightgbm and len(latencies) >= 4 * FOLDS:
            out = self._try_lightgbm(matrix, latencies, linear_out, folds)
        self.residuals_ = np.sort(np.abs(latencies / out - 1))
        self.cv_mape_ = float(np.mean(np.abs(out / latencies - 1)))
        self.range_ms_ = (float(latencies.min()), float(latencies.max()))
        return self

    def predict(self, X: Sequence[Sequence[Node]]) -> FloatArray:
        """Milliseconds of each graph, `(len(X),)`."""
        matrix = self._matrix([self._features(graph) for graph in X])
        linear = matrix @ self.coef_ + self.intercept_
        if self.booster_ is not None:
            linear = linear * (1 + np.asarray(self.booster_.predict(matrix, num_threads=1)))
        # No network takes less than nothing: extrapolation far below the samples is held at a tenth of their least.
        return np.maximum(linear, self.range_ms_[0] / 10)

    def predict_interval(self, X: Sequence[Sequence[Node]], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds with an interval that holds the measured value with at least this confidence."""
        margin = self.margin(confidence)
        return [Prediction(float(ms), float(ms * (1 - margin)), float(ms * (1 + margin))) for ms in self.predict(X)]

    def margin(self, confidence: float) -> float:
        """Half width of the interval over the prediction.

        With n residuals it is the ceil((n + 1) confidence)-th smallest (split conformal's finite-sample rank), the
        largest where n is too small for the confidence.
        """
        if not 0 < confidence < 1:
            raise UsageError(f"confidence is {confidence}; it must lie between 0 and 1, as 0.95")
        rank = min(len(self.residuals_), math.ceil((len(self.residuals_) + 1) * confidence))
        return min(0.99, float(self.residuals_[rank - 1]))

    def _features(self, graph: Sequence[Node]) -> Features:
        return features(graph, self.cost_of or unit_cost)

    def _matrix(self, records: Sequence[Features]) -> FloatArray:
        """`(len(records), len(names_))`; a feature never seen in training has no weight, its kind's total has."""
        column = {name: index for index, name in enumerate(self.names_)}
        matrix = np.zeros((len(records), len(column)))
        for row, record in enumerate(records):
            for name, value in record.items():
                if name in column:
                    matrix[row, column[name]] = value
        return matrix

    def _ridge(
        self, matrix: FloatArray, latencies: FloatArray, noise: float, scales: tuple[float, float, float]
    ) -> tuple[FloatArray, float]:
        """Coefficients and intercept: minimum of relative squared error / noise^2 + sum (coef / prior scale)^2."""
        by_group = dict(zip(GROUPS, (BASE_SCALE, *scales), strict=True))
        prior = np.array([by_group[name.split(" ", 1)[0]] for name in self.names_])
        scaled = np.hstack([matrix * prior, np.full((len(matrix), 1), BASE_SCALE)]) / latencies[:, None]
        # The cost's coefficient is expected to be near one, not near nothing.
        base = matrix[:, self.names_.index("base cost")] / latencies
        model = Ridge(alpha=noise**2, fit_intercept=False, solver="cholesky").fit(scaled, 1 - base)
        coef = model.coef_[:-1] * prior
        coef[self.names_.index("base cost")] += 1
        return coef, float(model.coef_[-1] * BASE_SCALE)

    def _try_lightgbm(
        self,
        matrix: FloatArray,
        latencies: FloatArray,
        linear_out: FloatArray,
        folds: Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]],
    ) -> FloatArray:
        """Cross-validated predictions of the better of ridge alone and ridge with LightGBM; sets `booster_`."""
        import lightgbm

        target = latencies / linear_out - 1
        settings = LIGHTGBM | {"seed": self.seed}
        out = np.empty_like(latencies)
        for train, test in folds:
            booster = lightgbm.train(settings, lightgbm.Dataset(matrix[train], target[train]), LIGHTGBM_ROUNDS)
            out[test] = linear_out[test] * (1 + np.asarray(booster.predict(matrix[test])))
        if np.mean(np.abs(out / latencies - 1)) >= LIGHTGBM_GAIN * self.cv_mape_:
            return linear_out
        self.booster_ = lightgbm.train(settings, lightgbm.Dataset(matrix, target), LIGHTGBM_ROUNDS)
        return out
