"""The most probable architectures within a budget, against enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.derivation_basis import per_layer_argmax
from latlas.errors import InfeasibleBudgetError, LatlasError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient import derivation
from latlas.search.gradient.derivation import best, best_of
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.trellis import Trellis

KINDS = (LayerWeights, AdjacentWeights)
PAIRS = [(i, j) for i in range(5) for j in range(5) if i != j]


@st.composite
def cases(draw):
    """Terms with any pairs, a distribution, and a budget."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = draw(st.lists(st.sampled_from(PAIRS), unique_by=lambda pair: frozenset(pair)))
    terms = Additive(
        float(rng.normal()),
        [rng.uniform(0.1, 1.0, size) for size in sizes],
        {(i, j): rng.normal(0, 0.3, (sizes[i], sizes[j])) for i, j in chosen if max(i, j) < len(sizes)},
    )
    distribution = draw(st.sampled_from(KINDS)).initial(sizes, rng, sd=draw(st.sampled_from([1e-3, 2.0])))
    values = terms.values(everything(sizes))
    return terms, distribution, float(np.quantile(values, draw(st.floats(0, 1)))) + 1e-12


def everything(sizes):
    return np.array(list(product(*(range(size) for size in sizes))))


def ranked(terms, distribution, budget_ms):
    """All architectures within the budget, the most probable first."""
    codes = everything(terms.sizes)
    codes = codes[terms.values(codes) <= budget_ms]
    return codes[np.argsort(-distribution.log_prob(codes), kind="stable")]


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([1, 4, 1000]), st.sampled_from([1, 2, 10, 2000]))
def test_the_best_are_those_of_enumeration_whatever_the_bins(case, bins, count):
    terms, distribution, budget_ms = case
    expected = ranked(*case)[:count]
    found = best(distribution, terms, budget_ms, count, bins)
    assert found.shape == expected.shape  # all there are, where there are fewer
    assert (terms.values(found) <= budget_ms).all()
    assert len({tuple(row) for row in found.tolist()}) == len(found)
    np.testing.assert_allclose(distribution.log_prob(found), distribution.log_prob(expected), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_those_passed_over_make_room_for_the_next(case):
    terms, distribution, budget_ms = case
    order = ranked(*case)
    over = {tuple(row) for row in order[[0, -1]].tolist()}
    expected = [row for row in order.tolist() if tuple(row) not in over][:3]
    found = best(distribution, terms, budget_ms, 3, without=over)
    np.testing.assert_allclose(
        distribution.log_prob(found),
        distribution.log_prob(np.array(expected, dtype=int).reshape(-1, len(terms.sizes))),
        atol=1e-9,
    )


def test_the_argmax_of_each_layer_breaks_a_budget_that_the_derivation_keeps():
    distribution = LayerWeights([np.log([0.4, 0.6]), np.log([0.3, 0.7])])
    terms = Additive(0.0, [np.array([1.0, 2.0]), np.array([1.0, 2.0])], {(0, 1): np.array([[0.0, 0.5], [0.0, 0.0]])})
    argmax = per_layer_argmax(distribution)
    assert argmax.tolist() == [1, 1]
    assert terms.values(argmax[None])[0] == 4.0
    # Without the term of the pair 0-1 would be within the budget, and more probable.
    assert best(distribution, terms, 3.2, 4).tolist() == [[1, 0], [0, 0]]
    assert best(distribution, terms, 4.0)[0].tolist() == [1, 1]


def test_the_argmax_of_each_layer_is_not_the_best_where_layers_depend():
    distribution = AdjacentWeights([np.log([0.4, 0.6]), np.log([[0.01, 0.99], [0.55, 0.45]])])
    assert per_layer_argmax(distribution).tolist() == [1, 1]
    unbounded = Additive(0.0, [np.zeros(2), np.zeros(2)])
    found = best(distribution, unbounded, 0.0, 4)
    assert found.tolist() == [[0, 1], [1, 0], [1, 1], [0, 0]]
    assert np.exp(distribution.log_prob(found)).tolist() == pytest.approx([0.396, 0.33, 0.27, 0.004])


def test_equal_probabilities_do_not_spread_the_search():
    rng = np.random.default_rng(0)
    terms = Additive(0.0, [rng.uniform(0.1, 1.0, 7) for _ in range(14)])
    found = best(LayerWeights([np.zeros(7)] * 14), terms, 5.0, 50)
    assert len(np.unique(found, axis=0)) == 50
    assert (terms.values(found) <= 5.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_the_best_of_a_space_too_large_to_enumerate(kind):
    """Of two halves that latency keeps apart: the best of each half, enumerated, for each split of the budget."""
    rng = np.random.default_rng(1)
    sizes = (4,) * 10
    terms = Additive(0.0, [rng.integers(1, 9, 4).astype(float) for _ in sizes])
    distribution = kind.initial(sizes, rng, sd=1.0)
    budget_ms = 25.0
    half = everything(sizes[:5])
    unary, pairwise = distribution.unary_pairwise_log()

    def part(first):
        log_prob = sum(unary[first + k][half[:, k]] for k in range(5))
        log_prob = log_prob + sum(
            table[half[:, i - first], half[:, j - first]]
            for (i, j), table in pairwise.items()
            if first <= i and j < first + 5
        )
        return sum(terms.unary[first + k][half[:, k]] for k in range(5)), log_prob

    (left_ms, left), (right_ms, right) = part(0), part(5)
    joint = left[:, None] + right[None]
    if (4, 5) in pairwise:
        joint += pairwise[4, 5][half[:, -1]][:, half[:, 0]]
    joint[left_ms[:, None] + right_ms[None] > budget_ms] = -np.inf
    top = np.sort(joint.ravel())[::-1][:20]
    found = best(distribution, terms, budget_ms, 20)
    np.testing.assert_allclose(distribution.log_prob(found), top, atol=1e-9)
    assert (terms.values(found) <= budget_ms).all()


def test_what_cannot_be_derived_is_refused(monkeypatch):
    terms, distribution = Additive(0.0, [np.array([1.0, 2.0])] * 3), LayerWeights([np.zeros(2)] * 3)
    with pytest.raises(InfeasibleBudgetError, match=r"within 2\.9000 ms; the fastest takes 3\.0000 ms"):
        best(distribution, terms, 2.9)
    with pytest.raises(UsageError, match="count is 0"):
        best(distribution, terms, 5.0, 0)
    with pytest.raises(UsageError, match="rounded up may lose the best"):
        best_of(Trellis(terms, 5.0, rounding="up"), distribution)
    monkeypatch.setattr(derivation, "MAX_STEPS", 3)
    with pytest.raises(LatlasError, match=r"0 of 2 architectures .* in 3 steps"):
        best(distribution, terms, 5.0, 2)
