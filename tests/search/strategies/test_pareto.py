"""Fronts of latency and quality: against every pair compared, and hypervolumes against Optuna's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from latlas.errors import UsageError
from latlas.search.strategies.front import crowding, front, hypervolume, ranks

# Few different values, so that many points are equal in one or both.
POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), max_size=25).map(
    lambda rows: np.array(rows, dtype=float).reshape(-1, 2) / [1.0, 5.0]
)


def dominates(one, other):
    return one[0] <= other[0] and one[1] >= other[1] and (one[0] < other[0] or one[1] > other[1])


@given(POINTS)
def test_the_front_is_what_no_other_dominates(points):
    expected = [not any(dominates(other, one) for other in points) for one in points]
    assert front(points).tolist() == expected


@given(POINTS)
def test_ranks_count_the_fronts_that_lie_before(points):
    found = ranks(points)
    assert (found >= 0).all()
    for index, one in enumerate(points):
        # The longest chain of points that each dominate the next ends here.
        before = [found[k] for k, other in enumerate(points) if dominates(other, one)]
        assert found[index] == max(before, default=-1) + 1


@settings(max_examples=60)
@given(POINTS, st.sampled_from([(7.0, 0.0), (4.0, 0.3), (7.0, -1.0)]))
def test_the_hypervolume_is_optunas(points, reference):
    inside = np.array([one for one in points if one[0] < reference[0] and one[1] > reference[1]]).reshape(-1, 2)
    minimised = inside * [1.0, -1.0]
    expected = compute_hypervolume(minimised, np.array([reference[0], -reference[1]])) if len(inside) else 0.0
    assert hypervolume(points, *reference) == pytest.approx(expected)


def test_a_hypervolume_by_hand():
    # Two steps below the reference of 4 ms: from 1 to 2 ms 0.5 high, from 2 to 4 ms 0.8 high.
    assert hypervolume([(1.0, 0.5), (2.0, 0.8), (3.0, 0.7)], 4.0) == pytest.approx(0.5 + 2 * 0.8)
    assert hypervolume([(1.0, 0.5), (2.0, 0.8)], 4.0, 0.5) == pytest.approx(2 * 0.3)
    assert hypervolume([], 4.0) == 0.0
    assert hypervolume([(5.0, 0.9)], 4.0) == 0.0


def test_crowding_by_hand():
    points = [(1.0, 0.1), (2.0, 0.5), (3.0, 0.6), (5.0, 0.9)]
    found = crowding(points)
    assert np.isinf(found[[0, 3]]).all()
    assert found[1] == pytest.approx((3 - 1) / 4 + (0.6 - 0.1) / 0.8)
    assert found[2] == pytest.approx((5 - 2) / 4 + (0.9 - 0.5) / 0.8)
    assert crowding([]).shape == (0,)


def test_points_without_a_number_are_refused():
    for function in (front, ranks, crowding, lambda points: hypervolume(points, 1.0)):
        with pytest.raises(UsageError, match="no number as latency or quality"):
            function([(1.0, 0.5), (np.nan, 0.5)])
    with pytest.raises(UsageError, match="the reference is inf ms"):
        hypervolume([(1.0, 0.5)], np.inf)
