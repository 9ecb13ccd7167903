"""The fastest and the slowest network of a space, as a predictor has them."""

from __future__ import annotations

import logging

from latlas.latency.compiled import CompiledPredictor
from latlas.latency.errors import InfeasibleBudgetError, UsageError
from latlas.latency.predictor import LatencyPredictor
from latlas.search.feasible import Additive, Codes, Extreme, FloatArray, extreme, extreme_of
from latlas.supernet.space import SearchSpace

log = logging.getLogger(__name__)

FASTER_MACHINE = 1.25
"""How much faster than in a predictor's session a machine may be now; a budget below even that is refused unmeasured."""
SURE = 0.99


def extremes(predictor: LatencyPredictor, space: SearchSpace) -> tuple[Extreme, Extreme]:
    """The fastest and the slowest: exactly, by dynamic programming, where the predictor can be compiled for the space.

    Else every network is predicted where they are few, or one layer at a time is changed for the better; `how` says which.
    """
    try:
        compiled = CompiledPredictor(predictor, space.template())
        terms = Additive(compiled.constant, compiled.unary, compiled.pairwise)
        return extreme(terms), extreme(terms, -1)
    except UsageError as error:
        log.info("the extremes of %s are looked for one layer at a time: %s", space.text, error)

    def evaluate(codes: Codes) -> FloatArray:
        return predictor.predict([one.graph() for one in space.decode(codes)])

    sizes = [len(options) for options in space.choices]
    # Graphs are slow to predict: only spaces of some ten thousand networks are predicted whole.
    fastest, slowest = (extreme_of(evaluate, sizes, sign, at_most=20_000) for sign in (1, -1))
    return fastest, slowest


def require_possible(predictor: LatencyPredictor, space: SearchSpace, budget_ms: float) -> None:
    """Raises `InfeasibleBudgetError`, with the fastest and the slowest, for a budget that no network can hold by far.

    Nothing is measured for that; a budget near the fastest network is decided by measuring it.
    """
    fastest, slowest = extremes(predictor, space)
    architecture = space.decode([fastest.codes])[0]
    (bounds,) = predictor.predict_interval([architecture.graph()], SURE)
    if budget_ms * FASTER_MACHINE < bounds.lower_ms:
        between = f"({bounds.lower_ms:.3f} to {bounds.upper_ms:.3f})"
        raise InfeasibleBudgetError(
            f"no network of {space.text} is within {budget_ms:.3f} ms: the fastest, {architecture}, is predicted to take "
            f"{fastest.latency_ms:.3f} ms {between}, the slowest {slowest.latency_ms:.3f} ms; "
            "raise the budget, or search a leaner space"
        )
