"""Distributions over architectures, against enumeration and finite differences."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights

KINDS = (LayerWeights, AdjacentWeights)


@st.composite
def distributions(draw):
    """Either kind, of up to five columns."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return draw(st.sampled_from(KINDS)).initial(sizes, rng, sd=draw(st.sampled_from([0.0, 1.0, 3.0])))


def everything(sizes):
    return np.array(list(product(*(range(size) for size in sizes))))


def assert_close(one, other, tolerance=1e-7):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def test_probabilities_by_hand():
    half = np.log([0.5, 0.5])
    layers = LayerWeights([np.log([0.2, 0.8]), half])
    assert np.exp(layers.log_prob(np.array([[0, 1], [1, 0]]))).tolist() == pytest.approx([0.1, 0.4])
    adjacent = AdjacentWeights([np.log([0.2, 0.8]), np.log([[0.9, 0.1], [0.3, 0.7]])])
    assert np.exp(adjacent.log_prob(np.array([[0, 1], [1, 0]]))).tolist() == pytest.approx([0.02, 0.24])
    assert adjacent.probabilities()[1].tolist() == pytest.approx([0.18 + 0.24, 0.02 + 0.56])


@settings(max_examples=40, deadline=None)
@given(distributions())
def test_what_is_said_of_it_is_what_enumeration_gives(distribution):
    codes = everything(distribution.sizes)
    p = np.exp(distribution.log_prob(codes))
    assert p.sum() == pytest.approx(1.0)
    assert distribution.entropy() == pytest.approx(-(p * np.log(p)).sum(), abs=1e-9)
    for column, marginal in enumerate(distribution.probabilities()):
        assert marginal.tolist() == pytest.approx(np.bincount(codes[:, column], p, len(marginal)).tolist())
    unary, pairwise = distribution.unary_pairwise_log()
    summed = sum(terms[codes[:, column]] for column, terms in enumerate(unary))
    summed = summed + sum(table[codes[:, i], codes[:, j]] for (i, j), table in pairwise.items())
    np.testing.assert_allclose(summed, np.log(p), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(distributions(), st.integers(0, 2**32 - 1))
def test_gradients_are_those_of_finite_differences(differences, distribution, seed):
    rng = np.random.default_rng(seed)
    codes = distribution.sample(6, rng)
    weights = rng.normal(size=6)
    assert_close(
        distribution.log_prob_gradient(codes, weights),
        differences(distribution, lambda d: d.log_prob(codes) @ weights, 1e-5),
    )
    assert_close(
        distribution.log_prob_gradient(codes),
        differences(distribution, lambda d: d.log_prob(codes).sum(), 1e-5),
    )


@settings(max_examples=25, deadline=None)
@given(distributions(), st.integers(0, 2**32 - 1))
def test_the_gates_gradient_is_that_of_the_probabilities_they_were_drawn_from(differences, distribution, seed):
    rng = np.random.default_rng(seed)
    row = distribution.sample(1, rng)[0]
    gates = [rng.normal(size=size) for size in distribution.sizes]

    def loss(d):
        """A loss that is linear in the gates, with each gate at its probability."""
        total = 0.0
        for weights, gate in zip(d.active(row), gates, strict=True):
            p = np.exp(weights) / np.exp(weights).sum()
            total += p @ gate
        return total

    assert_close(distribution.gate_gradient(row, gates), differences(distribution, loss, 1e-5))


@pytest.mark.parametrize("kind", KINDS)
def test_the_expected_gradient_of_log_prob_is_none(kind):
    distribution = kind.initial((3, 2, 4), np.random.default_rng(3), sd=1.0)
    codes = everything(distribution.sizes)
    gradient = distribution.log_prob_gradient(codes, np.exp(distribution.log_prob(codes)))
    assert_close(gradient, [np.zeros_like(one) for one in gradient], 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_distributed_as_said(kind):
    distribution, count = kind.initial((3, 2, 3), np.random.default_rng(5), sd=1.0), 40_000
    codes = everything(distribution.sizes)
    drawn = distribution.sample(count, np.random.default_rng(0))
    index = np.ravel_multi_index(drawn.T, distribution.sizes)
    seen, expected = np.bincount(index, minlength=len(codes)), count * np.exp(distribution.log_prob(codes))
    assert ((seen - expected) ** 2 / expected).sum() < 41.0  # chi-square of 17 degrees of freedom, 99.9 %
    assert (distribution.sample(9, np.random.default_rng(0)) == drawn[:9]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_active_weights_are_views_and_a_copy_is_none(kind):
    distribution = kind.initial((2, 3), np.random.default_rng(0))
    flat = distribution.tempered(1.0)
    distribution.active(np.array([1, 2]))[1][:] = [5.0, 6.0, 7.0]
    assert distribution.parameters[1].reshape(-1, 3)[-1].tolist() == [5.0, 6.0, 7.0]
    assert np.abs(flat.parameters[1]).max() < 0.1
    assert distribution.tempered(100.0).entropy() > distribution.entropy()


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_next_to_uniform(kind):
    distribution = kind.initial((7,) * 14, np.random.default_rng(0))
    assert distribution.sizes == (7,) * 14
    assert distribution.entropy() == pytest.approx(14 * np.log(7), abs=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerWeights([]), "no columns"),
        (lambda: LayerWeights([np.zeros((2, 2))]), r"column 0 are of shape \(2, 2\); finite ones of 1 dim"),
        (lambda: LayerWeights([np.array([0.0, np.nan])]), "column 0"),
        (lambda: AdjacentWeights([np.zeros(2), np.zeros(2)]), r"column 1 are of shape \(2,\); finite ones of 2 dim"),
        (
            lambda: AdjacentWeights([np.zeros(2), np.zeros((3, 2))]),
            "column 0 has 2 options, and column 1 weights for 3",
        ),
        (lambda: LayerWeights([np.zeros(2)]).log_prob(np.array([[2]])), "2"),
        (lambda: LayerWeights([np.zeros(2)]).log_prob_gradient(np.array([[1]]), np.ones(2)), r"1 codes .* \(2,\)"),
    ],
)
def test_what_is_no_distribution_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
