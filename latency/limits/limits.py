"""The predicted limits of a space: its fastest network, its slowest, and how many networks are within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from latlas.arrays import Codes, FloatArray
from latlas.errors import UsageError
from latlas.latency.limits.additive import (
    MAX_ENUMERATED,
    Additive,
    Counted,
    Histogram,
    Share,
    extreme,
    extreme_of,
)
from latlas.latency.limits.cells import cell_terms, joint_counted, joint_extreme, joint_terms
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.predictor import LatencyPredictor, Prediction
from latlas.latency.predictor.predicts import Predicts
from latlas.spaces.cell import CellPart, names_of
from latlas.spaces.space import Architecture, SearchSpace

MAX_GRAPHS = 20_000
"""At most this many networks are predicted from their graphs, one by one, to find the fastest and the slowest."""


SHARES = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Shares of a space's networks. For each, `Budgets` states the latency that this share of the networks keeps."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The fastest and the slowest network of a space by a predictor, in its milliseconds.

    `how` says how they were found: `exact`, `enumerated` or `descent`; see `additive.Extreme`.
    """

    fastest: Architecture
    fastest_ms: Prediction
    slowest: Architecture
    slowest_ms: Prediction
    how: str


def limits_of(predictor: LatencyPredictor, space: SearchSpace, confidence: float = 0.95) -> Limits:
    """The limits of a space.

    Dynamic programming finds them if the predictor can be compiled for the space, or if its networks are trees of branches.
    Otherwise all networks are predicted if they are few. Coordinate descent is left, which may miss them.
    """
    return space.limits(_Ends(predictor, confidence))


@dataclass(frozen=True, slots=True)
class _Ends:
    """A `spaces.space.Solver` that finds the fastest and the slowest network."""

    predictor: LatencyPredictor
    confidence: float

    def of_columns(self, space: SearchSpace) -> Limits:
        terms = additive(self.predictor, space)
        if terms is not None:
            fastest, slowest = (extreme(terms, sign) for sign in (1, -1))
        else:

            def evaluate(codes: Codes) -> FloatArray:
                return np.asarray(self.predictor.latency_ms([one.graph() for one in space.decode(codes)]))

            sizes = [len(options) for options in space.choices]
            most = min(MAX_GRAPHS, MAX_ENUMERATED)
            fastest, slowest = (extreme_of(evaluate, sizes, sign, most) for sign in (1, -1))
        both = space.decode(np.array([fastest.codes, slowest.codes]))
        return _limits(self.predictor, both, fastest.how, self.confidence)

    def of_cell(self, space: SearchSpace, cell: CellPart) -> Limits:
        terms = cell_terms(self.predictor, space, cell)
        both = [space.architecture(names_of(terms.extreme(sign))).canonical() for sign in (1, -1)]
        return _limits(self.predictor, both, "exact", self.confidence)

    def of_columns_and_cell(self, space: SearchSpace, cell: CellPart) -> Limits:
        terms = joint_terms(self.predictor, space, cell)
        both = [joint_extreme(*terms, space, sign) for sign in (1, -1)]
        return _limits(self.predictor, both, "exact", self.confidence)


def _limits(predictor: LatencyPredictor, both: Sequence[Architecture], how: str, confidence: float) -> Limits:
    bounds = predictor.predict_interval([one.graph() for one in both], confidence)
    return Limits(both[0], bounds[0], both[1], bounds[1], how)


def feasible_share(predictor: LatencyPredictor, space: SearchSpace, budget_ms: float) -> Share | None:
    """The share of a space's networks that is predicted within a budget, in the predictor's milliseconds. None if they cannot
    be counted, because the predictor is no sum over the space's layers."""
    counted = _counted(predictor, space)
    return None if counted is None else counted.share(budget_ms)


def share_record(predictor: Predicts, space: SearchSpace, budget_ms: float) -> dict[str, float] | None:
    """`feasible_share` of any predictor as a record for JSON; `share_text` makes a text of it."""
    share = feasible_share(predictor, space, budget_ms) if isinstance(predictor, LatencyPredictor) else None
    return None if share is None else {"lower": share.lower, "upper": share.upper, "networks": float(space.size)}


def share_text(record: Mapping[str, float] | None) -> str:
    """A `share_record` as text: `12 % of the space's 6.8 x 10^11 networks`; empty for None."""
    if record is None:
        return ""
    networks, (lower, upper) = record["networks"], (record[name] for name in ("lower", "upper"))
    if lower >= 1:
        share = "all"
    elif upper <= 0:
        share = "none"
    elif lower > 0.999:
        share = "more than 99.9 %"
    else:
        texts = [_percent_text(value) for value in (lower, upper)]
        share = f"{' to '.join(dict.fromkeys(texts))} %"
    return f"{share} of the space's {_count_text(networks)} networks"


def _percent_text(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 1e-4:
        return _count_text(percent)
    return f"{percent:.1f}" if percent >= 99 else f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"


def _count_text(value: float) -> str:
    """`100`, `12,500`, `6.8 x 10^11`, `2.3 x 10^-7`."""
    if 1 <= value < 1e6:
        return f"{value:,.0f}"
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits} x 10^{int(exponent)}"


@dataclass(frozen=True, slots=True)
class Budgets:
    """What a space's networks are predicted to take, in the predictor's milliseconds."""

    fastest_ms: float
    slowest_ms: float
    within: tuple[tuple[float, float], ...]
    """`(share, milliseconds)` for each of `SHARES`: this share of the networks takes at most these milliseconds."""


def budgets_of(predictor: LatencyPredictor, space: SearchSpace) -> Budgets | None:
    """The fastest and the slowest network and the budgets between them; None if the networks cannot be counted."""
    counted = _counted(predictor, space)
    if counted is None:
        return None
    return Budgets(counted.fastest_ms, counted.slowest_ms, tuple((share, counted.quantile(share)) for share in SHARES))


def _counted(predictor: LatencyPredictor, space: SearchSpace) -> Histogram | None:
    return space.limits(_Counts(predictor))


@dataclass(frozen=True, slots=True)
class _Counts:
    """A `spaces.space.Solver` that counts how many networks take how long; None if they cannot be counted."""

    predictor: LatencyPredictor

    def of_columns(self, space: SearchSpace) -> Histogram | None:
        terms = additive(self.predictor, space)
        return None if terms is None else Counted(terms)

    def of_cell(self, space: SearchSpace, cell: CellPart) -> Histogram | None:
        return cell_terms(self.predictor, space, cell).counted()

    def of_columns_and_cell(self, space: SearchSpace, cell: CellPart) -> Histogram | None:
        terms, cells = joint_terms(self.predictor, space, cell)
        ends = [joint_extreme(terms, cells, space, sign).graph() for sign in (1, -1)]
        fastest_ms, slowest_ms = self.predictor.latency_ms(ends)
        return joint_counted(terms, cells, (float(fastest_ms), float(slowest_ms)))


def additive(predictor: LatencyPredictor, space: SearchSpace) -> Additive | None:
    """The predictor as a sum over the space's layers and pairs of layers; None if it is no such sum or needs too many terms."""
    try:
        compiled = CompiledPredictor(predictor, space.template())
        terms = Additive(compiled.constant, compiled.unary, compiled.pairwise)
        extreme(terms)
    except UsageError:
        return None
    return terms
