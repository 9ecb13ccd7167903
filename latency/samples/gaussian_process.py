"""A Gaussian process on the logarithm of the latency: the sum of a constant, a linear part and a smooth part.

`gaussian_kernel` has the kernel and learns its weights, from a seeded part of the samples. Measurements have outliers, so the
noise is Student's t: a few bad readings move nothing. Predictions of left-out samples are in closed form (Rasmussen and
Williams 2006, chapter 5.4.2). Their error decides the shape, and whether any sample is doubted. If some features count parts
whose costs add up, the logarithm of the sum of costs (`additive_costs`) is a feature too, because logarithms of sums are hard
to learn otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from threadpoolctl import threadpool_limits

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, UsageError
from latlas.latency.samples.gaussian_kernel import JITTER, SHAPES, Weights, doubts_of, kernel_of, most_likely
from latlas.latency.samples.regressors import (
    MAX_FEATURES,
    check_samples,
    left_out_error,
    read_number,
    read_numbers,
)

_TRUST_ROUNDS = 4


def additive_costs(counts: FloatArray, y: FloatArray) -> FloatArray:
    """Milliseconds `(1 + columns,)`, a constant first and none below zero, whose sums have the smallest relative errors.

    Outliers weigh less, as with a Cauchy noise as wide as the median error.
    """
    from scipy.optimize import nnls

    matrix = np.column_stack([np.ones(len(counts)), counts])
    trust = np.ones(len(y))
    for _ in range(_TRUST_ROUNDS):
        scale = np.sqrt(trust) / y
        found, _ = nnls(matrix * scale[:, None], y * scale)
        errors = np.abs(matrix @ found / y - 1)
        trust = 1 / (1 + (errors / max(3 * float(np.median(errors)), 1e-6)) ** 2)
    return np.asarray(found, dtype=float)


def left_out_log_sums(counts: FloatArray, y: FloatArray, seed: int) -> FloatArray:
    """The logarithm of each sample's sum, with costs that were learnt from other samples."""
    found = np.empty_like(y)
    order = np.random.default_rng(seed).permutation(len(y))
    for fold in np.array_split(order, min(10, len(y))):
        rest = np.setdiff1d(order, fold)
        found[fold] = np.log(np.maximum(_sums(counts[fold], additive_costs(counts[rest], y[rest])), y.min() / 10))
    return found


def _sums(counts: FloatArray, costs: FloatArray) -> FloatArray:
    return costs[0] + counts @ costs[1:]


def log_sums(counts: FloatArray, costs: FloatArray, known: FloatArray) -> FloatArray:
    """Logarithms of the sums, each at least a tenth of the smallest sum that was learnt from."""
    return np.log(np.maximum(_sums(counts, costs), float(np.exp(known.min())) / 10))


MIN_SAMPLES = 10
MAX_SAMPLES = 4000
"""The most samples it learns from: the time grows with their third power."""
ROUNDS = 4
"""How often the noise of the samples is weighed anew."""
_PART = 400
_CHUNK = 4096
_MAX_STEP_UP = 1.0
"""A prediction's logarithm lies at most this far outside the samples': a factor of 2.7 beyond the largest and the smallest."""


