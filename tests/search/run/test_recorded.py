"""A strategy whose suggestions are kept."""

import pytest

from latlas.errors import FileFormatError
from latlas.search.run.journal import RunJournal
from latlas.search.run.shared import RecordedSuggestions
from latlas.search.strategies.strategy import Dropped, Evaluation


class Shared:
    """Suggests what others left over: never the same twice."""

    name = "shared"

    def __init__(self, left):
        self.left, self.told = left, []

    def suggest(self, count):
        return [self.left.pop() for _ in range(count)]

    def update(self, completed):
        self.told += completed

    def dropped(self, dropped):
        self.told += dropped


def test_a_run_that_goes_on_has_its_suggestions_and_then_new_ones(tmp_path, tiny_space):
    left = list(tiny_space.cover())
    with RunJournal(tmp_path / "j", {}) as journal:
        first = RecordedSuggestions(Shared(left), journal, tiny_space).suggest(2)
    strategy = Shared(left)
    with RunJournal(tmp_path / "j", {}) as journal:
        again = RecordedSuggestions(strategy, journal, tiny_space)
        assert again.suggest(2) == first
        heard = [Evaluation(first[0], 0.5, 1.0)], [Dropped(first[1])]
        again.update(heard[0])
        again.dropped(heard[1])
        assert strategy.told == [*heard[0], *heard[1]]
        assert not set(again.suggest(2)) & set(first)


def test_suggestions_of_another_space_are_no_suggestions(tmp_path, tiny_space):
    with RunJournal(tmp_path / "j", {}) as journal:
        journal.ask("suggestions", 1, lambda: ["no architecture"], list)
    with RunJournal(tmp_path / "j", {}) as journal, pytest.raises((FileFormatError, ValueError)):
        RecordedSuggestions(Shared([]), journal, tiny_space).suggest(1)
