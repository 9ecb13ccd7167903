"""Regressors: they turn a network's features into milliseconds with an expected error, and predict left-out samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, UsageError
from latlas.files.records import as_float

MAX_FEATURES = 4096
MAX_NUMBERS = 4_000_000
MOST_COUNTED = 0.25
_LARGEST = 1e100


class Regressor(Protocol):
    """Learns milliseconds from features; all errors and spreads are relative to the latency.

    `fit` takes `X` `(n, features)`, `y` `(n,)` milliseconds above 0, and `errors` `(n,)`, the relative standard errors of `y`,
    if they are known. `spread` is the expected relative standard deviation about the prediction; intervals are proportional to
    it. `left_out_` `(n,)` is the prediction of each sample in milliseconds without learning from it, and `left_out_spread_`
    `(n,)` its spread.
    """

    name: ClassVar[str]
    left_out_: FloatArray
    left_out_spread_: FloatArray

    def fit(self, X: FloatArray, y: FloatArray, errors: FloatArray | None = None) -> Self:
        """Learn from samples; raises `UsageError` for impossible samples."""
        ...

    def predict(self, X: FloatArray) -> FloatArray:
        """Milliseconds `(m,)` of features `(m, features)`."""
        ...

    def spread(self, X: FloatArray) -> FloatArray:
        """Expected relative standard deviations `(m,)`."""
        ...

    def to_record(self) -> dict[str, Any]:
        """All that predicting needs, as a JSON record."""
        ...

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The regressor of a record; raises `FileFormatError` if it is broken."""
        ...


def check_samples(
    X: npt.ArrayLike, y: npt.ArrayLike, errors: npt.ArrayLike | None, least: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`X`, `y` and `errors` (zeros for None) as arrays; raises `UsageError` for too few, ragged or impossible ones."""
    matrix, latencies = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if matrix.ndim != 2 or latencies.shape != matrix.shape[:1]:
        raise UsageError(
            f"features of shape {matrix.shape} and latencies of shape {latencies.shape}; (n, f) and (n,) are needed"
        )
    if len(latencies) < least:
        raise UsageError(f"{len(latencies)} samples; at least {least} are needed")
    if not 1 <= matrix.shape[1] <= MAX_FEATURES or not np.isfinite(matrix).all():
        raise UsageError(f"{matrix.shape[1]} features; 1 to {MAX_FEATURES} are needed, all of them finite")
    if not np.all(np.isfinite(latencies) & (latencies > 0)):
        raise UsageError("a latency to learn from is not positive and finite")
    spread = np.zeros_like(latencies) if errors is None else np.asarray(errors, dtype=float)
    if spread.shape != latencies.shape or not np.all(np.isfinite(spread) & (spread >= 0)):
        raise UsageError("the relative errors must be finite, at least 0, and one a latency")
    return matrix, latencies, spread


def read_numbers(record: Mapping[str, Any], name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """The array in a record's field, where None in `shape` allows any length; raises `FileFormatError` if it does not fit."""
    value = record.get(name)
    rows: Any = value if _rows(value) else ()
    flat = value if len(shape) == 1 else [x for row in rows for x in row]
    if not isinstance(flat, list) or len(flat) > MAX_NUMBERS or any(type(x) not in (int, float) for x in flat):
        raise FileFormatError(f"the predictor's {name}: not a list of numbers")
    array = np.array([as_float(x) for x in flat], dtype=float)
    if len(shape) == 2:
        widths = {len(row) for row in rows} or {shape[1] or 0}
        array = array.reshape(len(rows), widths.pop()) if len(widths) == 1 else array
    if len(array.shape) != len(shape) or any(w is not None and w != g for w, g in zip(shape, array.shape, strict=True)):
        raise FileFormatError(f"the predictor's {name}: its shape is {array.shape}, not {shape}")
    if not np.all(np.isfinite(array) & (np.abs(array) <= _LARGEST)):
        raise FileFormatError(f"the predictor's {name}: a number is not finite")
    return array


def _rows(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MAX_NUMBERS and all(isinstance(row, list) for row in value)


def read_number(record: Mapping[str, Any], name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """The number in a record's field; raises `FileFormatError` if it is no number, or not within the bounds."""
    value = record.get(name)
    number = as_float(value) if type(value) in (int, float) else math.nan
    if not (math.isfinite(number) and low <= number <= high):
        raise FileFormatError(f"the predictor's {name}: {value!r:.40} is no number from {low:g} to {high:g}")
    return number


def left_out_error(regressor: Regressor, y: npt.ArrayLike) -> float:
    """Mean absolute relative error on the samples of a fitted regressor, each predicted without learning from it.

    An error counts at most `MOST_COUNTED`: how far off bad readings are says nothing about a model.
    """
    errors = np.abs(regressor.left_out_ / np.asarray(y, dtype=float) - 1)
    return float(np.mean(np.minimum(errors, MOST_COUNTED)))
