"""Predicts quality from an architecture's codes: Once-for-All's accuracy predictor, ridge regression, and the better of both.

In Once-for-All (Cai et al. 2020, arXiv 1908.09791), a network of three layers of 400 on one-hot codes learns from the scores of
some architectures and predicts thousands. A linear model on the same codes needs fewer scores. Cross-validation decides which
of the two ranks better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from latlas.arrays import Codes, FloatArray
from latlas.choices import unknown
from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.accuracy.rank_agreement import RankAgreement, rank_agreement
from latlas.spaces.codes import check_codes

LEAST_SAMPLES = 8
"""A predictor learns from at least so many scored architectures."""
FOLDS = 5
LEAST_VALIDATED = 10
"""Cross-validation needs at least so many networks; each fold learns from four fifths of them."""
RIDGE_ALPHAS = tuple(np.logspace(-2, 4, 25))
CHUNK = 16_384


def one_hot(codes: Codes, sizes: Sequence[int]) -> FloatArray:
    """Codes `(n, columns)` as zeros and ones `(n, sum(sizes))`: a one for each column's option."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    rows = np.zeros((len(codes), sum(sizes)))
    rows[np.arange(len(codes))[:, None], np.asarray(codes) + starts] = 1.0
    return rows


@dataclass
class RidgeAccuracy:
    """Ridge regression on one-hot codes. Leave-one-out validation chooses its strength among `alphas`.

    After `fit`, the quality is `constant_` plus a term for each column's option; `tables_` has one array `(options,)` per column.
    """

    kind: ClassVar[str] = "ridge"
    sizes: tuple[int, ...]
    alphas: tuple[float, ...] = RIDGE_ALPHAS
    constant_: float = field(default=math.nan, init=False)
    tables_: list[FloatArray] = field(default_factory=list, init=False)

    def fit(self, codes: Codes, qualities: npt.ArrayLike) -> Self:
        """Learn from codes `(n, columns)` and their qualities `(n,)`."""
        codes, values = _samples(codes, qualities, self.sizes)
        model = RidgeCV(self.alphas).fit(one_hot(codes, self.sizes), values)
        self.constant_ = float(model.intercept_)
        self.tables_ = np.split(np.asarray(model.coef_, float), np.cumsum(self.sizes)[:-1])
        return self

    def predict(self, codes: Codes) -> FloatArray:
        """Qualities `(n,)` of codes `(n, columns)`."""
        return self.additive().values(check_codes(codes, self.sizes))

    def additive(self) -> Additive:
        """The predictor as a sum over the columns. With it, the best network within a budget can be found exactly."""
        if not self.tables_:
            raise UsageError("this predictor of quality has learnt nothing yet; fit it first")
        return Additive(self.constant_, self.tables_)


@dataclass
class MLPAccuracy:
    """Once-for-All's network on one-hot codes, with the mean quality as its output's bias.

    Adam at 1e-3 with weight decay 1e-4 minimises the squared error. The network's output is in standard deviations from the mean
    quality, so the learning rate fits any spread. On one machine, the same samples and seed give the same network.

    After `fit`: `mean_`, `spread_`, and `weights_` with a `(matrix (out, in), bias (out,) or None)` per layer, float32.
    """

    kind: ClassVar[str] = "mlp"
    sizes: tuple[int, ...]
    seed: int = 0
    hidden: tuple[int, ...] = (400, 400, 400)
    steps: int = 300
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    mean_: float = field(default=math.nan, init=False)
    spread_: float = field(default=math.nan, init=False)
    weights_: list[tuple[Tensor, Tensor | None]] = field(default_factory=list, init=False)

    def fit(self, codes: Codes, qualities: npt.ArrayLike) -> Self:
        """Learn from codes `(n, columns)` and their qualities `(n,)`."""
        codes, values = _samples(codes, qualities, self.sizes)
        self.mean_, self.spread_ = float(values.mean()), float(values.std()) or 1.0
        inputs = torch.from_numpy(one_hot(codes, self.sizes)).float()
        targets = torch.from_numpy((values - self.mean_) / self.spread_).float()
        rng = np.random.default_rng(self.seed)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(self.seed)
            widths = (sum(self.sizes), *self.hidden)
            layers = [nn.Linear(before, after) for before, after in pairwise(widths)]
            layers.append(nn.Linear(widths[-1], 1, bias=False))
            network = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
            optimizer = torch.optim.Adam(
                network.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True
            )
            for _ in range(self.steps):
                chosen = rng.choice(len(values), min(self.batch_size, len(values)), replace=False)
                loss = nn.functional.mse_loss(network(inputs[chosen])[:, 0], targets[chosen])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        self.weights_ = [
            (layer.weight.detach(), None if layer.bias is None else layer.bias.detach()) for layer in layers
        ]
        return self

    def predict(self, codes: Codes) -> FloatArray:
        """Qualities `(n,)` of codes `(n, columns)`."""
        codes = check_codes(codes, self.sizes)
        if not self.weights_:
            raise UsageError("this predictor of quality has learnt nothing yet; fit it first")
        parts = [self._forward(codes[start : start + CHUNK]) for start in range(0, len(codes), CHUNK)]
        return self.mean_ + self.spread_ * np.concatenate([np.empty(0), *parts])

    def _forward(self, codes: Codes) -> FloatArray:
        with torch.inference_mode():
            values = torch.from_numpy(one_hot(codes, self.sizes)).float()
            for index, (weight, bias) in enumerate(self.weights_):
                values = nn.functional.linear(values.relu() if index else values, weight, bias)
        return np.asarray(values[:, 0].double().numpy())


