"""A search led by predicted quality: it scores few networks, predicts thousands, and scores the best of these.

This is Once-for-All's method (Cai et al. 2020, arXiv 1908.09791), within the budget. The networks to learn from are drawn under
the same constraint as those to search, so that the predictor learns from networks like the ones it predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.search.accuracy.models import KINDS, LEAST_VALIDATED, CrossValidated, MLPAccuracy, RidgeAccuracy
from latlas.search.accuracy.rounds import Round, search_predicted
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.strategies.loop import MAX_DRAWS_AN_EVALUATION, History, Listed, joined, run_search
from latlas.search.strategies.strategy import Strategy
from latlas.spaces.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class AccuracySearchConfig:
    """How many networks are scored, and how many are predicted.

    First `learn` networks are drawn at random within the budget and scored, to learn from. Then, in each of `rounds`, a strategy
    runs for `predicted` evaluations over the predictor; the best `scored // rounds` of its networks are scored, and later rounds
    learn from them too. Out of `kinds`, the kind of predictor that ranks left-out networks best is used.
    """

    learn: int = 100
    scored: int = 30
    rounds: int = 3
    predicted: int = 2000
    seed: int = 0
    kinds: tuple[str, ...] = tuple(KINDS)

    def __post_init__(self) -> None:
        for name, least in (("learn", LEAST_VALIDATED), ("rounds", 1), ("scored", self.rounds), ("predicted", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(slots=True)
class AccuracySearch:
    """What such a search did. `history` has the scored networks; the first `learnt_from` of them were drawn to learn from.

    `validated` has an entry for each round; it is empty if too few networks within the budget were found to learn from.
    `predictor` is the last round's. `asked` is the number of networks that were predicted.
    """

    history: History
    predictor: RidgeAccuracy | MLPAccuracy | None = None
    validated: list[list[CrossValidated]] = field(default_factory=list)
    asked: int = 0
    learnt_from: int = 0


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
    keep: Callable[[int, Callable[[], Round]], Round] = lambda index, find: find(),
) -> AccuracySearch:
    """Score `config.learn` random feasible networks, then `config.scored` networks of high predicted quality.

    The search over the predictor measures nothing. It stays among the networks that the constraint predicts to be within the
    budget. The best of these go through the constraint like any other suggestion, and are measured if it asks for it.

    Args:
        drawing: Suggests the networks to learn from; a random strategy.
        searching: Makes a new strategy for so many evaluations; called once per round.
        constraint: Decides which networks may be scored.
        evaluate: Gives a network's score, from the supernet.
        space: The space of the architectures.
        config: How many networks are scored and predicted.
        start: Networks to begin with, as in `run_search`. The search over the predictor starts from them too.
        floor_ms: As in `run_search`.
        on_candidate: Called after each scored network, with all of them so far.
        stop: Called after each scored network and between the parts; True ends the search.
        max_draws, clock: As in `run_search`.
        keep: Gets a round's number and a function that computes the round; returns the round, from a record if there is one.
            A round has no effect besides its result.

    Raises `InfeasibleBudgetError` if the first part finds nothing.
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

    # The networks to learn from need not be the best, so half of the measurements are saved for the rounds.
    allowed = constraint.max_measurements
    constraint.max_measurements = allowed // 2
    try:
        scored(drawing, config.learn, start=start, floor_ms=floor_ms)
    finally:
        constraint.max_measurements = allowed
    found.learnt_from = len(found.history.candidates)
    if stop() or found.learnt_from < LEAST_VALIDATED:
        return found
    for index in range(config.rounds):
        ended = keep(
            index,
            lambda: search_predicted(
                searching,
                constraint,
                found.history,
                space,
                config.predicted,
                config.kinds,
                config.seed,
                start,
                floor_ms,
            ),
        )
        found.predictor, found.asked = ended.predictor, found.asked + ended.asked
        found.validated.append(ended.validated)
        share = config.scored * (index + 1) // config.rounds - config.scored * index // config.rounds
        if ended.listed and not stop():
            try:
                scored(Listed(ended.listed), share)
            except InfeasibleBudgetError:  # all networks predicted within the budget were measured above it
                continue
        if stop():
            break
    return found
