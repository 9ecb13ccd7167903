# mypy: disable-error-code="operator"
"""Rank agreement against the definition, pair by pair, and its intervals against known truths."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.ranking_report import advantage
from latlas.errors import UsageError
from latlas.search.accuracy.rank_agreement import Estimate, kendall, rank_agreement

SCORES = st.lists(st.integers(0, 6), min_size=4, max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tau_is_that_of_the_pairs(data):
    x = data.draw(SCORES)
    y = data.draw(st.lists(st.integers(0, 6), min_size=len(x), max_size=len(x)))
    pairs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in combinations(range(len(x)), 2)]
    untied = [sum(pair[side] != 0 for pair in pairs) for side in range(2)]
    found = rank_agreement(x, y)
    if not all(untied):
        assert found.kendall.value is None and found.spearman.value is None
        return
    assert found.kendall.value == pytest.approx(sum(a * b for a, b in pairs) / np.sqrt(untied[0] * untied[1]))
    for one in (found.kendall, found.spearman):
        assert one.lower is None or -1 <= one.lower <= one.value <= one.upper <= 1


def test_hand_computed():
    found = rank_agreement([1, 2, 3, 4], [10, 20, 40, 30])  # five pairs of six agree
    assert found.kendall.value == pytest.approx(4 / 6)
    assert found.spearman.value == pytest.approx(0.8)
    assert rank_agreement([1, 2, 3], [3, 2, 1]).kendall == Estimate(-1.0)
    assert found.to_record()["kendall"]["value"] == found.kendall.value
    assert rank_agreement([1, 2, 3, 4], [1, 8, 27, 64]).spearman == Estimate(1.0)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of normal scores tau is 2/pi asin(rho) (Kendall); 95 % of 60 intervals of 20 architectures are to hold it."""
    rng, rho = np.random.default_rng(0), 0.7
    truth, held = 2 / np.pi * np.arcsin(rho), 0
    for _ in range(60):
        x, noise = rng.normal(size=(2, 20))
        found = rank_agreement(x, rho * x + np.sqrt(1 - rho**2) * noise).kendall
        held += found.lower <= truth <= found.upper
    assert 52 <= held <= 60


def test_the_better_of_two_scores_is_told():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=40)
    close, far = truth + 0.2 * rng.normal(size=40), truth + 3 * rng.normal(size=40)
    found = advantage(truth, close, far)
    assert found.value == pytest.approx(kendall(truth, close) - kendall(truth, far))
    assert 0 < found.lower < found.value < found.upper
    same = advantage(truth, close, 2 * close + 1)
    assert same == Estimate(0.0, 0.0, 0.0)
    assert advantage(truth, close, np.ones(40)) == Estimate(None)
    assert found == advantage(truth, close, far)


def test_what_is_no_score_is_refused():
    with pytest.raises(UsageError, match=r"\(2,\) and \(3,\)"):
        rank_agreement([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="not a finite number"):
        rank_agreement([1, 2, np.nan], [1, 2, 3])
