"""Successive halving with scripted learning curves."""

import pytest

from latlas.errors import UsageError
from latlas.search.strategies.halving import ETA, successive_halving


class Trainings:
    """Qualities by candidate and steps; counts what was asked."""

    def __init__(self, curve):
        self.curve, self.asked = curve, []

    def __call__(self, candidate, steps):
        self.asked.append((candidate, steps))
        return self.curve(candidate, steps)


def test_the_best_third_of_each_rung_goes_on_with_three_times_the_steps():
    train = Trainings(lambda candidate, steps: candidate)
    trials = successive_halving(range(9), train, 10, 1000)
    assert [trial.candidate for trial in trials] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert [trial.steps for trial in trials] == [30] * 3 + [10] * 6
    assert len(train.asked) == 9 + 3
    assert ETA == 3


def test_a_late_bloomer_that_lasts_wins_and_a_rung_left_is_not_overtaken():
    # 2 learns fastest, 1 ends best; 0 would have ended better still, but did not last.
    qualities = {0: {10: 0.1, 30: 0.9}, 1: {10: 0.5, 30: 0.8}, 2: {10: 0.6, 30: 0.7}, 3: {10: 0.3}, 4: {10: 0.2}}
    trials = successive_halving(range(5), lambda candidate, steps: qualities[candidate][steps], 10, 1000)
    assert [trial.candidate for trial in trials] == [1, 2, 3, 4, 0]
    assert [trial.quality for trial in trials] == [0.8, 0.7, 0.3, 0.2, 0.1]


def test_no_rung_is_longer_than_the_longest_training():
    train = Trainings(lambda candidate, steps: candidate)
    successive_halving(range(27), train, 10, 89)
    assert {steps for _, steps in train.asked} == {10, 30}
    assert [trial.steps for trial in successive_halving(range(27), train, 100, 89)] == [100] * 27


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_candidates_have_one_rung(count):
    trials = successive_halving(range(count), lambda candidate, steps: -candidate, 5, 1000)
    assert [(trial.candidate, trial.steps) for trial in trials] == [(i, 5) for i in range(count)]


def test_nothing_to_compare_is_no_trial():
    assert successive_halving([], lambda candidate, steps: 1.0, 5, 10) == []


def test_equal_quality_keeps_the_given_order():
    trials = successive_halving("abcdef", lambda candidate, steps: 0.5, 1, 100)
    assert "".join(trial.candidate for trial in trials) == "abcdef"


def test_a_rung_without_steps_is_refused():
    with pytest.raises(UsageError, match="steps is 0"):
        successive_halving([1, 2], lambda candidate, steps: 1.0, 0, 10)


def test_what_cannot_be_trained_is_left_out_of_every_rung():
    def train(one, steps):
        return None if one == 5 or (one == 4 and steps > 10) else float(one)

    trials = successive_halving(list(range(6)), train, 10, 30)
    assert [(trial.candidate, trial.steps) for trial in trials] == [(3, 30), (2, 10), (1, 10), (0, 10)]
