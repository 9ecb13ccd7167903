"""Adam on arrays, by hand: with a first beta of 0 a step is the gradient over the root of its mean square."""

import math

import numpy as np
import pytest

from latlas.search.gradient.descent import adam, descend


def test_two_steps_by_hand():
    weights = [np.array([1.0, 2.0]), np.array([[0.5]])]
    optimizer = adam(weights, 0.02)
    descend(optimizer, [np.array([3.0, -1e-3]), np.array([[0.0]])])
    # v = 0.001 g^2, unbiased by 1 - 0.999: the root is |g|, and the step the learning rate.
    assert weights[0].tolist() == pytest.approx([0.98, 2.02], rel=1e-6)
    assert weights[1].tolist() == [[0.5]]
    descend(optimizer, [np.array([4.0, 0.0]), np.array([[0.0]])])
    spread = (0.999 * 0.001 * 9 + 0.001 * 16) / (1 - 0.999**2)
    assert weights[0].tolist() == pytest.approx([0.98 - 0.02 * 4 / math.sqrt(spread), 2.02], rel=1e-6)


def test_what_was_not_sampled_stays_where_it_is():
    weights = [np.array([1.0, 2.0])]
    optimizer = adam(weights, 0.1)
    descend(optimizer, [np.array([0.5, 0.0])])
    descend(optimizer, [np.array([0.0, 0.0])])
    assert weights[0].tolist() == pytest.approx([0.9, 2.0])


def test_a_gradient_that_is_a_view_is_taken():
    weights = [np.zeros((2, 3))]
    descend(adam(weights, 0.1), [np.ones((3, 2)).T])
    assert weights[0] == pytest.approx(-0.1)


def test_a_gradient_of_too_few_arrays_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        descend(adam([np.zeros(2), np.zeros(2)]), [np.ones(2)])
