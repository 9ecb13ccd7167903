"""The part of a search that chooses: the session is opened, candidates are scored under the constraint, finalists elected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latlas.latency.limits.additive import Additive
from latlas.latency.limits.limits import additive
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.search.accuracy.search import AccuracySearch
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.report.history import HistoryFile
from latlas.search.run.campaigns import Campaigns
from latlas.search.run.folder import HISTORY, RunFolder
from latlas.search.run.front import measured_front
from latlas.search.run.journal import RunJournal
from latlas.search.run.listener import Listener
from latlas.search.run.phases import TrainedDistribution, search_by_prediction, train_distribution
from latlas.search.run.prepare import Prepared
from latlas.search.run.proxy import ProxyTask
from latlas.search.run.score import make_scorer, require_supernet
from latlas.search.run.session import Anchors, Session, elect, open_session
from latlas.search.run.shared import RecordedSuggestions, Shared, take_shared
from latlas.search.strategies.loop import Candidate, History, LoopOptions, run_search
from latlas.search.strategies.names import REGISTRY
from latlas.search.strategies.strategy import Strategy, StrategyContext
from latlas.spaces.space import SearchSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.networks.network import Supernet
from latlas.supernet.operators.build import timing_operator


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found: the candidates, and the finalists that held the budget when measured anew, best first; where a front
    was looked for, what is on it, the fastest first.

    Where quality was predicted, a distribution trained, or a study shared: how that went.
    """

    constraint: LatencyConstraint
    session: Session
    anchors: Anchors
    history: History
    finalists: list[Candidate]
    file: HistoryFile
    front: list[Candidate]
    accuracy: AccuracySearch | None
    gradient: TrainedDistribution | None
    shared: Shared | None


def explore(
    run: RunFolder,
    saved: SavedPredictor,
    weights: Supernet | ProxyTask,
    prepared: Prepared,
    setting: Setting,
    config: SearchConfig,
    augmentation: Augmentation | None,
    listener: Listener,
    folder: Path,
) -> Explored:
    """Search; `folder` is for the operators that are measured. `weights` are what candidates are scored by; with
    `config.alternating` they, a supernet's, are trained in place.

    Raises `InfeasibleBudgetError` where the budget is impossible, before anything is scored, and `LatlasError` where no
    candidate held it when measured.
    """
    journal = run.journal
    scorer = make_scorer(journal, weights, prepared, augmentation, config, listener.on_note)
    constraint, session, anchors = open_session(
        saved,
        Campaigns(setting, journal, listener.on_measuring),
        setting.library(folder, timing_operator),
        setting,
        prepared.baseline,
        config.budget_ms,
        config.confidence,
        config.max_measurements,
        listener.on_note,
    )
    began_s = journal.seconds()
    terms = _in_session(additive(saved.predictor, weights.space), constraint.scale)
    gradient = _trained(run, weights, prepared, constraint, terms, config, augmentation, listener)
    context = StrategyContext(
        terms,
        constraint.budget_ms,
        gradient.distribution if gradient else None,
        config.storage,
        config.study,
        config.near_share,
    )
    file = HistoryFile(run.path / HISTORY, config.strategy, constraint.budget_ms)

    def on_candidate(history: History) -> None:
        file.update(history, write=not journal.replaying)
        listener.on_candidate(history, constraint)

    options = LoopOptions(
        start=(anchors.fastest_architecture,),
        # On a front nothing is too fast.
        floor_ms=0.0 if config.front else config.min_use * min(constraint.budget_ms, anchors.slowest_ms),
        on_candidate=on_candidate,
        stop=lambda: journal.over("search", config.time_limit_s, began_s),
        clock=journal.seconds,
    )
    accuracy: AccuracySearch | None = None
    if config.accuracy_predictor:
        accuracy = search_by_prediction(
            run, weights.space, constraint, context, scorer.score, config, options, listener.on_note
        )
        history = accuracy.history
    else:
        strategy = _strategy(journal, weights.space, context, config)
        history = run_search(strategy, constraint, scorer.score, config.evaluations, **options)
    shared: Shared | None = None
    if config.storage is not None:
        history, shared = take_shared(
            journal, weights.space, constraint, context, scorer.score, history, config, options
        )
    file.update(history, write=False)
    front = measured_front(scorer.settled(history), constraint, session, listener.on_note) if config.front else []
    file.add("front", front, journal.seconds())
    finalists = elect(scorer.settled(history), constraint, session, config.finalists, listener.on_note)
    file.add("finalist", finalists, journal.seconds())
    return Explored(constraint, session, anchors, history, finalists, file, front, accuracy, gradient, shared)


def _trained(
    run: RunFolder,
    weights: Supernet | ProxyTask,
    prepared: Prepared,
    constraint: LatencyConstraint,
    terms: Additive | None,
    config: SearchConfig,
    augmentation: Augmentation | None,
    listener: Listener,
) -> TrainedDistribution | None:
    """The distribution that a strategy by gradients draws of, trained in half the time at most; None for another."""
    if not REGISTRY.get(config.strategy).trained:
        return None
    supernet = require_supernet(weights, config.strategy)
    limit_s = None if config.time_limit_s is None else config.time_limit_s / 2
    began_s = run.journal.seconds()
    listener.on_note(
        f"training architecture parameters for {config.arch_steps} steps"
        + (", and a copy of the supernet's weights in turns with them" if config.alternating else "")
    )
    return train_distribution(
        run,
        supernet,
        prepared.unscored if len(prepared.unscored) else prepared.scored,
        config,
        augmentation,
        terms,
        constraint.budget_ms,
        constraint.screen,
        listener.on_architecture_step,
        lambda: run.journal.over("architecture training", limit_s, began_s),
    )


def _strategy(journal: RunJournal, space: SearchSpace, context: StrategyContext, config: SearchConfig) -> Strategy:
    """The strategy asked for, told what it may know."""
    rng = np.random.default_rng(config.seed)
    strategy = make_strategy(config.strategy, space, rng, config.evaluations, context=context)
    return RecordedSuggestions(strategy, journal, space) if config.storage is not None else strategy


def _in_session(terms: Additive | None, scale: float) -> Additive | None:
    """A predictor's sum in the session's milliseconds."""
    if terms is None:
        return None
    pairwise = {pair: table * scale for pair, table in terms.pairwise.items()}
    return Additive(terms.constant * scale, [column * scale for column in terms.unary], pairwise)
