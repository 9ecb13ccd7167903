"""Draws within a budget, against enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.rejection import RejectionSampler
from latlas.errors import InfeasibleBudgetError, LatlasError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.sampling import FeasibleSampler
from latlas.search.gradient.trellis import Trellis

KINDS = (LayerWeights, AdjacentWeights)
PAIRS = [(i, j) for i in range(5) for j in range(5) if i < j]


def terms_of(sizes, pairs, rng):
    """Terms with some pairs, adjacent or not, some of them turned."""
    turned = [pair[::-1] if rng.random() < 0.3 else pair for pair in pairs if max(pair) < len(sizes)]
    unary = [rng.uniform(0.1, 1.0, size) for size in sizes]
    return Additive(0.7, unary, {(i, j): rng.normal(0, 0.3, (sizes[i], sizes[j])) for i, j in turned})


@st.composite
def cases(draw):
    """Terms, a distribution, and a budget in the middle of a gap between two networks."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    terms = terms_of(sizes, draw(st.lists(st.sampled_from(PAIRS), unique=True)), rng)
    distribution = draw(st.sampled_from(KINDS)).initial(sizes, rng, sd=1.0)
    values = np.sort(terms.values(everything(sizes)))
    place = draw(st.integers(0, len(values) - 1))
    budget_ms = float(values[place : place + 2].mean())
    return terms, distribution, budget_ms


def everything(sizes):
    return np.array(list(product(*(range(size) for size in sizes))))


def truth(terms, distribution, budget_ms):
    """All codes, those within the budget, and their probabilities given that they are."""
    codes = everything(terms.sizes)
    within = terms.values(codes) <= budget_ms
    p = np.where(within, np.exp(distribution.log_prob(codes)), 0.0)
    return codes, within, p.sum(), p / p.sum()


def assert_drawn_from(p, codes, sizes):
    """Chi-square at 99.9 %, of seeds that are fixed."""
    seen = np.bincount(np.ravel_multi_index(codes.T, sizes), minlength=len(p))
    assert not seen[p == 0].any()
    expected = len(codes) * p[p > 0]
    assert ((seen[p > 0] - expected) ** 2 / expected).sum() < stats.chi2.ppf(0.999, len(expected) - 1)


def close(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


FIXED_SIZES = (3, 2, 3, 2)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def fixed(request):
    """36 networks, about half of them within the budget, with pairs that are no neighbours."""
    rng = np.random.default_rng(11)
    terms = terms_of(FIXED_SIZES, [(0, 1), (0, 3), (2, 3)], rng)
    distribution = request.param.initial(FIXED_SIZES, rng, sd=0.7)
    return terms, distribution, float(np.median(terms.values(everything(FIXED_SIZES))))


@pytest.mark.parametrize("bins", [1, 15, 100_000])
def test_exact_draws_are_of_the_distribution_given_the_budget(fixed, bins):
    terms, distribution, budget_ms = fixed
    sampler = FeasibleSampler(terms, budget_ms, bins)
    drawn = sampler.sample(distribution, 20_000, np.random.default_rng(1))
    assert drawn.shape == (20_000, 4)
    assert_drawn_from(truth(*fixed)[3], drawn, FIXED_SIZES)
    assert sampler.drawn - sampler.rejected >= 20_000
    assert (sampler.rejected > 0) == (bins < 1000)  # what rounding down let through


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([1, 7, 300]), st.integers(0, 2**32 - 1))
def test_nothing_drawn_is_above_the_budget_and_the_share_lies_between_its_bounds(case, bins, seed):
    terms, distribution, budget_ms = case
    sampler = FeasibleSampler(terms, budget_ms, bins)
    assert (terms.values(sampler.sample(distribution, 20, np.random.default_rng(seed))) <= budget_ms).all()
    share = truth(*case)[2]
    lower, upper = sampler.log_feasible_bounds(distribution)
    assert lower - 1e-9 <= np.log(share) <= upper + 1e-9
    assert sampler.log_feasible(distribution) <= 0.0


