"""Bayesian linear regression in relative error, with groups of coefficients whose prior spreads are learnt.

Each sample's features are divided by its latency, so that all samples count alike: `1 = (x / y) b + noise`. The coefficients
have a prior `N(mean, spread_g^2)`, with one spread for each group. The noise is the sample's own relative error and a `misfit`
that no feature explains. `marginal.py` learns the spreads and the misfit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor.marginal import MISFIT, Start, most_probable_spreads, posterior

__all__ = ["MISFIT", "BayesianLinear", "Group"]

MISFIT_START, MISFIT_LEAST = 0.01, 1e-4
"""The first value of the misfit when it is learnt, and its least value. Nobody measures better, and sums stay stable."""
LOG_SD = 1.5
"""Standard deviation of a spread's logarithm about its start."""
LOG_RANGE = 7.0
"""How far a spread's logarithm may move from its start."""
MAX_FEATURES, MAX_SAMPLES = 5000, 5000
"""The most that a file may have: their matrices take hundreds of megabytes, and a small file must not ask for more."""
LARGEST, LEAST_MS = 1e12, 1e-9
"""No number of a file may be larger and no latency smaller, so that squares and quotients stay within a float's range."""


@dataclass(frozen=True, slots=True)
class Group:
    """Coefficients that share a prior: their columns, and the spread that learning begins with.

    A `fixed` spread is not learnt.
    """

    columns: tuple[int, ...]
    start: float
    fixed: bool = False


