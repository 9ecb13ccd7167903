"""The search loop: the one place where the constraint is applied."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TypedDict

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.search.constraint.constraint import LatencyConstraint, Verdict
from latlas.search.strategies.strategy import Dropped, Evaluation, Strategy
from latlas.spaces.space import Architecture

log = logging.getLogger(__name__)

MAX_DRAWS_AN_EVALUATION = 5000
"""How many suggestions in a row may be repeats or infeasible before the search stops."""
FLOOR_STEP, FLOOR_DRAWS = 0.95, 500
"""After `FLOOR_DRAWS` suggestions in a row without a candidate, the floor is multiplied by `FLOOR_STEP`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated architecture with the verdict that accepted it. `seconds` is the age of the search at that moment."""

    architecture: Architecture
    quality: float
    verdict: Verdict
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """An architecture that was measured for the decision and is above the budget."""

    architecture: Architecture
    verdict: Verdict
    seconds: float = 0.0


@dataclass(slots=True)
class History:
    """What a search did: its candidates in the order of evaluation, and how many suggestions it dropped, by reason.

    `filtered` suggestions were not within the budget, `unused` ones left too much of it, and `repeats` were known. `rejected`
    are the filtered architectures that were measured.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    filtered: int = 0
    unused: int = 0
    repeats: int = 0

    def ranked(self) -> list[Candidate]:
        """The candidates, best quality first; of equal quality, the faster one first."""
        return sorted(self.candidates, key=_rank)

    def best(self) -> Candidate:
        """The first candidate of `ranked`. There must be at least one."""
        return min(self.candidates, key=_rank)


def joined(*histories: History) -> History:
    """The histories joined into one: lists are concatenated, counts are added."""
    total = History()
    for one in fields(History):
        values = [getattr(history, one.name) for history in histories]
        setattr(total, one.name, sum(values, [] if isinstance(getattr(total, one.name), list) else 0))
    return total


@dataclass
class Listed:
    """A strategy that suggests the given architectures in order, each once."""

    left: list[Architecture]
    name: str = "listed"

    def suggest(self, count: int) -> list[Architecture]:
        """The next `count` architectures."""
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Do nothing; there is nothing to learn."""


class LoopOptions(TypedDict):
    """Arguments of `run_search` that do not depend on what is searched; see there."""

    start: tuple[Architecture, ...]
    floor_ms: float
    on_candidate: Callable[[History], None]
    stop: Callable[[], bool]
    clock: Callable[[], float]


def _rank(one: Candidate) -> tuple[float, float, str]:
    return -one.quality, one.verdict.latency_ms, str(one.architecture)


def run_search(
    strategy: Strategy,
    constraint: LatencyConstraint,
    evaluate: Callable[[Architecture], float],
    evaluations: int,
    *,
    start: tuple[Architecture, ...] = (),
    floor_ms: float = 0.0,
    batch: int = 8,
    max_draws: int = MAX_DRAWS_AN_EVALUATION,
    on_candidate: Callable[[History], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = lambda: 0.0,
) -> History:
    """Evaluate different, feasible networks until `evaluations` are done or no new ones are suggested.

    The strategy suggests `batch` networks at once, and these are checked together, so that the ones that prediction leaves open
    are measured together. `start` is checked before the strategy is asked. Put the fastest architecture there: then a search
    with a tight budget has something to grow from.

    Suggestions below `floor_ms` are not evaluated. A network that leaves latency unused gives quality away, and a supernet's
    score shows this less clearly than a longer training. If no suggestion lies between floor and budget, the floor falls, as
    long as there are suggestions below it.

    The number of suggestions is bounded: after `max_draws` in a row without a new feasible one, and none below the floor, the
    search ends with the candidates it has. Raises `InfeasibleBudgetError` if there are none. `clock` gives the seconds for the
    history.
    """
    if evaluations < 1:
        raise UsageError(f"evaluations is {evaluations}; it must be at least 1")
    history, seen, passed_over, dry = History(), set[Architecture](), set[Architecture](), 0
    queue, taken = list(start), list[Architecture]()
    known = frozenset(start)
    drop: Callable[[list[Dropped]], None] = getattr(strategy, "dropped", lambda dropped: None)
    while len(history.candidates) < evaluations and dry < max_draws and not stop():
        if not queue:
            queue = strategy.suggest(batch)
            if not queue:
                break
        # Check no more than may still be evaluated or drawn, because a check may cost a measurement.
        at_once = min(batch, evaluations - len(history.candidates), max_draws - dry)
        taken, queue = queue[:at_once], queue[at_once:]
        new: list[Architecture] = []
        for architecture in taken:
            dry += 1
            if dry % FLOOR_DRAWS == 0 and floor_ms > 0:
                # Networks that were skipped below the old floor may be suggested again.
                floor_ms, seen = floor_ms * FLOOR_STEP, seen - passed_over
                if passed_over:  # some were within the budget, so the floor was too high and the search has not run dry
                    dry = 0
                passed_over.clear()
            same = architecture.canonical()
            if same in seen:
                history.repeats += 1
                drop([Dropped(architecture)])
            else:
                seen.add(same)
                new.append(architecture)
        if floor_ms > 0 and new:
            unused = (floor_ms - constraint.bounds(new)[0]).tolist()
            short = [Dropped(one, ms) for one, ms in zip(new, unused, strict=True) if ms > 0 and one not in known]
            drop(short)
            below = [one.architecture for one in short]
            history.unused += len(below)
            passed_over.update(one.canonical() for one in below)
            new = [one for one in new if one not in below]
        for architecture, verdict in zip(new, constraint.check_all(new), strict=True):
            if not verdict.feasible:
                history.filtered += 1
                drop([Dropped(architecture, verdict.upper_ms - constraint.budget_ms)])
                if verdict.measured:
                    history.rejected.append(Rejected(architecture, verdict, clock()))
                continue
            dry = 0
            quality = evaluate(architecture)
            history.candidates.append(Candidate(architecture, quality, verdict, clock()))
            strategy.update([Evaluation(architecture, quality, verdict.latency_ms)])
            if on_candidate is not None:
                on_candidate(history)
            if stop():
                break
    drop([Dropped(one) for one in (*taken, *queue)])  # the last suggestions; the strategy knows about some already
    if not history.candidates:
        raise InfeasibleBudgetError(
            f"{history.filtered} architectures were drawn and none is within {constraint.budget_ms:.3f} ms"
            + (f", {history.unused} use too little of it" if history.unused else "")
            + "; raise the budget, or search a leaner space"
        )
    if dry >= max_draws:
        log.warning(
            "stopped after %d evaluations: the last %d suggestions were repeats, over the budget, or far below it",
            len(history.candidates),
            max_draws,
        )
    return history
