"""Which subnets are measured: different ones, the same each time, and better than random ones."""

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.fitting import choose as choice
from latlas.latency.fitting.choose import chosen, falling_variance
from latlas.latency.predictor.features import unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace(height=64, width=64, widths=(8, 12, 16, 24), depths=(2, 2, 2, 2))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(choice, "POOL", 400)
    monkeypatch.setattr(choice, "INTEREST", 100)


def true_ms(graph):
    return sum(unit_cost(n.spec) * (1 + 0.2 * np.sin(len(str(n.spec)) + n.spec.macs)) for n in graph) + 0.05


def test_they_are_different_and_the_same_each_time():
    first, again, other = chosen(SPACE, 30, 3), chosen(SPACE, 30, 3), chosen(SPACE, 30, 4)
    assert len(set(first)) == 30
    assert first == again != other
    assert chosen(SPACE, 10, 3) == first[:10]


def test_none_that_is_known_or_kept_for_the_test_is_chosen():
    first = chosen(SPACE, 30, 0)
    others = chosen(SPACE, 30, 0, given=first[:15], avoid=first[15:])
    assert not set(first) & set(others)


def test_a_predictor_learns_more_of_them_than_of_as_many_random_ones():
    unseen = [one.graph() for one in SPACE.sample(150, np.random.default_rng(9))]
    truth = np.array([true_ms(graph) for graph in unseen])

    def error(subnets):
        graphs = [one.graph() for one in subnets]
        found = LatencyPredictor(unit_cost).fit(graphs, [true_ms(graph) for graph in graphs], [0.005] * len(graphs))
        return np.mean(np.abs(found.latency_ms(unseen) / truth - 1))

    informed = np.mean([error(chosen(SPACE, 20, seed)) for seed in range(3)])
    random = np.mean([error(SPACE.sample(20, np.random.default_rng(seed))) for seed in range(6)])
    assert informed < random


def test_a_space_that_is_too_small_gives_all_it_has():
    tiny = PortraitSpace(height=32, width=32, widths=(4, 4, 4, 4), depths=(1, 1, 1, 1))
    assert 0 < len(chosen(tiny, 5000)) <= 400


def test_none_is_refused():
    with pytest.raises(UsageError, match="count is 0"):
        chosen(SPACE, 0)


def test_the_row_that_says_most_of_the_others_is_taken_first():
    # Rows 0 and 1 are the same, row 2 stands alone: to measure 0 takes 1 / 1.01 off two variances, 2 off its own.
    covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert falling_variance(covariance, covariance, 0.1, 3) == [0, 2, 1]
    assert falling_variance(covariance, covariance, 0.1, 1, given=[0]) == [2]
    # Of interest is only what row 2 says something of.
    assert falling_variance(covariance, covariance[:, 2:], 0.1, 1) == [2]