@settings(max_examples=60, deadline=None)
@given(cases())
def test_with_bins_finer_than_the_gaps_all_is_that_of_enumeration(case):
    terms, distribution, budget_ms = case
    codes, within, share, p = truth(*case)
    sampler = FeasibleSampler(terms, budget_ms, 20_000)
    gap = np.abs(terms.values(codes) - budget_ms)
    width_ms = Trellis(terms, budget_ms, bins=20_000).width_ms
    assume((gap > width_ms * len(terms.sizes)).all() or within.all())
    assert sampler.log_feasible(distribution) == pytest.approx(np.log(share), abs=1e-9)
    assert sampler.log_feasible_bounds(distribution) == pytest.approx((np.log(share),) * 2, abs=1e-9)
    close(sampler.log_feasible_gradient(distribution), distribution.log_prob_gradient(codes, p), atol=1e-9)
    unary, pairwise = sampler.marginals(distribution)
    for column, marginal in enumerate(unary):
        close([marginal], [np.bincount(codes[:, column], p, len(marginal))], atol=1e-9)
    assert set(pairwise) == set(distribution.unary_pairwise_log()[1])
    for (i, j), table in pairwise.items():
        assert table.sum() == pytest.approx(1.0)
        close(
            [table[codes[0, i], codes[0, j]]], [p[(codes[:, [i, j]] == codes[0, [i, j]]).all(axis=1)].sum()], atol=1e-9
        )


