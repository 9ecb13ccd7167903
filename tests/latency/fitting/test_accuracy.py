import numpy as np
import pytest

from latlas.latency.fitting.accuracy import accuracy, spearman
from latlas.latency.fitting.describe import wilson


def test_figures_of_four_predictions():
    found = accuracy(np.array([1.0, 2.0, 3.2, 4.0]), np.array([1.0, 2.1, 3.0, 5.0]))
    # Off by 0, 1/21, 1/15 and 1/5 of what was measured; the order is right.
    assert found["mape"] == pytest.approx((1 / 21 + 1 / 15 + 1 / 5) / 4)
    assert (found["within_1"], found["within_5"], found["within_10"]) == (0.25, 0.5, 0.75)
    assert found["spearman"] == pytest.approx(1.0)


def test_spearman_by_hand():
    # Ranks 1, 2, 3, 4 against 1, 3, 2, 4: 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)).
    assert spearman(np.array([0.1, 0.2, 0.4, 0.9]), np.array([10.0, 30.0, 20.0, 40.0])) == pytest.approx(0.8)


def test_spearman_is_scipys_with_equal_values_too():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 40).astype(float)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic, rel=1e-12)


@pytest.mark.parametrize(("held", "count"), [(0, 7), (7, 7), (40, 40), (0, 13), (19, 20), (1, 2)])
def test_intervals_of_shares_are_scipys(held, count):
    from scipy.stats import binomtest

    expected = binomtest(held, count).proportion_ci(0.95, method="wilson")
    low, high = wilson(held, count, 0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= held / count <= high
