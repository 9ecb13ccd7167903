"""What other processes of a shared study found, taken into a search before it chooses its finalists."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from latlas.errors import InfeasibleBudgetError
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.run.front import MEASURED
from latlas.search.run.journal import RunJournal
from latlas.search.run.search_run import SearchRun
from latlas.search.strategies.front import front
from latlas.search.strategies.loop import History, Listed, LoopOptions, joined, run_search
from latlas.search.strategies.strategy import Dropped, Evaluation, Strategy, StrategyContext
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture


class RecordedSuggestions:
    """The same strategy, its suggestions kept in the journal: a run that goes on has them again, and asks for no new ones.

    What was evaluated is told again: the strategy is to know it from its study already.
    """

    def __init__(self, strategy: Strategy, journal: RunJournal, space: SearchSpace) -> None:
        self.name = strategy.name
        self._strategy, self._journal, self._space = strategy, journal, space

    def suggest(self, count: int) -> list[Architecture]:
        """The strategy's, or the journal's."""

        def answer() -> list[str]:
            return [str(one) for one in self._strategy.suggest(count)]

        def read(value: object) -> list[Architecture]:
            if not isinstance(value, list) or len(value) > count:
                raise ValueError(f"no list of up to {count} architectures")
            return [parse_architecture(str(text), self._space) for text in value]

        return self._journal.ask("suggestions", count, answer, read)

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Pass it on."""
        self._strategy.update(completed)

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Pass it on to a strategy that wants to hear of it."""
        if hasattr(self._strategy, "dropped"):
            self._strategy.dropped(dropped)


KIND = "shared study"


@dataclass(frozen=True, slots=True)
class Shared:
    """What came of a shared study.

    Attributes:
        study: Its name.
        evaluated: How many networks all its processes had evaluated.
        taken: The best of other processes that are within the budget here too, and were scored here.
    """

    study: str
    evaluated: int
    taken: tuple[Architecture, ...]

    def to_record(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {"name": self.study, "evaluated": self.evaluated, "taken": [str(one) for one in self.taken]}


def take_shared(
    run: SearchRun,
    constraint: LatencyConstraint,
    context: StrategyContext,
    evaluate: Callable[[Architecture], float],
    history: History,
    options: LoopOptions,
) -> tuple[History, Shared]:
    """A history with the best networks that others evaluated in the context's study.

    These are `config.finalists`, or `MEASURED` of its front. They are scored and checked here, so that what is compared is of
    one supernet and one machine; doubtful ones are measured, though the measurements allowed be spent. What the study said is
    kept in the journal. Raises what `shared_evaluations` raises.
    """
    journal, space, config = run.journal, run.space, run.config
    known = {one.architecture for one in history.candidates}
    most = MEASURED if config.front else config.finalists

    def answer() -> list[Any]:
        from latlas.search.optuna.study import shared_evaluations

        found = shared_evaluations(context, space)
        best = _front(found) if config.front else found
        return [len(found), [str(one.architecture) for one in best if one.architecture not in known][:most]]

    def read(value: Any) -> tuple[int, list[Architecture]]:
        count, texts = value
        if len(texts) > most:
            raise ValueError(f"{len(texts)} networks, of {most} asked for")
        return int(count), [parse_architecture(str(text), space) for text in texts]

    evaluated, best = journal.ask(KIND, str(context.study), answer, read)
    nothing = history, Shared(str(context.study), evaluated, ())
    if not best or options["stop"]():
        return nothing

    def tell(now: History) -> None:
        options["on_candidate"](joined(history, now))

    further: LoopOptions = {**options, "start": (), "floor_ms": 0.0, "on_candidate": tell}
    allowed = constraint.max_measurements
    constraint.max_measurements = max(allowed, constraint.counts.measured + len(best))
    try:
        done = run_search(Listed(best), constraint, evaluate, len(best), **further)
    except InfeasibleBudgetError:  # none of them is, here
        return nothing
    finally:
        constraint.max_measurements = allowed
    taken = tuple(one.architecture for one in done.candidates)
    return joined(history, done), Shared(str(context.study), evaluated, taken)


def _front(found: list[Evaluation]) -> list[Evaluation]:
    found = [one for one in found if math.isfinite(one.latency_ms)]
    kept = front([(one.latency_ms, one.quality) for one in found])
    return [one for one, on_front in zip(found, kept, strict=True) if on_front]
