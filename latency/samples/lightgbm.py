"""LightGBM on the logarithm of the latency: for many samples, and for features that the latency does not follow smoothly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.samples.regressors import check_samples, read_number, read_numbers
from latlas.latency.samples.trees import Trees

MIN_SAMPLES = 10
FOLDS = 10
PARAMETERS = {
    "objective": "regression",
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "learning_rate": 0.05,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 0.1,
    "num_threads": 1,
    "deterministic": True,
    "verbosity": -1,
}
ROUNDS = 400


class LightGBMRegressor:
    """A regressor for any number of samples; predictions of left-out samples come from ten-fold cross-validation.

    It cannot tell a spread for each network: the spread is the same everywhere, the median of the left-out relative errors.
    """

    name: ClassVar[str] = "lightgbm"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, errors: npt.ArrayLike | None = None) -> Self:
        """Learn from `(n, features)` and `(n,)` milliseconds; raises `UsageError` for impossible samples."""
        matrix, latencies, spread = check_samples(X, y, errors, MIN_SAMPLES)
        logarithm = np.log(latencies)
        # A sample with the usual error counts half.
        weight = 1 / (1 + (spread / max(float(np.median(spread)), 1e-3)) ** 2) if spread.any() else np.ones_like(spread)
        order = np.random.default_rng(self.seed).permutation(len(latencies))
        out = np.empty_like(logarithm)
        for fold in np.array_split(order, FOLDS):
            rest = np.setdiff1d(order, fold)
            out[fold] = self._train(matrix[rest], logarithm[rest], weight[rest]).predict(matrix[fold], num_threads=1)
        self._trees = Trees.of(self._train(matrix, logarithm, weight))
        self.left_out_: FloatArray = np.exp(out)
        self._spread = max(float(np.median(np.abs(self.left_out_ / latencies - 1))) / 0.6745, 1e-6)
        self.left_out_spread_: FloatArray = np.full_like(latencies, self._spread)
        return self

    def _train(self, X: FloatArray, logarithm: FloatArray, weight: FloatArray) -> Any:
        import lightgbm

        data = lightgbm.Dataset(X, logarithm, weight=weight, free_raw_data=True)
        return lightgbm.train(PARAMETERS | {"seed": self.seed}, data, num_boost_round=ROUNDS)

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """`(m,)` milliseconds of `(m, features)`."""
        return np.exp(np.clip(self._trees.predict(self._checked(X)), -100, 100))

    def spread(self, X: npt.ArrayLike) -> FloatArray:
        """Relative standard deviations `(m,)`, all the same."""
        return np.full(len(self._checked(X)), self._spread)

    def _checked(self, X: npt.ArrayLike) -> FloatArray:
        matrix, wanted = np.asarray(X, dtype=float), self._trees.features
        if matrix.ndim != 2 or matrix.shape[1] != wanted or not np.isfinite(matrix).all():
            raise UsageError(f"features of shape {matrix.shape}; finite ones, (m, {wanted}), are needed")
        return matrix

    def to_record(self) -> dict[str, Any]:
        """The trees, and the predictions of left-out samples."""
        return {
            "name": self.name,
            "trees": self._trees.to_record(),
            "spread": self._spread,
            "left_out": self.left_out_.tolist(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The fitted regressor of a record from `to_record`; raises `FileFormatError` if it is broken."""
        regressor = cls()
        regressor._trees = Trees.from_record(record.get("trees"))
        regressor._spread = read_number(record, "spread", 1e-9, 1e6)
        regressor.left_out_ = read_numbers(record, "left_out", (None,))
        regressor.left_out_spread_ = np.full_like(regressor.left_out_, regressor._spread)
        return regressor
