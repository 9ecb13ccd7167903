"""A search led by predicted quality: few networks are scored, a strategy asks the predictor for thousands, the best are scored.

Once-for-All's way (Cai et al. 2020, arXiv 1908.09791), within the budget: what is learnt from is drawn under the same
constraint as what is searched, so that the predictor knows the networks that it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import numpy.typing as npt

from latlas.latency.errors import InfeasibleBudgetError, UsageError
from latlas.search.accuracy import KINDS, LEAST_SAMPLES, CrossValidated, MLPAccuracy, RidgeAccuracy, best_accuracy
from latlas.search.constraint import HasGraph, LatencyConstraint, Verdict
from latlas.search.loop import MAX_DRAWS_AN_EVALUATION, History, run_search
from latlas.search.strategy import Evaluation, Strategy
from latlas.supernet.space import Architecture, SearchSpace

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AccuracySearchConfig:
    """How many networks are scored, and how long the predictor is asked.

    `learn` are scored to learn from, drawn at random within the budget; then in each of `rounds` a strategy runs for
    `predicted` evaluations over the predictor, of which the best `scored // rounds` are scored, and learnt too. Of the
    `kinds` of predictor the one is asked that ranks left-out networks best.
    """

    learn: int = 100
    scored: int = 30
    rounds: int = 3
    predicted: int = 2000
    seed: int = 0
    kinds: tuple[str, ...] = tuple(KINDS)

    def __post_init__(self) -> None:
        for name, least in (("learn", LEAST_SAMPLES), ("rounds", 1), ("scored", self.rounds), ("predicted", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(slots=True)
class AccuracySearch:
    """What such a search did: `history` is of scored networks alone.

    `validated` has for each round how each kind of predictor did on networks left out, the best first; `asked` is how many
    networks the predictor answered for.
    """

    history: History
    predictor: RidgeAccuracy | MLPAccuracy | None = None
    validated: list[list[CrossValidated]] = field(default_factory=list)
    asked: int = 0


def accuracy_search(
    drawing: Strategy,
    searching: Callable[[int], Strategy],
    constraint: LatencyConstraint,
    evaluate: Callable[[Architecture], float],
    space: SearchSpace,
    config: AccuracySearchConfig,
    *,
    start: tuple[Architecture, ...] = (),
    floor_ms: float = 0.0,
    on_candidate: Callable[[History], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    max_draws: int = MAX_DRAWS_AN_EVALUATION,
    clock: Callable[[], float] = lambda: 0.0,
) -> AccuracySearch:
    """Score `config.learn + config.scored` feasible networks, the latter chosen by predicted quality.

    The search over the predictor measures nothing: it holds what the constraint predicts to be within the budget.
    What it finds best goes through the constraint as any other suggestion does, and is measured where that asks for it.

    Args:
        drawing: suggests what is learnt from; random.
        searching: a strategy, sized for so many evaluations, that has seen nothing; made once a round.
        constraint: the one judge of what is scored.
        evaluate: the score of a network, from the supernet.
        space: the architectures'.
        config: see there.
        start: as of `run_search`, in the first part; the predictor's search also starts from it.
        floor_ms: as of `run_search`.
        on_candidate: told after each scored network, with all so far.
        stop: asked after each scored network and between the parts.
        max_draws, clock: as of `run_search`.

    Raises `InfeasibleBudgetError` where the first part finds nothing, `UsageError` where it finds fewer than a predictor
    can be learnt from.
    """
    found = AccuracySearch(History())

    def scored(strategy: Strategy, count: int, **options: object) -> None:
        before = found.history

        def tell(now: History) -> None:
            found.history = joined(before, now)
            if on_candidate is not None:
                on_candidate(found.history)

        done = run_search(
            strategy,
            constraint,
            evaluate,
            count,
            on_candidate=tell,
            stop=stop,
            max_draws=max_draws,
            clock=clock,
            **options,  # type: ignore[arg-type]
        )
        found.history = joined(before, done)

    # What is learnt from need not be the best: half of the measurements are kept for what will be.
    allowed = constraint.max_measurements
    constraint.max_measurements = allowed // 2
    try:
        scored(drawing, config.learn, start=start, floor_ms=floor_ms)
    finally:
        constraint.max_measurements = allowed
    if stop():
        return found
    for index in range(config.rounds):
        known = {one.architecture: one.quality for one in found.history.candidates}
        codes = space.encode(list(known))
        sizes = [len(options) for options in space.choices]
        predictor, validated = best_accuracy(sizes, codes, list(known.values()), seed=config.seed, kinds=config.kinds)
        found.predictor = predictor
        found.validated.append(validated)
        share = config.scored * (index + 1) // config.rounds - config.scored * index // config.rounds
        # What the predictor does not know is what it is asked for, so known networks may not fill the places.
        ranked = predicted_best(
            searching(config.predicted), constraint, predictor, space, config.predicted, start, floor_ms
        )
        found.asked += len(ranked)
        new = [one for one in ranked if one not in known]
        if new and not stop():
            try:
                scored(_Listed(new), share)
            except InfeasibleBudgetError:  # all that prediction let through was above the budget when measured
                continue
        if stop():
            break
    return found


def predicted_best(
    strategy: Strategy,
    constraint: LatencyConstraint,
    predictor: RidgeAccuracy | MLPAccuracy,
    space: SearchSpace,
    evaluations: int,
    start: tuple[Architecture, ...] = (),
    floor_ms: float = 0.0,
) -> list[Architecture]:
    """What a strategy finds over predicted quality among what is predicted to be within the budget, the best first."""

    def evaluate(architecture: Architecture) -> float:
        return float(predictor.predict(space.encode([architecture]))[0])

    history = run_search(
        strategy,
        _Predicted(constraint),  # type: ignore[arg-type]  # what the loop asks of a constraint, it has
        evaluate,
        evaluations,
        start=start,
        floor_ms=floor_ms,
        batch=32,
    )
    return [one.architecture for one in history.ranked()]


def joined(*histories: History) -> History:
    """The histories one after another as one: lists in a row, counts added."""
    total = History()
    for one in fields(History):
        values = [getattr(history, one.name) for history in histories]
        setattr(total, one.name, sum(values, [] if isinstance(getattr(total, one.name), list) else 0))
    return total


@dataclass(frozen=True, slots=True)
class _Predicted:
    """The constraint by its predictions alone: it measures nothing, counts nothing, and knows what was measured."""

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


@dataclass
class _Listed:
    """Suggests architectures in their order, each once."""

    left: list[Architecture]
    name: str = "listed"

    def suggest(self, count: int) -> list[Architecture]:
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Nothing to learn."""
