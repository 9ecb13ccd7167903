"""A strategy whose suggestions come from outside: from a study that other processes tell of their trials."""

from __future__ import annotations

from collections.abc import Sequence

from latlas.search.run_journal import RunJournal
from latlas.search.strategy import Dropped, Evaluation, Strategy
from latlas.supernet.space import Architecture, SearchSpace
from latlas.supernet.space_text import parse_architecture


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
