"""A round of a search by predicted quality: it learns from the scored networks, then searches over the prediction within the
budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latlas.arrays import FloatArray
from latlas.errors import InfeasibleBudgetError
from latlas.files import signals as interrupt
from latlas.search.accuracy.models import KINDS, CrossValidated, MLPAccuracy, RidgeAccuracy, best_accuracy
from latlas.search.constraint.constraint import HasGraph, LatencyConstraint, Verdict
from latlas.search.strategies.loop import History, run_search
from latlas.search.strategies.strategy import Strategy
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture

MOST_LISTED = 500
"""A round hands at most so many networks, those of best predicted quality, to the constraint."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round learnt and found.

    `validated` says how well each kind of predictor did on left-out networks, the best first. `asked` is the number of networks
    that the best kind predicted. `listed` are the best `MOST_LISTED` of them that are not scored yet, best first. `predictor`
    is the fitted predictor of the best kind; None in a round that was read from a record.
    """

    validated: list[CrossValidated]
    asked: int
    listed: list[Architecture]
    predictor: RidgeAccuracy | MLPAccuracy | None = None

    def to_record(self) -> dict[str, Any]:
        """The round as JSON values, without the predictor."""
        validated, listed = [one.to_record() for one in self.validated], [str(one) for one in self.listed]
        return {"validated": validated, "asked": self.asked, "listed": listed}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], space: SearchSpace) -> Round:
        """The value that `to_record` wrote; raises `KeyError`, `TypeError` or `ValueError` for others."""
        validated = [CrossValidated.from_record(one) for one in record["validated"]]
        if not validated or len(record["listed"]) > MOST_LISTED:
            raise ValueError(f"{len(validated)} kinds of predictor, {len(record['listed'])} networks")
        return cls(validated, int(record["asked"]), [parse_architecture(str(one), space) for one in record["listed"]])


def search_predicted(
    searching: Callable[[int], Strategy],
    constraint: LatencyConstraint,
    history: History,
    space: SearchSpace,
    evaluations: int,
    kinds: Sequence[str] = tuple(KINDS),
    seed: int = 0,
    start: tuple[Architecture, ...] = (),
    floor_ms: float = 0.0,
) -> Round:
    """Learn quality from a history, and search over the prediction with a new strategy, `searching(evaluations)`.

    It uses the kind of predictor, out of `kinds`, that ranks left-out networks best. Other arguments are the same as for
    `predicted_best`.
    """
    known = {one.architecture: one.quality for one in history.candidates}
    sizes = [len(options) for options in space.choices]
    codes = space.encode(list(known))
    predictor, validated = best_accuracy(sizes, codes, list(known.values()), seed=seed, kinds=kinds)
    try:
        ranked = predicted_best(searching(evaluations), constraint, predictor, space, evaluations, start, floor_ms)
    except InfeasibleBudgetError:  # nothing is predicted within the budget, although known networks were measured to be
        ranked = []
    # Networks that are scored already must not take the places of new ones.
    new = [one for one in ranked if one not in known]
    return Round(validated, len(ranked), new[:MOST_LISTED], predictor)


def predicted_best(
    strategy: Strategy,
    constraint: LatencyConstraint,
    predictor: RidgeAccuracy | MLPAccuracy,
    space: SearchSpace,
    evaluations: int,
    start: tuple[Architecture, ...] = (),
    floor_ms: float = 0.0,
) -> list[Architecture]:
    """The networks a strategy finds by predicted quality, among those predicted to be within the budget, best first."""

    def evaluate(architecture: Architecture) -> float:
        interrupt.check()
        return float(predictor.predict(space.encode([architecture]))[0])

    history = run_search(
        strategy,
        _Predicted(constraint),  # type: ignore[arg-type]  # it has all that the loop needs of a constraint
        evaluate,
        evaluations,
        start=start,
        floor_ms=floor_ms,
        batch=32,
    )
    return [one.architecture for one in history.ranked()]


@dataclass(frozen=True, slots=True)
class _Predicted:
    """The constraint without measuring or counting: it decides by predictions, and by measurements that exist already."""

    constraint: LatencyConstraint

    @property
    def budget_ms(self) -> float:
        return self.constraint.budget_ms

    def bounds(self, architectures: Sequence[HasGraph]) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.constraint.bounds(architectures)

    def check_all(self, architectures: Sequence[HasGraph]) -> list[Verdict]:
        rows = zip(*self.constraint.bounds(architectures), strict=True)
        verdicts = [
            Verdict(bool(ms <= self.budget_ms), float(ms), float(low), float(high), False) for ms, low, high in rows
        ]
        tested = [self.constraint.tested(one) for one in architectures]
        return [
            replace(verdict, feasible=one.measured.upper_ms <= self.budget_ms) if one is not None else verdict
            for verdict, one in zip(verdicts, tested, strict=True)
        ]