class BayesianLinear:
    """Milliseconds that are linear in features, with the standard deviation of each prediction.

    `groups` and `mean` are the prior: which coefficients share a spread, and their expected values (None: all 0). Learned
    attributes: `coef_` `(features,)`; `covariance_` `(features, features)` of the coefficients; `spreads_` by group, with the
    relative `misfit`; `left_out_` `(n,)`, the predicted milliseconds of each sample when it was not learnt from; and
    `left_out_spread_` `(n,)`, their relative standard deviations. These standard deviations, like those of `spread`, are about a
    *measured* latency: they include the misfit and the samples' typical error `noise_`.

    Example:
        >>> X = np.array([[1.0, k % 3] for k in range(12)])
        >>> model = BayesianLinear({"all": Group((0, 1), 1.0)}).fit(X, X @ [2.0, 0.5])
        >>> model.coef_.round(2)
        array([2. , 0.5])
    """

    def __init__(self, groups: Mapping[str, Group], mean: Sequence[float] | FloatArray | None = None) -> None:
        self.groups = dict(groups)
        self.mean = mean

    def fit(
        self,
        X: FloatArray,
        y: FloatArray,
        errors: FloatArray | None = None,
        spreads: Mapping[str, float] | None = None,
    ) -> BayesianLinear:
        """Learn from features `(n, features)`, milliseconds `(n,)`, and the relative standard error of each.

        If `spreads` are given, they are used and not learnt. Raises `UsageError` if `y` is not positive and finite.
        """
        latencies = np.asarray(y, dtype=float)
        if not np.all(np.isfinite(latencies) & (latencies > 0)):
            raise UsageError("a latency to learn from is not positive and finite")
        own = np.zeros(len(latencies)) if errors is None else np.asarray(errors, dtype=float)
        self.X_, self.y_, self.errors_ = np.asarray(X, dtype=float), latencies, own
        shares = self.X_ / latencies[:, None]
        mean = np.zeros(shares.shape[1]) if self.mean is None else np.asarray(self.mean, dtype=float)
        residual = 1.0 - shares @ mean
        parts = {name: _gram(shares[:, list(group.columns)]) for name, group in self.groups.items()}
        self.spreads_ = self._fitted_spreads(parts, residual, own) if spreads is None else dict(spreads)
        noise = own**2 + self.spreads_[MISFIT] ** 2
        marginal = self._marginal(parts, noise)
        prior = np.zeros(shares.shape[1])
        for name, group in self.groups.items():
            prior[list(group.columns)] = self.spreads_[name] ** 2
        found = posterior(shares, residual, prior, marginal)
        self.coef_, self.covariance_ = mean + found.mean, found.covariance
        # These are relative to the sample's measured latency; they become milliseconds below.
        self.left_out_ = latencies * (1.0 - found.missed)
        self.noise_ = float(np.median(own))
        misfit = self.spreads_[MISFIT] ** 2
        known = np.maximum(found.left_out - own**2 - misfit, 0.0) * latencies**2
        self.left_out_spread_ = self.spread_of(self.left_out_, known)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Milliseconds `(m,)` of features `(m, features)`."""
        return np.asarray(X, dtype=float) @ self.coef_

    def spread(self, X: FloatArray) -> FloatArray:
        """Relative standard deviation `(m,)` of a measured latency about the prediction."""
        features = np.asarray(X, dtype=float)
        variance = np.einsum("ij,ij->i", features @ self.covariance_, features)
        return self.spread_of(features @ self.coef_, variance)

    def spread_of(self, predicted: FloatArray, variance: FloatArray) -> FloatArray:
        """`spread` of predictions in milliseconds, from the coefficients' part of the variance in ms^2."""
        share = np.maximum(variance, 0.0) / np.maximum(np.abs(predicted), 1e-9) ** 2
        return np.sqrt(share + self.spreads_[MISFIT] ** 2 + self.noise_**2)

    def updated(self, X: FloatArray, y: FloatArray, errors: FloatArray | None = None) -> BayesianLinear:
        """A model that has learnt these samples too; it keeps the spreads that were learnt before."""
        own = np.zeros(len(y)) if errors is None else np.asarray(errors, dtype=float)
        model = BayesianLinear(self.groups, self.mean)
        matrix, latencies = np.concatenate([self.X_, X]), np.concatenate([self.y_, y])
        return model.fit(matrix, latencies, np.concatenate([self.errors_, own]), self.spreads_)

    def to_record(self) -> dict[str, Any]:
        """The sparse samples and the spreads; `from_record` fits the same model from them."""
        return {
            "features": self.X_.shape[1],
            "groups": {name: [list(group.columns), group.start, group.fixed] for name, group in self.groups.items()},
            "mean": None if self.mean is None else [float(value) for value in self.mean],
            "spreads": self.spreads_,
            "rows": [[[int(k), float(row[k])] for k in np.flatnonzero(row)] for row in self.X_],
            "y": self.y_.tolist(),
            "errors": self.errors_.tolist(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BayesianLinear:
        """The fitted model of a record; raises `ValueError`, `KeyError` or `TypeError` if it is no model's."""
        features, rows = record["features"], record["rows"]
        if type(features) is not int or not 1 <= features <= MAX_FEATURES or not 1 <= len(rows) <= MAX_SAMPLES:
            raise ValueError(f"{features!r} features and {len(rows)} samples are no model")
        groups = {
            str(name): Group(tuple(_index(k, features) for k in columns), float(start), bool(fixed))
            for name, (columns, start, fixed) in record["groups"].items()
        }
        matrix = np.zeros((len(rows), features))
        for row, entries in zip(matrix, rows, strict=True):
            for k, value in entries:
                row[_index(k, features)] = float(value)
        y, errors = (np.array([float(value) for value in record[name]]) for name in ("y", "errors"))
        mean = None if record["mean"] is None else np.array([float(value) for value in record["mean"]])
        spreads = {str(name): float(value) for name, value in record["spreads"].items()}
        if not y.shape == errors.shape == (len(rows),) or (mean is not None and mean.shape != (features,)):
            raise ValueError("its samples, latencies and errors are not equally many")
        if set(spreads) != {*groups, MISFIT} or not all(0 <= value < 1e6 for value in spreads.values()):
            raise ValueError("its spreads are not those of its groups")
        numbers = np.concatenate([matrix.ravel(), errors, np.empty(0) if mean is None else mean])
        if not np.all(np.abs(numbers) <= LARGEST) or np.any(errors < 0) or not np.all((y >= LEAST_MS) & (y <= LARGEST)):
            raise ValueError("one of its numbers is negative, too large or not finite")
        try:
            model = cls(groups, mean).fit(matrix, y, errors, spreads)
        except (UsageError, np.linalg.LinAlgError) as error:
            raise ValueError(str(error)) from None
        if not all(
            np.all(np.isfinite(v)) for v in (model.coef_, model.covariance_, model.left_out_, model.left_out_spread_)
        ):
            raise ValueError("no finite coefficients follow from its samples")
        return model

    def _marginal(self, parts: Mapping[str, FloatArray], noise: FloatArray) -> FloatArray:
        return np.sum([self.spreads_[name] ** 2 * part for name, part in parts.items()], axis=0) + np.diag(noise)

    def _fitted_spreads(
        self, parts: Mapping[str, FloatArray], residual: FloatArray, own: FloatArray
    ) -> dict[str, float]:
        constant = {name: group.start for name, group in self.groups.items() if group.fixed}
        known = np.diag(own**2) + sum(spread**2 * parts[name] for name, spread in constant.items())
        reach = math.exp(LOG_RANGE)
        starts = {name: Start(one.start, one.start / reach, one.start * reach) for name, one in self.groups.items()}
        starts[MISFIT] = Start(MISFIT_START, MISFIT_LEAST, MISFIT_START * reach)
        free_parts = {name: part for name, part in parts.items() if name not in constant}
        return most_probable_spreads(free_parts, known, residual, starts, LOG_SD) | constant


def _gram(matrix: FloatArray) -> FloatArray:
    return matrix @ matrix.T


def _index(value: object, size: int) -> int:
    if type(value) is not int or not 0 <= value < size:
        raise ValueError(f"{value!r} is no column of {size}")
    return value