class GaussianProcess:
    """A regressor for a few to a few thousand samples; the module's docstring describes the model.

    `groups` is the group of each feature; features of one group share a scale. None gives each feature its own. `costs` are the
    columns of counts, empty for none.
    Learned attributes besides the protocol's: `shape_`; `noise_`, the relative standard deviation that is not explained; and
    `weights_` `(n,)`, how far each sample was trusted, from 0 to about 1.
    """

    name: ClassVar[str] = "gaussian_process"

    def __init__(self, groups: Sequence[int] | None = None, costs: Sequence[int] = (), seed: int = 0) -> None:
        self.groups = None if groups is None else tuple(groups)
        self.costs = tuple(costs)
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, errors: npt.ArrayLike | None = None) -> Self:
        """Learn from `(n, features)` and `(n,)` milliseconds; raises `UsageError` for impossible or too many samples."""
        matrix, latencies, spread = check_samples(X, y, errors, MIN_SAMPLES)
        if len(latencies) > MAX_SAMPLES:
            raise UsageError(
                f"{len(latencies)} samples; a Gaussian process learns from at most {MAX_SAMPLES}, use LightGBM"
            )
        # On small matrices threads wait for each other longer than they work, most of all on a busy machine.
        with threadpool_limits(limits=1):
            self._fit(matrix, latencies, spread)
        return self

    def _fit(self, matrix: FloatArray, latencies: FloatArray, spread: FloatArray) -> None:
        if self.costs:
            counts = matrix[:, list(self.costs)]
            self._sum = additive_costs(counts, latencies)
            sums = left_out_log_sums(counts, latencies, self.seed)
        else:
            self._sum, sums = np.zeros(0), np.zeros(0)
        self._keep(matrix, latencies, spread, sums)
        part = np.random.default_rng(self.seed).permutation(len(latencies))[:_PART]
        seen = self._x[part], self._t[part], self._own_noise[part], self._group
        errors: dict[Weights, float] = {}
        for weights in (found for shape in SHAPES for found in most_likely(*seen, shape)):
            self._solve(weights)
            errors[weights] = left_out_error(self, latencies)
        best = min(errors, key=lambda weights: errors[weights])
        if best is not self._weights:
            self._solve(best)

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """`(m,)` milliseconds of `(m, features)`."""
        mean = np.concatenate([self._kernel(part, self._x) @ self._alpha for part in self._chunks(X)])
        logarithm = np.clip(mean, self._range[0], self._range[1]) * self._sd + self._mean
        return np.exp(logarithm)

    def spread(self, X: npt.ArrayLike) -> FloatArray:
        """Relative standard deviations `(m,)`: the uncertainty of the mean, and the noise."""
        found = []
        for part in self._chunks(X):
            half = solve_triangular(self._factor, self._kernel(part, self._x).T, lower=True)
            found.append(np.maximum(self._prior(part) - (half * half).sum(axis=0), 0))
        return np.sqrt(np.concatenate(found) + self._weights.noise) * self._sd

    def to_record(self) -> dict[str, Any]:
        """The samples and the kernel's weights; all else follows from them."""
        weights = self._weights
        return {
            "name": self.name,
            "groups": self._group[: self._raw.shape[1]].tolist(),
            "x": self._raw.tolist(),
            "y": self._y.tolist(),
            "errors": self._errors.tolist(),
            "doubts": self._doubts.tolist(),
            "costs": list(self.costs),
            "sum": self._sum.tolist(),
            "sums": self._sums.tolist(),
            "shape": weights.shape,
            "linear": weights.linear.tolist(),
            "smooth": weights.smooth.tolist(),
            "scale": weights.scale,
            "noise": weights.noise,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The fitted regressor of a record from `to_record`; raises `FileFormatError` if it is broken."""
        X = read_numbers(record, "x", (None, None))
        count, features = X.shape
        y, errors, doubts = (read_numbers(record, name, (count,)) for name in ("y", "errors", "doubts"))
        group = record.get("groups")
        if not isinstance(group, list) or len(group) != features or features > MAX_FEATURES:
            raise FileFormatError("the predictor's groups: not one for each feature")
        if not MIN_SAMPLES <= count <= MAX_SAMPLES or any(type(g) is not int or not 0 <= g < features for g in group):
            raise FileFormatError("the predictor's samples or groups are not possible")
        costs = record.get("costs")
        if not isinstance(costs, list) or any(type(c) is not int or not 0 <= c < features for c in costs):
            raise FileFormatError("the predictor's costs: not columns of its features")
        regressor = cls(group, costs)
        regressor._sum = read_numbers(record, "sum", (len(costs) + 1 if costs else 0,))
        sums = read_numbers(record, "sums", (count if costs else 0,))
        count_groups = len(set(group)) + bool(costs)
        linear, smooth = (read_numbers(record, name, (count_groups,)) for name in ("linear", "smooth"))
        scale, noise = (read_number(record, name, 0.0, 1e7) for name in ("scale", "noise"))
        shape = record.get("shape")
        in_bounds = np.all((linear >= 0) & (linear <= 1e7)) and np.all((smooth >= 0) & (smooth <= 1e7))
        if shape not in SHAPES or not in_bounds or noise < 1e-8 or doubts.min() < 0.1 or errors.min() < 0:
            raise FileFormatError("the predictor's Gaussian process has an impossible weight; fit it again")
        try:
            matrix, latencies, spread = check_samples(X, y, errors, MIN_SAMPLES)
            regressor._keep(matrix, latencies, spread, sums)
            regressor._solve(Weights(shape, True, linear, smooth, scale, noise), doubts)
        except (UsageError, np.linalg.LinAlgError) as error:
            raise FileFormatError(f"the predictor's Gaussian process: {error}") from None
        return regressor

    # The samples, standardised -----------------------------------------------------------------------------------------

    def _keep(self, X: FloatArray, y: FloatArray, errors: FloatArray, sums: FloatArray) -> None:
        self._raw, self._y, self._errors, self._sums = X, y, errors, sums
        groups = list(range(X.shape[1]) if self.groups is None else self.groups)
        if len(groups) != X.shape[1]:
            raise UsageError(f"{len(groups)} groups for {X.shape[1]} features; one for each is needed")
        if len(sums):
            X, groups = np.column_stack([X, sums]), [*groups, max(groups) + 1]
        # Groups are numbered from 0 without gaps, whatever numbers were given.
        self._group = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        sizes = np.bincount(self._group)
        self._centre, spread = X.mean(axis=0), X.std(axis=0)
        # A feature that never differs says nothing, now or later.
        steady = spread <= 1e-9 * np.maximum(1e-9, np.abs(self._centre))
        self._unit = np.where(steady, 0.0, 1 / np.where(steady, 1.0, spread) / np.sqrt(sizes[self._group]))
        self._x = (X - self._centre) * self._unit
        logarithm = np.log(y)
        self._mean, self._sd = float(logarithm.mean()), max(float(logarithm.std()), 1e-6)
        self._t = (logarithm - self._mean) / self._sd
        reach = _MAX_STEP_UP / self._sd
        self._range = float(self._t.min()) - reach, float(self._t.max()) + reach
        self._own_noise = (errors / self._sd) ** 2

    def _chunks(self, X: npt.ArrayLike) -> list[FloatArray]:
        matrix = np.asarray(X, dtype=float)
        wanted = self._raw.shape[1]
        if matrix.ndim != 2 or matrix.shape[1] != wanted or not np.isfinite(matrix).all():
            raise UsageError(f"features of shape {matrix.shape}; finite ones, (m, {wanted}), are needed")
        if self.costs:
            matrix = np.column_stack([matrix, log_sums(matrix[:, list(self.costs)], self._sum, self._sums)])
        return [(matrix[i : i + _CHUNK] - self._centre) * self._unit for i in range(0, max(1, len(matrix)), _CHUNK)]

    # The kernel ----------------------------------------------------------------------------------------------------------

    def _kernel(self, x: FloatArray, z: FloatArray) -> FloatArray:
        return kernel_of(x, z, self._weights, self._group)

    def _prior(self, x: FloatArray) -> FloatArray:
        """The kernel of each row with itself."""
        weights = self._weights
        return 1 + (x * x) @ weights.linear[self._group] + weights.scale

    def _solve(self, weights: Weights, doubts: FloatArray | None = None) -> None:
        """Learn from all samples with these weights. `doubts` says how many times the noise each sample gets; None finds them."""
        self._weights = weights
        kernel = self._kernel(self._x, self._x)
        found = np.ones_like(self._t) if doubts is None else doubts
        rounds = ROUNDS if doubts is None and weights.doubting else 1
        for last in range(rounds):
            noise = weights.noise * found + self._own_noise + JITTER
            self._factor, _ = cho_factor(kernel + np.diag(noise), lower=True)
            inverse = cho_solve((self._factor, True), np.eye(len(self._t)))
            self._alpha = inverse @ self._t
            precision = np.diag(inverse)
            variance = np.maximum(1 / precision - noise, 0) + weights.noise
            self._doubts = found
            if last < rounds - 1:
                found = doubts_of(self._alpha / precision, variance + self._own_noise)
        out = np.clip(self._t - self._alpha / precision, *self._range)
        self.left_out_: FloatArray = np.exp(out * self._sd + self._mean)
        self.left_out_spread_: FloatArray = np.sqrt(variance) * self._sd
        self.noise_ = float(np.sqrt(weights.noise)) * self._sd
        self.weights_: FloatArray = 1 / self._doubts
        self.shape_ = weights.shape
