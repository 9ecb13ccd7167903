"""Adapts a predictor of one environment to another, with a few networks measured there.

The sources are linear in features of the graph. The adapted predictor (`transfer.py`) is linear in them too, so it has exact
parts, tables and bounds like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import UsageError
from latlas.latency.predictor.features import CostList, CostOf, node_features, unit_cost
from latlas.latency.predictor.predictor import CONSTANT, LatencyPredictor, read_costs
from latlas.latency.predictor.regression import LARGEST, BayesianLinear, Group
from latlas.latency.predictor.transfer import MIN_SAMPLES, Columns, Transfer, freedom, quantile, relative
from latlas.spaces.graph import Node
from latlas.spaces.operators.spec import OpSpec

GROUP_STARTS = {"base": 0.1, "kind": 0.2, "place": 0.1, "spec": 0.05, "pair": 0.1, "meeting": 0.05}
"""Prior spreads of how far each group of features departs from the sources; learning begins from these."""
CONSTANT_START = 0.1
"""The prior spread of the constant, in milliseconds of the source."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources' coefficients on common features: `names` `(features,)`, and `coef` `(m, features + 1)`, the constants last."""

    names: tuple[str, ...]
    coef: tuple[tuple[float, ...], ...]

    @property
    def count(self) -> int:
        """How many sources there are."""
        return len(self.coef)

    def extended(self, names: Sequence[str]) -> Sources:
        """The same over more features. The sources say nothing about the added ones."""
        added = tuple(sorted(set(names) - set(self.names)))
        return Sources(self.names + added, tuple((*row[:-1], *(0.0 for _ in added), row[-1]) for row in self.coef))


def common_sources(predictors: Sequence[LatencyPredictor], specs: Sequence[OpSpec]) -> tuple[CostOf | None, Sources]:
    """The operators' costs that the adapted predictor uses, and the predictors' coefficients on features of these costs.

    A predictor with other costs is converted operator by operator, exactly for the `specs` of the space. Raises `UsageError`
    if there is no predictor, or if an operator's cost is 0: no factor can convert that.
    """
    if not predictors:
        raise UsageError("no predictor to adapt; give at least one")
    base = next((one for one in predictors if one.cost_of is not None), predictors[0])
    cost_of = base.cost_of or unit_cost
    names = {name for one in predictors for name in one.names_}
    if any(not _same_costs(one.cost_of, base.cost_of) for one in predictors):
        names |= {name for spec in specs for name in node_features(spec, 1.0) if name.startswith("spec ")}
    ordered = tuple(sorted(names))
    column = {name: index for index, name in enumerate(ordered)}
    rows = []
    for one in predictors:
        row = np.zeros(len(ordered) + 1)
        row[-1] = one.model_.coef_[-1]
        own = dict(zip(one.names_, one.model_.coef_[:-1].tolist(), strict=True))
        if _same_costs(one.cost_of, base.cost_of):
            for name, value in own.items():
                row[column[name]] = value
        else:
            _carry_over(row, column, own, one.cost_of or unit_cost, cost_of, specs)
        rows.append(tuple(row.tolist()))
    return base.cost_of, Sources(ordered, tuple(rows))


def _carry_over(
    row: FloatArray,
    column: Mapping[str, int],
    own: Mapping[str, float],
    its_cost: CostOf,
    cost_of: CostOf,
    specs: Sequence[OpSpec],
) -> None:
    """Fill a row of coefficients so that each operator gets the milliseconds that `own` gives it with its own costs."""
    for name, value in own.items():
        if name.startswith(("pair ", "meeting ")):
            row[column[name]] = value
    for spec in specs:
        ms = sum(own.get(name, 0.0) * value for name, value in node_features(spec, its_cost(spec)).items())
        cost = cost_of(spec)
        if cost <= 0:
            raise UsageError(
                f"{spec} has {cost} ms in a predictor's costs; predictors of several tables need more than 0"
            )
        row[column[f"spec {spec}"]] = ms / cost


