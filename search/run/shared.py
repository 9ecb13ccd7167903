"""Takes the best networks that other processes of a shared study found into a search, before it chooses its finalists."""

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
    """A strategy whose suggestions are recorded in the journal, so that a resumed run gets the same suggestions again.

    A resumed run tells the strategy its evaluations again. A strategy with a shared study knows them from the study already.
    """

    def __init__(self, strategy: Strategy, journal: RunJournal, space: SearchSpace) -> None:
        self.name = strategy.name
        self._strategy, self._journal, self._space = strategy, journal, space

    def suggest(self, count: int) -> list[Architecture]:
        """The strategy's suggestions, or the journal's in a resumed run."""

        def answer() -> list[str]:
            return [str(one) for one in self._strategy.suggest(count)]

        def read(value: object) -> list[Architecture]:
            if not isinstance(value, list) or len(value) > count:
                raise ValueError(f"no list of up to {count} architectures")
            return [parse_architecture(str(text), self._space) for text in value]

        return self._journal.ask("suggestions", count, answer, read)

    def update(self, completed: Sequence[Evaluation]) -> None:
        """Pass the evaluations on to the strategy."""
        self._strategy.update(completed)

    def dropped(self, dropped: Sequence[Dropped]) -> None:
        """Pass the dropped suggestions on to the strategy, if it has `dropped`."""
        if hasattr(self._strategy, "dropped"):
            self._strategy.dropped(dropped)


KIND = "shared study"


@dataclass(frozen=True, slots=True)
class Shared:
    """What a search took from a shared study.

    Attributes:
        study: The study's name.
        evaluated: How many networks all processes together had evaluated.
        taken: The best networks of other processes; they are within the budget here too, and were scored here.
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
    """The history with the best networks that other processes evaluated in the context's study, and what was taken.

    It takes up to `config.finalists` networks, or `MEASURED` of the study's front. They are scored and checked here, so that all
    compared scores come from one supernet and one machine. Doubtful ones are measured, even if all allowed measurements are used
    up. The study's answer is recorded in the journal. Raises what `shared_evaluations` raises.
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
    except InfeasibleBudgetError:  # none of them is within the budget here
        return nothing
    finally:
        constraint.max_measurements = allowed
    taken = tuple(one.architecture for one in done.candidates)
    return joined(history, done), Shared(str(context.study), evaluated, taken)


def _front(found: list[Evaluation]) -> list[Evaluation]:
    found = [one for one in found if math.isfinite(one.latency_ms)]
    kept = front([(one.latency_ms, one.quality) for one in found])
    return [one for one, on_front in zip(found, kept, strict=True) if on_front]
