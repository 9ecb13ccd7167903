"""What other processes of a shared study found, taken into a search before it chooses its finalists."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from latlas.latency.errors import InfeasibleBudgetError
from latlas.search.constraint import LatencyConstraint
from latlas.search.loop import History, Listed, LoopOptions, joined, run_search
from latlas.search.measured_front import MEASURED
from latlas.search.pareto import front
from latlas.search.run_journal import RunJournal
from latlas.search.search_config import SearchConfig
from latlas.search.strategy import Evaluation, StrategyContext
from latlas.supernet.space import Architecture, SearchSpace
from latlas.supernet.space_text import parse_architecture

KIND = "shared study"


@dataclass(frozen=True, slots=True)
class Shared:
    """How many networks the processes of a study had evaluated, and the best of other processes that are within the budget here
    too, and were scored here."""

    study: str
    evaluated: int
    taken: tuple[Architecture, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return {"name": self.study, "evaluated": self.evaluated, "taken": [str(one) for one in self.taken]}


def take_shared(
    journal: RunJournal,
    space: SearchSpace,
    constraint: LatencyConstraint,
    context: StrategyContext,
    evaluate: Callable[[Architecture], float],
    history: History,
    config: SearchConfig,
    options: LoopOptions,
) -> tuple[History, Shared]:
    """A history with the best of what others evaluated in the context's study.

    These are `config.finalists`, or `MEASURED` of its front. They are scored and checked here, so that what is compared is of
    one supernet and one machine; doubtful ones are measured, though the measurements allowed be spent. What the study said is
    kept in the journal. Raises what `shared_evaluations` raises.
    """
    known = {one.architecture for one in history.candidates}
    most = MEASURED if config.front else config.finalists

    def answer() -> list[Any]:
        from latlas.search.optuna_study import shared_evaluations

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
