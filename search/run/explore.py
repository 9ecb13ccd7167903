"""The exploring part of a search: opens the session, scores candidates under the constraint, and confirms the finalists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latlas.latency.limits.additive import Additive
from latlas.latency.limits.limits import additive
from latlas.search.accuracy.search import AccuracySearch
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.report.history import HistoryFile
from latlas.search.run.accuracy_phase import search_by_prediction
from latlas.search.run.finalists import confirm_finalists
from latlas.search.run.folder import HISTORY
from latlas.search.run.front import measured_front
from latlas.search.run.gradient_phase import TrainedDistribution, train_distribution
from latlas.search.run.search_run import SearchRun
from latlas.search.run.session import Landmarks, Session, open_session
from latlas.search.run.shared import RecordedSuggestions, Shared, take_shared
from latlas.search.strategies.loop import Candidate, History, LoopOptions, run_search
from latlas.search.strategies.strategy import Strategy, StrategyContext


@dataclass(frozen=True, slots=True)
class Explored:
    """The result of the exploration.

    `finalists` kept the budget when they were measured anew, best first. `front` has the networks of a front search, the fastest
    first. `accuracy`, `gradient` and `shared` are set if quality was predicted, a distribution trained, or a study shared.
    """

    constraint: LatencyConstraint
    session: Session
    landmarks: Landmarks
    history: History
    finalists: list[Candidate]
    file: HistoryFile
    front: list[Candidate]
    accuracy: AccuracySearch | None
    gradient: TrainedDistribution | None
    shared: Shared | None


def explore(run: SearchRun) -> Explored:
    """Search for candidates and confirm the finalists. With `config.alternating`, the run's supernet is trained in place.

    Raises `InfeasibleBudgetError` for an impossible budget, before anything is scored, and `LatlasError` if no candidate keeps
    the budget when measured.
    """
    config, journal = run.config, run.journal
    scorer = run.task.scoring.scorer(run)
    constraint, session, landmarks = open_session(run)
    began_s = journal.seconds()
    terms = _in_session(additive(run.saved.predictor, run.space), constraint.scale)
    gradient = train_distribution(run, constraint, terms)
    context = StrategyContext(
        terms,
        constraint.budget_ms,
        gradient.distribution if gradient else None,
        config.storage,
        config.study,
        config.near_share,
    )
    file = HistoryFile(run.folder.path / HISTORY, config.strategy, constraint.budget_ms)

    def on_candidate(history: History) -> None:
        file.update(history, write=not journal.replaying)
        run.listener.on_candidate(history, constraint)

    options = LoopOptions(
        start=(landmarks.fastest_architecture,),
        # For a front no network is too fast.
        floor_ms=0.0 if config.front else config.min_use * min(constraint.budget_ms, landmarks.slowest_ms),
        on_candidate=on_candidate,
        stop=lambda: journal.over("search", config.time_limit_s, began_s),
        clock=journal.seconds,
    )
    accuracy: AccuracySearch | None = None
    if config.accuracy_predictor:
        accuracy = search_by_prediction(run, constraint, context, scorer.score, options)
        history = accuracy.history
    else:
        history = run_search(_strategy(run, context), constraint, scorer.score, config.evaluations, **options)
    shared: Shared | None = None
    if config.storage is not None:
        history, shared = take_shared(run, constraint, context, scorer.score, history, options)
    file.update(history, write=False)
    comparable = scorer.comparable(history)
    front = measured_front(comparable, constraint, session, run.note) if config.front else []
    file.add("front", front, journal.seconds())
    finalists = confirm_finalists(comparable, constraint, session, config.finalists, config.min_use, run.note)
    file.add("finalist", finalists, journal.seconds())
    return Explored(constraint, session, landmarks, history, finalists, file, front, accuracy, gradient, shared)


def _strategy(run: SearchRun, context: StrategyContext) -> Strategy:
    """The configured strategy, with its context.

    Suggestions that the seed alone does not decide are recorded: those of a shared study, and of a strategy the caller made.
    """
    config, strategy = run.config, run.task.strategy
    if strategy is None:
        rng = np.random.default_rng(config.seed)
        strategy = make_strategy(config.strategy, run.space, rng, config.evaluations, context=context)
        if config.storage is None:
            return strategy
    return RecordedSuggestions(strategy, run.journal, run.space)


def _in_session(terms: Additive | None, scale: float) -> Additive | None:
    """The predictor's terms, scaled to the session's milliseconds."""
    if terms is None:
        return None
    pairwise = {pair: table * scale for pair, table in terms.pairwise.items()}
    return Additive(terms.constant * scale, [column * scale for column in terms.unary], pairwise)
