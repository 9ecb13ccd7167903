"""The search loop: the one place where the constraint is applied."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from latlas.latency.errors import InfeasibleBudgetError, UsageError
from latlas.search.constraint import LatencyConstraint, Verdict
from latlas.search.strategy import Evaluation, Strategy
from latlas.supernet.space import Architecture

log = logging.getLogger(__name__)

MAX_DRAWS_AN_EVALUATION = 5000
"""How many suggestions in a row may be repeats or infeasible before the search stops."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated architecture with the verdict that let it through."""

    architecture: Architecture
    quality: float
    verdict: Verdict


@dataclass(slots=True)
class History:
    """What a search did: candidates in the order of evaluation, and how many suggestions the constraint dropped."""

    candidates: list[Candidate] = field(default_factory=list)
    filtered: int = 0
    repeats: int = 0

    def ranked(self) -> list[Candidate]:
        """Best quality first; of equals the faster."""
        return sorted(self.candidates, key=lambda c: (-c.quality, c.verdict.latency_ms, str(c.architecture)))


def run_search(
    strategy: Strategy,
    constraint: LatencyConstraint,
    evaluate: Callable[[Architecture], float],
    evaluations: int,
    *,
    start: tuple[Architecture, ...] = (),
    batch: int = 8,
    max_draws: int = MAX_DRAWS_AN_EVALUATION,
    on_candidate: Callable[[History], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> History:
    """Evaluate feasible, different architectures until `evaluations` are done, or suggestions run dry.

    `start` is checked first, before the strategy is asked: the fastest architecture there makes sure that a tight
    budget has something to grow from. Sampling is bounded: after `max_draws` suggestions without a new feasible one the
    search ends with what it has. Raises `InfeasibleBudgetError` where that is nothing.
    """
    if evaluations < 1:
        raise UsageError(f"evaluations is {evaluations}; it must be at least 1")
    history, seen, dry = History(), set[Architecture](), 0
    queue = list(start)
    while len(history.candidates) < evaluations and dry < max_draws and not stop():
        if not queue:
            queue = strategy.suggest(batch)
            if not queue:
                break
        architecture = queue.pop(0)
        dry += 1
        if architecture in seen:
            history.repeats += 1
            continue
        seen.add(architecture)
        verdict = constraint.check(architecture)
        if not verdict.feasible:
            history.filtered += 1
            continue
        dry = 0
        quality = evaluate(architecture)
        history.candidates.append(Candidate(architecture, quality, verdict))
        strategy.update([Evaluation(architecture, quality)])
        if on_candidate is not None:
            on_candidate(history)
    if not history.candidates:
        raise InfeasibleBudgetError(
            f"{history.filtered} architectures were drawn and none is within {constraint.budget_ms:.3f} ms; "
            "raise the budget, or search a leaner space"
        )
    if dry >= max_draws:
        log.warning(
            "stopped after %d evaluations: the last %d suggestions were repeats or over the budget",
            len(history.candidates),
            max_draws,
        )
    return history
