"""What a space's networks are predicted to take: the fastest, the slowest, and how many are within a budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latlas.latency.compiled import CompiledPredictor
from latlas.latency.errors import UsageError
from latlas.latency.predictor import LatencyPredictor, Prediction
from latlas.search.feasible import MAX_ENUMERATED, Additive, Codes, FloatArray, Share, extreme, extreme_of, share_within
from latlas.supernet.space import Architecture, SearchSpace

MAX_GRAPHS = 20_000
"""Networks that are predicted from their graphs, one by one, to find the fastest and the slowest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The fastest and the slowest network of a space by a predictor, in its milliseconds.

    `how` they were found is `exact`, `enumerated` or `descent`; see `feasible.Extreme`.
    """

    fastest: Architecture
    fastest_ms: Prediction
    slowest: Architecture
    slowest_ms: Prediction
    how: str


def limits_of(predictor: LatencyPredictor, space: SearchSpace, confidence: float = 0.95) -> Limits:
    """The limits of a space.

    By dynamic programming where the predictor can be compiled for the space; else by predicting all networks where they are
    few; else by coordinate descent, which is not sure to find them.
    """
    terms = additive(predictor, space)
    if terms is not None:
        fastest, slowest = (extreme(terms, sign) for sign in (1, -1))
    else:

        def evaluate(codes: Codes) -> FloatArray:
            return np.asarray(predictor.predict([one.graph() for one in space.decode(codes)]))

        sizes = [len(options) for options in space.choices]
        fastest, slowest = (extreme_of(evaluate, sizes, sign, min(MAX_GRAPHS, MAX_ENUMERATED)) for sign in (1, -1))
    both = space.decode(np.array([fastest.codes, slowest.codes]))
    bounds = predictor.predict_interval([one.graph() for one in both], confidence)
    return Limits(both[0], bounds[0], both[1], bounds[1], fastest.how)


def feasible_share(predictor: LatencyPredictor, space: SearchSpace, budget_ms: float) -> Share | None:
    """Which share of a space's networks is predicted within a budget in the predictor's milliseconds; None where none can be
    counted, as the predictor is no sum over the space's layers."""
    terms = additive(predictor, space)
    return None if terms is None else share_within(terms, budget_ms)


def additive(predictor: LatencyPredictor, space: SearchSpace) -> Additive | None:
    """The predictor as a sum over the space's layers and pairs of them; None where it is none, or too wide a one."""
    try:
        compiled = CompiledPredictor(predictor, space.template())
        terms = Additive(compiled.constant, compiled.unary, compiled.pairwise)
        extreme(terms)
    except UsageError:
        return None
    return terms
