"""Predicts latency in one environment from predictors of others and a few measurements.

The model is Bayesian linear regression in relative error (`regression.py`). It uses the predictions of the sources, each
scaled to the target, and features of the networks:

    latency = b_0 mean(sources) + sum_j b_j (source_j - mean) + sum_g features_g b_g

`b_0` is expected to be 1 and all else 0, with a learnt spread for each group. Few measurements give little but the scale;
with many, the result approaches a fit without sources.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor import conformal
from latlas.latency.predictor.regression import MISFIT, BayesianLinear, Group

MIN_SAMPLES = 5
"""With fewer samples, neither the scale nor the remaining error can be told from chance."""
SCALE, STACK = "source", "sources"
SCALE_SPREAD, STACK_START = 0.5, 0.3
"""Prior spreads: of `b_0` about 1, and of the `b_j`. The second is only the first value; it is learnt."""
UNKNOWN_ERROR = 0.02
"""The relative standard error of a measured latency if nobody stated one."""
ENOUGH_FOR_RANK = 40
"""From this many samples on, the conformal rank alone decides; at 95 % it is the second largest score."""
OUTLIER_ERROR = 0.05
"""The least relative error of a network that is twice as fast as the sources say; it grows with the square of their excess.
If the target skips a network's work, it has a thousandth of the others' latency, and such a network must not decide all."""


@dataclass(frozen=True, slots=True)
class Columns:
    """How sources `(n, m)` and features `(n, p)` become the regression's columns, and their prior.

    `scale` `(m,)` is roughly how many target milliseconds a source millisecond is. `unit` is how many target milliseconds a
    feature of 1 counts.
    """

    scale: tuple[float, ...]
    unit: float
    features: tuple[tuple[str, Group], ...]

    def matrix(self, sources: FloatArray, features: FloatArray) -> FloatArray:
        """The regression's matrix `(n, columns)`."""
        scaled = sources * np.array(self.scale)
        mean = scaled.mean(axis=1, keepdims=True)
        stack = scaled - mean if len(self.scale) > 1 else scaled[:, :0]
        return np.hstack([mean, stack, features * self.unit])

    def prior(self) -> tuple[dict[str, Group], FloatArray]:
        """The groups of the columns and their expected coefficients."""
        first = 1 + (len(self.scale) if len(self.scale) > 1 else 0)
        groups = {SCALE: Group((0,), SCALE_SPREAD, fixed=True)}
        if first > 1:
            groups[STACK] = Group(tuple(range(1, first)), STACK_START)
        count = first
        for name, group in self.features:
            groups[name] = replace(group, columns=tuple(first + column for column in group.columns))
            count = max(count, *(first + column + 1 for column in group.columns))
        return groups, np.eye(1, count)[0]


class Transfer:
    """Predicts milliseconds in a target environment from the sources' milliseconds and from features.

    Args:
        groups: which feature columns share a prior, and the spread that learning begins with.
        unit: `"scale"` if features are milliseconds of a source and scaled like its predictions; `"median"` if they are plain
            numbers, which then count in median latencies of the target.

    Learned attributes: `columns_`, `model_` the regression, `scores_` the sorted conformal scores, `freedom_` the degrees of
    freedom that the samples leave, `least_ms_` the least milliseconds that are predicted.

    Example:
        >>> source = np.linspace(1, 3, 8)[:, None]
        >>> known = np.array([0, 1, 0, 0, 1, 1, 0, 1.0])[:, None]
        >>> target = 5 * source[:, 0] * (1 + 0.1 * known[:, 0])
        >>> transfer = Transfer({"operator": Group((0,), 0.1)}, "median").fit(source, known, target)
        >>> bool(abs(transfer.predict(source, known) / target - 1).max() < 0.05)
        True
    """

    def __init__(self, groups: Mapping[str, Group], unit: str = "scale") -> None:
        self.groups = dict(groups)
        self.unit = unit

    def fit(
        self,
        sources: FloatArray,
        features: FloatArray,
        y: Sequence[float] | FloatArray,
        errors: FloatArray | None = None,
    ) -> Transfer:
        """Learn from the sources' predictions `(n, m)`, features `(n, p)`, measured milliseconds `(n,)` and relative errors.

        Raises `UsageError` for fewer than `MIN_SAMPLES`, and for numbers that are not finite and positive.
        """
        said, latencies = np.asarray(sources, dtype=float), np.asarray(y, dtype=float)
        if len(latencies) < MIN_SAMPLES:
            raise UsageError(f"{len(latencies)} measured networks; adapting needs at least {MIN_SAMPLES}")
        if said.ndim != 2 or len(said) != len(latencies) or len(features) != len(latencies) or not said.shape[1]:
            raise UsageError(
                f"{len(latencies)} latencies with sources {said.shape} and {len(features)} rows of features"
            )
        if not all(np.all(np.isfinite(one) & (one > 0)) for one in (said, latencies)):
            raise UsageError("a latency to learn from, or what a source says of it, is not positive and finite")
        scale = scale_of(said, latencies)
        unit = float(np.mean(scale)) if self.unit == "scale" else float(np.median(latencies))
        self.columns_ = Columns(tuple(scale.tolist()), unit, tuple(self.groups.items()))
        own = np.full(len(latencies), UNKNOWN_ERROR) if errors is None else np.asarray(errors, dtype=float)
        expected = (said * scale).mean(axis=1)
        own = np.maximum(own, OUTLIER_ERROR * np.maximum(expected / latencies - 1, 0.0) ** 2)
        groups, mean = self.columns_.prior()
        self.model_ = BayesianLinear(groups, mean).fit(self.columns_.matrix(said, features), latencies, own)
        self.least_ms_ = float(latencies.min()) / 10
        left_out = np.maximum(self.model_.left_out_, self.least_ms_)
        self.scores_ = conformal.scores(latencies, left_out, self.model_.left_out_spread_)
        self.freedom_ = freedom(self.model_)
        return self

    def predict(self, sources: FloatArray, features: FloatArray) -> FloatArray:
        """Milliseconds `(n,)`."""
        return np.maximum(self.model_.predict(self.columns_.matrix(sources, features)), self.least_ms_)

    def spread(self, sources: FloatArray, features: FloatArray) -> FloatArray:
        """Relative standard deviation `(n,)` of a measured latency about the prediction."""
        return self.model_.spread(self.columns_.matrix(sources, features))

    def margins(self, spreads: FloatArray, confidence: float) -> FloatArray:
        """Half widths `(n,)` of intervals, relative to their predictions."""
        return np.minimum(quantile(self.scores_, self.freedom_, confidence) * spreads, 0.99)


