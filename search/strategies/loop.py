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
"""After so many suggestions in a row without a candidate, the floor falls to this share of itself."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated architecture with the verdict that let it through; `seconds` is how old the search was then."""

    architecture: Architecture
    quality: float
    verdict: Verdict
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """An architecture that was measured to decide on it, and found above the budget."""

    architecture: Architecture
    verdict: Verdict
    seconds: float = 0.0


@dataclass(slots=True)
class History:
    """What a search did: candidates in the order of evaluation, and how many suggestions were dropped for what.

    `filtered` were not within the budget, `unused` left too much of it; `rejected` are those of the filtered that were
    measured.
    """

    candidates: list[Candidate] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    filtered: int = 0
    unused: int = 0
    repeats: int = 0

    def ranked(self) -> list[Candidate]:
        """Best quality first; of equals the faster."""
        return sorted(self.candidates, key=_rank)

    def best(self) -> Candidate:
        """The first of `ranked`, of one candidate or more."""
        return min(self.candidates, key=_rank)


def joined(*histories: History) -> History:
    """The histories one after another as one: lists in a row, counts added."""
    total = History()
    for one in fields(History):
        values = [getattr(history, one.name) for history in histories]
        setattr(total, one.name, sum(values, [] if isinstance(getattr(total, one.name), list) else 0))
    return total


@dataclass
class Listed:
    """A strategy that suggests architectures in their order, each once."""

    left: list[Architecture]
    name: str = "listed"

    def suggest(self, count: int) -> list[Architecture]:
        """The next ones."""
        taken, self.left = self.left[:count], self.left[count:]
        return taken

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Nothing to learn."""


class LoopOptions(TypedDict):
    """What `run_search` is told beside what it searches; see there."""

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
    """Evaluate feasible, different networks until `evaluations` are done, or suggestions run dry.

    Suggestions come, and are checked, `batch` at once, so that the ones that prediction leaves open are measured together.
    `start` is checked first, before the strategy is asked: the fastest architecture there makes sure that a tight
    budget has something to grow from. Suggestions below `floor_ms` are not evaluated: latency that a budget gives and a
    network does not use is quality given away, which a supernet's score shows worse than a longer training does. Where
    there are none between floor and budget, the floor falls, as often as there is something below it. Sampling is bounded: after
    `max_draws` suggestions without a new feasible one, and with none below the floor, the search ends with what it has. Raises
    `InfeasibleBudgetError` where that is nothing. `clock` gives the
    seconds that the history is told.
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
        # No more than may still be evaluated or drawn: what is checked may be measured.
        at_once = min(batch, evaluations - len(history.candidates), max_draws - dry)
        taken, queue = queue[:at_once], queue[at_once:]
        new: list[Architecture] = []
        for architecture in taken:
            dry += 1
            if dry % FLOOR_DRAWS == 0 and floor_ms > 0:
                # What was passed over below the old floor may come again.
                floor_ms, seen = floor_ms * FLOOR_STEP, seen - passed_over
                if passed_over:  # they are within the budget: the search has not run dry, the floor is too high
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
    drop([Dropped(one) for one in (*taken, *queue)])  # the last ones, some of which were told already
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