KINDS: dict[str, type[RidgeAccuracy] | type[MLPAccuracy]] = {"ridge": RidgeAccuracy, "mlp": MLPAccuracy}


def make_accuracy(kind: str, sizes: Sequence[int], seed: int = 0) -> RidgeAccuracy | MLPAccuracy:
    """An unfitted predictor of a kind, `ridge` or `mlp`. Raises `UsageError` for another kind."""
    if kind not in KINDS:
        raise UsageError(unknown("accuracy predictor", kind, KINDS))
    return MLPAccuracy(tuple(sizes), seed) if kind == "mlp" else RidgeAccuracy(tuple(sizes))


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """How well a kind of predictor did on architectures it did not learn from: rank agreement and mean absolute error."""

    kind: str
    agreement: RankAgreement
    mae: float

    def to_record(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {"kind": self.kind, "mae": self.mae, **self.agreement.to_record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CrossValidated:
        """The value that `to_record` wrote; raises `KeyError`, `TypeError` or `ValueError` for others."""
        kind, mae = record["kind"], float(record["mae"])
        if kind not in KINDS or not 0 <= mae < math.inf:
            raise ValueError(f"{kind!r} with a mean absolute error of {mae}")
        return cls(kind, RankAgreement.from_record(record), mae)


def cross_validate(
    kind: str, sizes: Sequence[int], codes: Codes, qualities: npt.ArrayLike, *, folds: int = FOLDS, seed: int = 0
) -> CrossValidated:
    """Compares a kind's predictions with the qualities. Each part of the architectures is predicted from the other parts."""
    codes, values = _samples(codes, qualities, sizes)
    order = np.random.default_rng([seed, 2]).permutation(len(values))
    predicted = np.empty(len(values))
    for part in np.array_split(order, min(folds, len(values))):
        rest = np.setdiff1d(order, part)
        predicted[part] = make_accuracy(kind, sizes, seed).fit(codes[rest], values[rest]).predict(codes[part])
    return CrossValidated(kind, rank_agreement(predicted, values), float(np.abs(predicted - values).mean()))


def best_accuracy(
    sizes: Sequence[int],
    codes: Codes,
    qualities: npt.ArrayLike,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
) -> tuple[RidgeAccuracy | MLPAccuracy, list[CrossValidated]]:
    """The kind that ranks left-out architectures best, fitted to all architectures, and how each kind did, the best first.

    If the rank agreement is equal, the kind with the smaller error is better.
    """
    found = [cross_validate(kind, sizes, codes, qualities, folds=folds, seed=seed) for kind in kinds]
    found.sort(
        key=lambda one: (-(-2.0 if one.agreement.kendall.value is None else one.agreement.kendall.value), one.mae)
    )
    return make_accuracy(found[0].kind, sizes, seed).fit(codes, qualities), found


def _samples(codes: Codes, qualities: npt.ArrayLike, sizes: Sequence[int]) -> tuple[Codes, FloatArray]:
    rows, values = check_codes(codes, sizes), np.asarray(qualities, float)
    if values.shape != (len(rows),) or not np.isfinite(values).all():
        raise UsageError(
            f"qualities are {values.shape}; one finite number for each of {len(rows)} architectures is needed"
        )
    if len(values) < LEAST_SAMPLES:
        raise UsageError(
            f"{len(values)} architectures are too few to learn quality from; score {LEAST_SAMPLES} or more"
        )
    return rows, values