def scale_of(sources: FloatArray, y: FloatArray) -> FloatArray:
    """The median of target milliseconds over source milliseconds, for each source: `(m,)`."""
    return np.asarray(np.median(y[:, None] / sources, axis=0))


def freedom(model: BayesianLinear) -> float:
    """Degrees of freedom that the samples of a fitted model leave: their number less the trace of the hat matrix.

    The result is at least 2, and at most the number of samples less 2, because the scale and the misfit take one each.
    """
    shares = model.X_ / model.y_[:, None]
    prior = np.zeros(shares.shape[1])
    for name, group in model.groups.items():
        prior[list(group.columns)] = model.spreads_[name] ** 2
    noise = model.errors_**2 + model.spreads_[MISFIT] ** 2
    inverse = np.linalg.inv((shares * prior) @ shares.T + np.diag(noise))
    left = float((noise * np.diag(inverse)).sum())
    return max(2.0, min(len(shares) - 2.0, left))


def quantile(sorted_scores: FloatArray, degrees: float, confidence: float) -> float:
    """How many spreads an interval reaches: the conformal quantile, and with few samples at least Student's t.

    With few scores, even the largest may be small by chance. Student's t allows for that. Its quantile at the degrees of freedom
    left is multiplied by the root mean square of the scores. This mean has two fewer degrees than scores, for the scale and the
    misfit, and counts as at least 1, which the model itself expects.
    """
    found = conformal.quantile(sorted_scores, confidence)
    count = len(sorted_scores)
    if count >= ENOUGH_FOR_RANK:
        return found
    from scipy.special import stdtrit

    scatter = max(1.0, math.sqrt(float(np.square(sorted_scores).sum()) / (count - 2)))
    return max(found, scatter * float(stdtrit(degrees, (1 + confidence) / 2)))


def relative(matrix: FloatArray) -> FloatArray:
    """The regression's columns, each divided by the first, which is the expected latency.

    The expected latency counts as at least a fifth of its median, so that one tiny network does not outweigh all others.
    """
    expected = matrix[:, :1]
    return np.asarray(matrix / np.maximum(expected, np.median(expected) / 5))


def expected_error(model: BayesianLinear, matrix: FloatArray, counts: Sequence[int]) -> dict[int, float]:
    """For each of `counts`, the mean absolute relative error to expect over all rows if that many of them were measured.

    `matrix` `(n, columns)` comes from `relative`. The spreads are the learnt ones, each row has the samples' typical error, and
    the measured rows are drawn at random.
    """
    spread = np.zeros(matrix.shape[1])
    for name, group in model.groups.items():
        spread[list(group.columns)] = model.spreads_[name]
    root = matrix * spread
    noise = model.spreads_[MISFIT] ** 2 + model.noise_**2
    covariance = root @ root.T
    found: dict[int, float] = {}
    rng = np.random.default_rng(0)
    order = rng.permutation(len(matrix))
    for count in sorted(counts):
        rows = order[: min(count, len(matrix))]
        across = covariance[:, rows]
        inner = covariance[np.ix_(rows, rows)] + noise * np.eye(len(rows))
        left = np.diag(covariance) - np.einsum("ij,ji->i", across, np.linalg.solve(inner, across.T))
        found[count] = float(np.mean(np.sqrt(np.maximum(left, 0.0) + noise)) * math.sqrt(2 / math.pi))
    return found