@settings(max_examples=15, deadline=None)
@given(cases())
def test_the_gradient_of_the_share_is_that_of_finite_differences(case):
    terms, distribution, budget_ms = case
    sampler = FeasibleSampler(terms, budget_ms, 100)
    gradient = [one.copy() for one in distribution.parameters]
    for one, into in zip(distribution.parameters, gradient, strict=True):
        for index in np.ndindex(one.shape):
            kept = one[index]
            one[index] = kept + 1e-5
            above = sampler.log_feasible(distribution)
            one[index] = kept - 1e-5
            into[index] = (above - sampler.log_feasible(distribution)) / 2e-5
            one[index] = kept
    close(sampler.log_feasible_gradient(distribution), gradient, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_that_all_are_within_changes_nothing(kind):
    rng = np.random.default_rng(2)
    terms, distribution = terms_of((3, 3), [(0, 1)], rng), kind.initial((3, 3), rng, sd=1.0)
    sampler = FeasibleSampler(terms, 1e9, bins=3)
    assert sampler.log_feasible_bounds(distribution) == pytest.approx((0.0, 0.0))
    close(sampler.log_feasible_gradient(distribution), [np.zeros_like(p) for p in distribution.parameters], atol=1e-12)
    assert_drawn_from(
        np.exp(distribution.log_prob(everything((3, 3)))), sampler.sample(distribution, 5000, rng), (3, 3)
    )
    assert sampler.rejected == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_of_the_fastest_leaves_the_fastest(kind):
    rng = np.random.default_rng(4)
    terms, distribution = terms_of((3, 3, 3), [(0, 1), (1, 2)], rng), kind.initial((3, 3, 3), rng, sd=1.0)
    values = terms.values(everything((3, 3, 3)))
    sampler = FeasibleSampler(terms, float(values.min()))
    fastest = everything((3, 3, 3))[values.argmin()]
    assert (sampler.sample(distribution, 50, rng) == fastest).all()
    assert sampler.log_feasible(distribution) == pytest.approx(distribution.log_prob(fastest[None])[0], abs=1e-6)
    with pytest.raises(InfeasibleBudgetError, match="the fastest takes"):
        FeasibleSampler(terms, float(values.min()) - 1e-6)


def test_a_distribution_trained_since_is_drawn_from_as_it_is_now():
    terms = Additive(0.0, [np.array([1.0, 2.0])] * 2)
    distribution, sampler = LayerWeights([np.zeros(2), np.zeros(2)]), FeasibleSampler(terms, 3.5)
    assert sampler.log_feasible(distribution) == pytest.approx(np.log(0.75))
    distribution.parameters[0][:] = [np.log(3.0), 0.0]
    assert sampler.log_feasible(distribution) == pytest.approx(np.log(1 - 0.25 / 2))
    assert sampler.log_feasible(AdjacentWeights([np.zeros(2), np.zeros((2, 2))])) == pytest.approx(np.log(0.75))


def test_probabilities_too_small_for_floats_are_no_difficulty():
    distribution = LayerWeights([np.array([0.0, 500.0, 900.0])] * 3)
    sampler = FeasibleSampler(Additive(0.0, [np.array([1.0, 2.0, 3.0])] * 3), 5.5)
    assert sampler.log_feasible(distribution) == pytest.approx(
        -1700 + np.log(3)
    )  # 3-1-1 and 2-2-1; 3-1-1 wins... by far
    drawn = sampler.sample(distribution, 300, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == 3


def nearly_certain(above_ms, odds):
    """One of two operators is nearly always drawn, and is so much above the budget of 2."""
    return Additive(0.0, [np.array([1.0, 2.0 + above_ms])]), LayerWeights([np.array([0.0, odds])])


def test_finer_bins_are_taken_where_rounding_lets_too_much_through():
    terms, distribution = nearly_certain(5e-4, 20.0)
    sampler = FeasibleSampler(terms, 2.0, bins=1000)
    assert (sampler.sample(distribution, 5, np.random.default_rng(0)) == 0).all()
    assert sampler.rejected == 2000  # those of the coarse bins


def test_draws_that_no_bins_are_fine_enough_for_are_bounded():
    terms, distribution = nearly_certain(1e-12, 60.0)
    with pytest.raises(LatlasError, match=r"0 of 3600 .* within 2\.0000 ms, 1 were asked for"):
        FeasibleSampler(terms, 2.0).sample(distribution, 1, np.random.default_rng(0))


def test_rejection_draws_from_the_same(fixed):
    terms, distribution, budget_ms = fixed
    sampler = RejectionSampler(lambda codes: terms.values(codes) <= budget_ms, np.random.default_rng(0))
    drawn = sampler.sample(distribution, 20_000, np.random.default_rng(1))
    _, _, share, p = truth(*fixed)
    assert_drawn_from(p, drawn, FIXED_SIZES)
    assert 1 - sampler.rejected / sampler.drawn == pytest.approx(share, abs=0.02)


def test_rejection_estimates_the_share_and_its_gradient(fixed):
    terms, distribution, budget_ms = fixed
    codes, _, share, p = truth(*fixed)
    sampler = RejectionSampler(
        lambda codes: terms.values(codes) <= budget_ms, np.random.default_rng(0), estimate_draws=40_000
    )
    assert sampler.log_feasible(distribution) == pytest.approx(np.log(share), abs=0.03)
    gradient = sampler.log_feasible_gradient(distribution)
    close(gradient, distribution.log_prob_gradient(codes, p), atol=0.015)
    assert not np.array_equal(sampler.log_feasible_gradient(distribution)[0], gradient[0])  # of new draws


def test_rejection_draws_on_until_something_is_feasible():
    distribution = LayerWeights([np.log([0.99, 0.01])])
    sampler = RejectionSampler(lambda codes: codes[:, 0] == 1, np.random.default_rng(0), estimate_draws=2)
    shares = [np.exp(sampler.log_feasible(distribution)) for _ in range(50)]
    assert 0 < min(shares) < max(shares) <= 1
    gradient = sampler.log_feasible_gradient(distribution)
    close(gradient, [np.array([-0.99, 0.99])], atol=1e-9)  # all that is feasible is this one


def test_rejection_is_bounded():
    distribution = LayerWeights([np.zeros(2)])
    never = RejectionSampler(lambda codes: np.zeros(len(codes), dtype=bool), np.random.default_rng(0), max_draws=500)
    with pytest.raises(InfeasibleBudgetError, match="0 of 500 architectures drawn are feasible, 3 were asked for"):
        never.sample(distribution, 3, np.random.default_rng(0))
    with pytest.raises(InfeasibleBudgetError, match="none of 500"):
        never.log_feasible(distribution)
    with pytest.raises(UsageError, match="max_draws 0"):
        RejectionSampler(never.screen, np.random.default_rng(0), max_draws=0)


def test_what_is_no_trellis_is_refused():
    terms = Additive(0.0, [np.zeros(2), np.zeros(2)])
    with pytest.raises(UsageError, match="bins is 0"):
        Trellis(terms, 1.0, bins=0)
    with pytest.raises(UsageError, match=r"pairs \[\(0, 1\)\] is not of this trellis"):
        Trellis(terms, 1.0).weights(AdjacentWeights([np.zeros(2), np.zeros((2, 2))]))
    with pytest.raises(InfeasibleBudgetError, match="nan"):
        Trellis(terms, float("nan"))
