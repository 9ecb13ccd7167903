"""The predictor: it learns from measured subnets and predicts a network's end-to-end latency, with an interval.

It is a Bayesian linear regression (`regression.py`) on the additive features of `features.py`. The sum of the operators'
isolated latencies is expected to count once. Conformal intervals (`conformal.py`) come from the errors on left-out samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor import conformal
from latlas.latency.predictor.features import GROUPS, TOTAL, CostList, CostOf, features, unit_cost
from latlas.latency.predictor.predicts import HasGraph, graphs_of
from latlas.latency.predictor.predicts import Prediction as Prediction
from latlas.latency.predictor.regression import LARGEST, BayesianLinear, Group
from latlas.spaces.graph import Graph, Node
from latlas.spaces.operators.spec import OpSpec

MIN_SAMPLES = 10
CONSTANT, CONSTANT_SPREAD = "constant ms", 0.05
"""The feature that every network has once, and its coefficient's prior spread in milliseconds."""


class LatencyPredictor:
    """Predicts milliseconds from graphs.

    `cost_of` returns an operator's isolated milliseconds, as `table.latency_ms` does; None predicts from the graph alone.
    `campaign_sd` is the relative standard deviation between whole campaigns. The errors on left-out samples of one campaign do
    not show it, so the intervals add it.
    scikit-learn can clone it and search over its parameters: it has their methods, but not their base classes, which take
    seconds to load.
    Learned attributes: `names_` the features, `model_` the regression on them, `scores_` the sorted conformal scores,
    `cv_mape_` the mean relative error on left-out samples, `range_ms_` the smallest and largest latency learnt from.

    Example:
        >>> from latlas.spaces.portrait import PortraitSpace
        >>> graphs = [a.graph() for a in PortraitSpace().sample(30, np.random.default_rng(0))]
        >>> predictor = LatencyPredictor().fit(graphs, [sum(n.spec.macs for n in g) / 3e7 for g in graphs])
        >>> predictor.latency_ms(graphs[:2]).shape
        (2,)
        >>> one = predictor.predict(graphs[:1])[0]
        >>> one.lower_ms < one.latency_ms < one.upper_ms
        True
    """

    kind: ClassVar[str] = "graph"

    def __init__(self, cost_of: CostOf | None = None, campaign_sd: float = 0.0) -> None:
        self.cost_of = cost_of
        self.campaign_sd = campaign_sd

    def __repr__(self) -> str:
        """One line: the kind of predictor, its costs, and the networks that it was learnt from."""
        costs = f"{len(self.cost_of.costs)} operators' latencies" if isinstance(self.cost_of, CostList) else "no table"
        if not hasattr(self, "range_ms_"):
            return f"<{type(self).__name__}: {costs}, not fitted>"
        low, high = self.range_ms_
        return f"<{type(self).__name__}: {costs}, {len(self.model_.X_)} networks of {low:.3g} to {high:.3g} ms>"

    def fit(
        self, X: Sequence[Sequence[Node]], y: Sequence[float], relative_sds: Sequence[float] | None = None
    ) -> LatencyPredictor:
        """Learn from graphs, measured milliseconds, and the relative standard deviation of another reading of each.

        Raises `UsageError` for too few or impossible samples.
        """
        if len(X) != len(y) or len(X) < MIN_SAMPLES:
            raise UsageError(f"{len(X)} graphs and {len(y)} latencies; at least {MIN_SAMPLES} of each are needed")
        records = [self._features(graph) for graph in X]
        self.names_ = sorted({name for record in records for name in record})
        matrix, _ = self._matrix(records)
        errors = None if relative_sds is None else np.asarray(relative_sds, dtype=float)
        self._set_model(_model(self.names_).fit(matrix, np.asarray(y, dtype=float), errors))
        return self

    def updated(
        self, X: Sequence[Sequence[Node]], y: Sequence[float], relative_sds: Sequence[float] | None = None
    ) -> LatencyPredictor:
        """A predictor that has learnt these samples too; the learnt spreads of the coefficients stay the same."""
        records = [self._features(graph) for graph in X]
        other = LatencyPredictor(self.cost_of, self.campaign_sd)
        other.names_ = self.names_ + sorted({name for record in records for name in record} - set(self.names_))
        matrix, _ = other._matrix(records)
        model = _model(other.names_)
        known = self.model_.X_.shape[1] - 1
        before = np.zeros((len(self.model_.X_), len(other.names_) + 1))
        before[:, :known], before[:, -1] = self.model_.X_[:, :known], self.model_.X_[:, -1]
        errors = np.zeros(len(y)) if relative_sds is None else np.asarray(relative_sds, dtype=float)
        other._set_model(
            model.fit(
                np.concatenate([before, matrix]),
                np.concatenate([self.model_.y_, np.asarray(y, dtype=float)]),
                np.concatenate([self.model_.errors_, errors]),
                # A group that none of the first networks had keeps its starting spread.
                {name: group.start for name, group in model.groups.items()} | self.model_.spreads_,
            )
        )
        return other

    def predict(self, networks: Sequence[HasGraph | Graph], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds of each network with the bounds of its interval, as every kind of predictor gives them.

        Args:
            networks: Graphs, or anything with a `graph()`.
            confidence: Share of networks whose measured latency the intervals hold, at least; between 0 and 1.

        Raises:
            MissingEntryError: The predictor was learnt with a table, and the table has no such operator.
        """
        return self.predict_interval(graphs_of(networks), confidence)

    def latency_ms(self, X: Sequence[Sequence[Node]]) -> FloatArray:
        """Milliseconds of each graph, `(len(X),)`."""
        return self.bounded(self.model_.predict(self._matrix([self._features(graph) for graph in X])[0]))

    def predict_interval(self, X: Sequence[Sequence[Node]], confidence: float = 0.95) -> list[Prediction]:
        """Milliseconds with an interval that holds the measured value with at least this confidence."""
        latencies, spreads = self.predict_spread(X)
        margins = self.margins(spreads, confidence)
        bounds = zip(latencies, latencies * (1 - margins), latencies * (1 + margins), strict=True)
        return [Prediction(float(ms), float(lower), float(upper)) for ms, lower, upper in bounds]

    def predict_spread(self, X: Sequence[Sequence[Node]]) -> tuple[FloatArray, FloatArray]:
        """Milliseconds `(len(X),)`, and the relative standard deviation expected of a measured latency about each."""
        matrix, unseen = self._matrix([self._features(graph) for graph in X])
        linear = self.model_.predict(matrix)
        spread = np.hypot(self.model_.spread(matrix), unseen / np.maximum(np.abs(linear), 1e-9))
        return self.bounded(linear), spread

    def margins(self, spreads: FloatArray, confidence: float) -> FloatArray:
        """Half widths `(n,)` of intervals, relative to their predictions; below 1, so that lower bounds stay positive."""
        own = self._quantile(confidence) * spreads
        return np.minimum(np.hypot(own, NormalDist().inv_cdf(0.5 + confidence / 2) * self.campaign_sd), 0.99)

    def _quantile(self, confidence: float) -> float:
        """Half width of the interval over the spread, without the difference between campaigns."""
        return conformal.quantile(self.scores_, confidence)

    def margin(self, confidence: float) -> float:
        """The median relative half width of the intervals, over the networks learnt from."""
        spreads = self.model_.left_out_spread_
        return float(np.median(self.margins(spreads if len(spreads) else np.ones(1), confidence)))

    def prior_spread(self, name: str) -> float:
        """Standard deviation of a feature's coefficient before any network with it was measured: the spread of its group."""
        return self.model_.spreads_.get(_group(name), 0.0)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The predictor's arguments by name, as scikit-learn asks for them."""
        return {"cost_of": self.cost_of, "campaign_sd": self.campaign_sd}

    def set_params(self, **params: Any) -> LatencyPredictor:
        """Set arguments by name and return the predictor; raises `UsageError` for a name that is no argument."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise UsageError(f"{name!r} is no parameter of a predictor; known: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def score(self, X: Sequence[Sequence[Node]], y: Sequence[float]) -> float:
        """The share of the latencies' variance that the predictions explain (R^2), at most 1."""
        measured = np.asarray(y, dtype=float)
        missed = np.square(measured - self.latency_ms(X)).sum()
        return float(1.0 - missed / np.square(measured - measured.mean()).sum())

    def bounded(self, linear_ms: FloatArray) -> FloatArray:
        """The predictions, but at least a tenth of the fastest sample: no network takes less than nothing."""
        return np.maximum(linear_ms, self.range_ms_[0] / 10)

    def to_record(self) -> dict[str, Any]:
        """A record from which `from_record` makes the same predictor; raises `UsageError` for costs that cannot be written."""
        costs = self.cost_of
        if costs is not None and not isinstance(costs, CostList):
            raise UsageError("a predictor is saved with its operators' latencies; make it with cost_of=CostList(...)")
        sampled = len(self.model_.X_) > 0
        return {
            "campaign_sd": self.campaign_sd,
            "names": self.names_,
            "costs": None if costs is None else [[spec.to_record(), ms] for spec, ms in sorted(costs.costs.items())],
            "model": self.model_.to_record(),
            "scores": None if sampled else self.scores_.tolist(),
            "cv_mape": None if sampled else self.cv_mape_,
            "range_ms": list(self.range_ms_),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LatencyPredictor:
        """The predictor of a record; raises `ValueError`, `KeyError`, `TypeError` or `UsageError` if it is no predictor's."""
        lookup = read_costs(record["costs"])
        predictor = cls(lookup, float(record["campaign_sd"]))
        if not 0 <= predictor.campaign_sd < 1:
            raise ValueError(f"its campaign_sd is {predictor.campaign_sd}")
        predictor.names_ = [str(name) for name in record["names"]]
        model = BayesianLinear.from_record(record["model"])
        if len(model.coef_) != len(predictor.names_) + 1:
            raise ValueError("its coefficients do not match its feature names")
        if len(model.X_):
            predictor._set_model(model)
            return predictor
        predictor.model_, predictor.cv_mape_ = model, float(record["cv_mape"])
        predictor.scores_ = np.sort(np.array([float(score) for score in record["scores"]]))
        low, high = (float(value) for value in record["range_ms"])
        predictor.range_ms_ = (low, high)
        numbers = np.array([*predictor.scores_, predictor.cv_mape_, low, high])
        if not len(predictor.scores_) or not np.all((numbers >= 0) & (numbers <= LARGEST)) or not 0 < low <= high:
            raise ValueError("one of its numbers is negative or not finite")
        return predictor

    def _set_model(self, model: BayesianLinear) -> None:
        """Set the fitted model and the learned attributes that follow from it."""
        self.model_ = model
        self.range_ms_ = (float(model.y_.min()), float(model.y_.max()))
        left_out = self.bounded(model.left_out_)
        self.scores_ = conformal.scores(model.y_, left_out, model.left_out_spread_)
        self.cv_mape_ = float(np.mean(np.abs(left_out / model.y_ - 1)))

    def _features(self, graph: Sequence[Node]) -> dict[str, float]:
        return features(graph, self.cost_of or unit_cost)

    def _matrix(self, records: Sequence[dict[str, float]]) -> tuple[FloatArray, FloatArray]:
        """The features `(len(records), len(names_) + 1)`, the constant last, and `(len(records),)` standard deviations in
        milliseconds from features that were never seen in training: only the prior is known of their coefficients."""
        column = {name: index for index, name in enumerate(self.names_)}
        matrix, unseen = np.zeros((len(records), len(column) + 1)), np.zeros(len(records))
        matrix[:, -1] = 1.0
        for row, record in enumerate(records):
            for name, value in record.items():
                if name in column:
                    matrix[row, column[name]] = value
                elif hasattr(self, "model_"):
                    unseen[row] += (value * self.prior_spread(name)) ** 2
        return matrix, np.sqrt(unseen)


def read_costs(costs: Any) -> CostList | None:
    """The operators' latencies of a record, None if it has none; raises as `from_record` does if they are broken."""
    if costs is None:
        return None
    lookup = CostList({OpSpec.from_record(spec): float(ms) for spec, ms in costs})
    if not all(0 <= ms <= LARGEST for ms in lookup.costs.values()):
        raise ValueError("an operator's latency is negative, too large or not finite")
    return lookup


def _group(name: str) -> str:
    return name.split(" ", 1)[0]


def _model(names: Sequence[str]) -> BayesianLinear:
    """The regression on these features and the constant, not fitted."""
    groups = {
        group: Group(columns, start, fixed=group == "base")
        for group, start in GROUPS.items()
        if (columns := tuple(k for k, name in enumerate(names) if _group(name) == group))
    }
    mean = np.array([float(name == TOTAL) for name in names] + [0.0])
    return BayesianLinear(groups | {CONSTANT: Group((len(names),), CONSTANT_SPREAD, fixed=True)}, mean)
