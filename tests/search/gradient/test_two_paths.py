"""Two options a column: how they are drawn, and what a step on them leaves alone."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.training import draw_pairs, rescale, restricted

KINDS = (LayerWeights, AdjacentWeights)


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distribution = draw(st.sampled_from(KINDS)).initial(sizes, rng, sd=1.0)
    return distribution, draw_pairs(distribution, distribution.sample(1, rng)[0], rng), rng


def conditionals(distribution):
    return [np.exp(one - np.log(np.exp(one).sum(-1, keepdims=True))) for one in distribution.parameters]


def test_two_are_drawn_without_replacement():
    rng = np.random.default_rng(0)
    distribution = LayerWeights([np.log([0.1, 0.2, 0.7]), np.log([0.5, 0.25, 0.25])])
    count = 8_000
    pairs = np.array([draw_pairs(distribution, row, rng) for row in distribution.sample(count, rng)])
    for column, p in enumerate(distribution.probabilities()):
        for first, second in permutations(range(3), 2):
            wanted = p[first] * p[second] / (1 - p[first])
            found = np.mean((pairs[:, column] == (first, second)).all(axis=1))
            assert found == pytest.approx(wanted, abs=5 * np.sqrt(wanted / count))


def test_the_second_of_adjacent_weights_is_drawn_by_the_active_row():
    rng = np.random.default_rng(0)
    distribution = AdjacentWeights([np.zeros(2), np.log([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])])
    seconds = [draw_pairs(distribution, np.array([0, 0]), rng)[1, 1] for _ in range(4000)]
    assert np.mean(np.array(seconds) == 1) == pytest.approx(0.75, abs=0.04)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_restricted_distribution_has_the_pairs_renormalised(case):
    distribution, pairs, rng = case
    before = [one.copy() for one in distribution.parameters]
    among = restricted(distribution, pairs)
    for p, q, pair in zip(conditionals(distribution), conditionals(among), pairs, strict=True):
        kept = np.isin(np.arange(p.shape[-1]), pair)
        np.testing.assert_allclose(q[..., kept], p[..., kept] / p[..., kept].sum(-1, keepdims=True))
        assert not q[..., ~kept].any()
    codes = np.array(list(product(*(sorted(set(pair)) for pair in pairs.tolist()))))
    assert np.exp(among.log_prob(codes)).sum() == pytest.approx(1.0)
    drawn = among.sample(50, rng)
    assert all(np.isin(drawn[:, column], pair).all() for column, pair in enumerate(pairs))
    gates = [rng.normal(size=size) for size in distribution.sizes]
    gradients = (among.gate_gradient(codes[0], gates), among.log_prob_gradient(codes))
    for gradient, pair in ((one, pair) for found in gradients for one, pair in zip(found, pairs, strict=True)):
        assert not np.delete(gradient, pair, axis=-1).any()
    assert all(np.array_equal(one, was) for one, was in zip(distribution.parameters, before, strict=True))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_rescaled_step_keeps_the_probabilities_of_all_other_options(case):
    distribution, pairs, rng = case
    before, p_before = [one.copy() for one in distribution.parameters], conditionals(distribution)
    moved = []
    for one, pair in zip(distribution.parameters, pairs, strict=True):
        for option in set(pair.tolist()):
            one[..., option] += rng.normal(0, 0.5, one.shape[:-1])
        moved.append(one.copy())
    rescale(distribution, before, pairs)
    for one, was, step, p, old, pair in zip(
        distribution.parameters, before, moved, conditionals(distribution), p_before, pairs, strict=True
    ):
        kept = np.isin(np.arange(one.shape[-1]), pair)
        assert np.array_equal(one[..., ~kept], was[..., ~kept])
        np.testing.assert_allclose(p[..., ~kept], old[..., ~kept], rtol=1e-12)
        np.testing.assert_allclose(p[..., kept].sum(-1), old[..., kept].sum(-1), rtol=1e-12)
        # What the step did to the odds of the two stays.
        np.testing.assert_allclose(one[..., pair[0]] - one[..., pair[1]], step[..., pair[0]] - step[..., pair[1]])


def test_by_hand():
    distribution = LayerWeights([np.log([1.0, 2.0, 3.0])])
    before = [distribution.parameters[0].copy()]
    distribution.parameters[0][:2] = np.log([3.0, 6.0])  # three times the sum of before
    rescale(distribution, before, np.array([[0, 1]]))
    assert distribution.parameters[0].tolist() == pytest.approx(before[0].tolist())
