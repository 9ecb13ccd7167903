"""A search led by predicted quality: few networks are scored, a strategy asks the predictor for thousands, the best are scored.

Once-for-All's way (Cai et al. 2020, arXiv 1908.09791), within the budget: what is learnt from is drawn under the same
constraint as what is searched, so that the predictor knows the networks that it is asked for.
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
    """How many networks are scored, and how long the predictor is asked.

    `learn` are scored to learn from, drawn at random within the budget; then in each of `rounds` a strategy runs for
    `predicted` evaluations over the predictor. The best `scored // rounds` of them are scored, and learnt too. The search
    asks the one of the `kinds` of predictor that ranks left-out networks best.
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
    """What such a search did: `history` is of scored networks alone, the first `learnt_from` of it drawn to learn from.

    `validated` has each round's, and is empty where too few networks were within the budget to learn from; `predictor` is the
    last round's; `asked` is how many networks predictors answered for.
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
    """Score `config.learn + config.scored` feasible networks, the latter chosen by predicted quality.

    The search over the predictor measures nothing: it holds what the constraint predicts to be within the budget.
    What it finds best goes through the constraint as any other suggestion does, and is measured where that asks for it.

    Args:
        drawing: suggests what is learnt from; random.
        searching: a strategy, sized for so many evaluations, that has seen nothing; made once a round.
        constraint: decides what may be scored.
        evaluate: the score of a network, from the supernet.
        space: the architectures'.
        config: see there.
        start: as of `run_search`, in the first part; the predictor's search also starts from it.
        floor_ms: as of `run_search`.
        on_candidate: told after each scored network, with all so far.
        stop: asked after each scored network and between the parts.
        max_draws, clock: as of `run_search`.
        keep: given a round's number and what computes it, gives that round: from a record, where there is one. All that a
            round changes elsewhere is in what it returns.

    Raises `InfeasibleBudgetError` where the first part finds nothing.
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
            except InfeasibleBudgetError:  # all that prediction let through was above the budget when measured
                continue
        if stop():
            break
    return found
