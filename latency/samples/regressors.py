"""Regressors: numbers of a network to milliseconds, with how far off they expect to be, and what they say of samples left out."""

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

    `fit` takes `X` `(n, features)`, `y` `(n,)` milliseconds above 0, and `errors` `(n,)`, the relative standard errors of
    `y` where they are known. `spread` is the expected relative standard deviation about the prediction, what intervals are
    proportional to. `left_out_` `(n,)` is what each sample is predicted as when it was not learnt from, in milliseconds, and
    `left_out_spread_` `(n,)` the spread then.
    """

    name: ClassVar[str]
    left_out_: FloatArray
    left_out_spread_: FloatArray

    def fit(self, X: FloatArray, y: FloatArray, errors: FloatArray | None = None) -> Self:
        """Learn; raises `UsageError` for impossible samples."""
        ...

    def predict(self, X: FloatArray) -> FloatArray:
        """`(m,)` milliseconds."""
        ...

    def spread(self, X: FloatArray) -> FloatArray:
        """`(m,)` expected relative standard deviations."""
        ...

    def to_record(self) -> dict[str, Any]:
        """All that predicting needs, as JSON."""
        ...

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The regressor of a record; raises `FileFormatError` where it is none."""
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
    """The array of a record's field, None in `shape` for any length; raises `FileFormatError` where it is not that."""
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
    """The number of a record's field; raises `FileFormatError` where it is none, or not within the bounds."""
    value = record.get(name)
    number = as_float(value) if type(value) in (int, float) else math.nan
    if not (math.isfinite(number) and low <= number <= high):
        raise FileFormatError(f"the predictor's {name}: {value!r:.40} is no number from {low:g} to {high:g}")
    return number


def left_out_error(regressor: Regressor, y: npt.ArrayLike) -> float:
    """Mean absolute relative error on the samples that it was fitted to, each predicted without having been learnt from.

    An error counts `MOST_COUNTED` at most: by how much bad readings are missed says nothing of a model.
    """
    errors = np.abs(regressor.left_out_ / np.asarray(y, dtype=float) - 1)
    return float(np.mean(np.minimum(errors, MOST_COUNTED)))