def _same_costs(a: CostOf | None, b: CostOf | None) -> bool:
    return a is b or (isinstance(a, CostList) and isinstance(b, CostList) and a.costs == b.costs)


class AdaptedPredictor(LatencyPredictor):
    """Predicts milliseconds of graphs in an environment with few measurements, from `sources` in other environments.

    It has the learned attributes of `LatencyPredictor` and two more. `columns_` are the columns of the transfer. `freedom_` is
    the degrees of freedom that its few samples leave; its intervals allow for them.
    """

    kind: ClassVar[str] = "adapted"

    def __init__(self, cost_of: CostOf | None = None, campaign_sd: float = 0.0, sources: Sources | None = None) -> None:
        super().__init__(cost_of, campaign_sd)
        self.sources = sources

    def fit(
        self, X: Sequence[Sequence[Node]], y: Sequence[float], relative_sds: Sequence[float] | None = None
    ) -> AdaptedPredictor:
        """Learn from graphs measured in the new environment; raises `UsageError` for fewer than `MIN_SAMPLES`."""
        if len(X) != len(y) or len(X) < MIN_SAMPLES:
            raise UsageError(f"{len(X)} graphs and {len(y)} latencies; adapting needs at least {MIN_SAMPLES} of each")
        sources, matrix = self._extended(X)
        errors = None if relative_sds is None else np.asarray(relative_sds, dtype=float)
        groups = _groups(sources.names)
        transfer = Transfer(groups).fit(matrix @ np.array(sources.coef).T, matrix, y, errors)
        self.columns_, self._sources = transfer.columns_, sources
        self._set_model(_Projected(transfer.model_, projection(transfer.columns_, sources), transfer.columns_.unit))
        return self

    def updated(
        self, X: Sequence[Sequence[Node]], y: Sequence[float], relative_sds: Sequence[float] | None = None
    ) -> AdaptedPredictor:
        """A predictor that has learnt these samples too; the spreads of how far it departs from its sources stay the same."""
        inner = self._inner
        other = AdaptedPredictor(self.cost_of, self.campaign_sd, self._sources)
        other.names_ = self.names_
        other._sources, matrix = other._extended(X)
        other.columns_ = Columns(self.columns_.scale, self.columns_.unit, tuple(_groups(other.names_).items()))
        wide = projection(other.columns_, other._sources)
        before = np.zeros((len(inner.X_), len(wide.T)))
        known = inner.X_.shape[1] - 1
        before[:, :known], before[:, -1] = inner.X_[:, :known], inner.X_[:, -1]
        errors = np.zeros(len(y)) if relative_sds is None else np.asarray(relative_sds, dtype=float)
        groups, mean = other.columns_.prior()
        spreads = {name: inner.spreads_.get(name, group.start) for name, group in groups.items()}
        model = BayesianLinear(groups, mean).fit(
            np.concatenate([before, matrix @ wide]),
            np.concatenate([inner.y_, np.asarray(y, dtype=float)]),
            np.concatenate([inner.errors_, errors]),
            inner.spreads_ | spreads,
        )
        other._set_model(_Projected(model, wide, other.columns_.unit))
        return other

    def _quantile(self, confidence: float) -> float:
        """The half width of the interval over the spread; few samples make it wide."""
        return quantile(self.scores_, self.freedom_, confidence)

    def regression(self, graphs: Sequence[Sequence[Node]]) -> tuple[BayesianLinear, FloatArray]:
        """The regression behind the predictor, and the graphs' `relative` columns, as `transfer.expected_error` takes them."""
        matrix, _ = self._matrix([self._features(graph) for graph in graphs])
        return self._inner, relative(matrix @ projection(self.columns_, self._sources))

    def to_record(self) -> dict[str, Any]:
        """A record from which `from_record` makes the same predictor."""
        return super().to_record() | {
            "sources": [list(row) for row in self._sources.coef],
            "scale": list(self.columns_.scale),
            "unit": self.columns_.unit,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AdaptedPredictor:
        """The predictor of a record; raises `ValueError`, `KeyError`, `TypeError` or `UsageError` if it is no predictor's."""
        lookup = read_costs(record["costs"])
        names = tuple(str(name) for name in record["names"])
        sources = Sources(names, tuple(tuple(float(value) for value in row) for row in record["sources"]))
        scale, unit = tuple(float(value) for value in record["scale"]), float(record["unit"])
        if not sources.count or any(len(row) != len(names) + 1 for row in sources.coef) or len(scale) != sources.count:
            raise ValueError("its sources do not match its feature names and scales")
        if len(set(names)) != len(names):
            raise ValueError("a feature is named twice")
        if not np.all(np.abs(np.array(sources.coef)) <= LARGEST) or not all(1e-9 < v < 1e9 for v in (*scale, unit)):
            raise ValueError("one of its numbers is too small, too large or not finite")
        predictor = cls(lookup, float(record["campaign_sd"]), sources)
        if not 0 <= predictor.campaign_sd < 1:
            raise ValueError(f"its campaign_sd is {predictor.campaign_sd}")
        predictor.names_, predictor._sources = list(names), sources
        predictor.columns_ = Columns(scale, unit, tuple(_groups(names).items()))
        model, wide = BayesianLinear.from_record(record["model"]), projection(predictor.columns_, sources)
        if model.X_.shape[1] != wide.shape[1] or len(model.X_) < MIN_SAMPLES:
            raise ValueError("its samples do not match its sources and features")
        predictor._set_model(_Projected(model, wide, unit))
        return predictor

    @property
    def _inner(self) -> BayesianLinear:
        model = self.model_
        assert isinstance(model, _Projected)
        return model.inner

    def _set_model(self, model: BayesianLinear) -> None:
        super()._set_model(model)
        self.freedom_ = freedom(self._inner)

    def _extended(self, graphs: Sequence[Sequence[Node]]) -> tuple[Sources, FloatArray]:
        """The sources extended to these graphs' features, and the features `(n, features + 1)`; sets `names_`."""
        if self.sources is None:
            raise UsageError("an adapted predictor needs sources; make them with common_sources(...)")
        records = [self._features(graph) for graph in graphs]
        sources = self.sources.extended([name for record in records for name in record])
        self.names_ = list(sources.names)
        return sources, self._matrix(records)[0]


class _Projected(BayesianLinear):
    """A transfer's regression `inner` as a regression on the graph's own features, with their `coef_` and `covariance_`."""

    def __init__(self, inner: BayesianLinear, wide: FloatArray, unit: float) -> None:
        super().__init__(inner.groups, inner.mean)
        self.inner = inner
        self.X_, self.y_, self.errors_, self.noise_ = inner.X_, inner.y_, inner.errors_, inner.noise_
        self.left_out_, self.left_out_spread_ = inner.left_out_, inner.left_out_spread_
        self.coef_, self.covariance_ = wide @ inner.coef_, wide @ inner.covariance_ @ wide.T
        # Of a feature never seen only the prior is known, in milliseconds of the target.
        self.spreads_ = {k: v * (unit if k in GROUP_STARTS else 1.0) for k, v in inner.spreads_.items()}

    def to_record(self) -> dict[str, Any]:
        return self.inner.to_record()


def projection(columns: Columns, sources: Sources) -> FloatArray:
    """The matrix `(features + 1, columns)` that maps a graph's features and constant to the transfer's columns."""
    identity = np.eye(len(sources.names) + 1)
    return columns.matrix(np.array(sources.coef).T, identity)


def _groups(names: Sequence[str]) -> dict[str, Group]:
    found = {
        group: Group(columns, start)
        for group, start in GROUP_STARTS.items()
        if (columns := tuple(k for k, name in enumerate(names) if name.split(" ", 1)[0] == group))
    }
    return found | {CONSTANT: Group((len(names),), CONSTANT_START)}
