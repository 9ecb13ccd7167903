"""The fastest, the slowest and the count of a space, against enumerating it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.latency.limits import additive as feasible
from latlas.latency.limits.additive import Additive, Counted, extreme, extreme_of, share_within


@st.composite
def sums(draw):
    """Terms of up to six columns, with any pairs among them."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pairs = [(i, j) for i in range(len(sizes)) for j in range(len(sizes)) if i < j]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    turned = [pair[::-1] if rng.random() < 0.3 else pair for pair in chosen]
    return Additive(
        float(rng.uniform(0, 2)),
        [rng.uniform(0.1, 1.0, size) for size in sizes],
        {pair: rng.normal(0, 0.3, (sizes[pair[0]], sizes[pair[1]])) for pair in turned},
    )


def everything(terms):
    return np.array(list(product(*(range(size) for size in terms.sizes))))


def chain(columns, options=7, seed=0):
    rng = np.random.default_rng(seed)
    unary = [rng.uniform(0.1, 1.0, options) for _ in range(columns)]
    pairs = {(i, i + 1): rng.normal(0, 0.05, (options, options)) for i in range(columns - 1)}
    return Additive(1.0, unary, pairs)


def test_the_sum_is_what_it_says():
    terms = Additive(1.0, [np.array([0.5, 2.0]), np.array([3.0, 4.0])], {(1, 0): np.array([[0.1, 0.2], [0.3, 0.4]])})
    assert terms.values(np.array([[0, 0], [1, 0], [0, 1]])).tolist() == pytest.approx([4.6, 6.2, 5.8])
    assert (extreme(terms).codes, extreme(terms, -1).codes) == ((0, 0), (1, 1))
    assert extreme(terms, -1).latency_ms == pytest.approx(7.4)


@settings(max_examples=60, deadline=None)
@given(sums(), st.sampled_from([1, -1]))
def test_the_extreme_is_that_of_all_networks(terms, sign):
    values = terms.values(everything(terms))
    found = extreme(terms, sign)
    assert found.how == "exact"
    assert found.latency_ms == pytest.approx(sign * (sign * values).min())
    assert terms.values(np.array([found.codes]))[0] == found.latency_ms


@settings(max_examples=60, deadline=None)
@given(sums(), st.floats(0, 1))
def test_the_share_lies_between_its_bounds(terms, quantile):
    values = terms.values(everything(terms))
    budget_ms = float(np.quantile(values, quantile)) + 1e-9
    found = share_within(terms, budget_ms, bins=500)
    assert found.lower - 1e-12 <= np.mean(values <= budget_ms) <= found.upper + 1e-12
    assert found.error_ms <= max(1e-9, 0.01 * len(terms.sizes) * (np.ptp(values) + 4))


@settings(max_examples=40, deadline=None)
@given(sums(), st.floats(0.001, 1))
def test_so_many_networks_are_within_a_quantile(terms, share):
    values = np.sort(terms.values(everything(terms)))
    counted = Counted(terms, bins=500)
    exact = values[min(len(values) - 1, int(np.ceil(share * len(values) - 1e-6)) - 1)]
    assert abs(counted.quantile(share) - exact) <= counted.error_ms + 1e-9


def test_networks_that_all_take_as_long():
    counted = Counted(Additive(1.0, [np.full(3, 0.5)] * 2))
    assert (counted.quantile(0.1), counted.quantile(1.0)) == (2.0, 2.0)
    assert (counted.share(1.9).upper, counted.share(2.0).lower) == (0.0, 1.0)


def test_a_space_too_large_to_enumerate_is_counted_to_a_thousandth():
    terms = chain(14)
    sample = np.random.default_rng(1).integers(0, 7, (20_000, 14))
    budget_ms = float(np.quantile(terms.values(sample), 0.03))
    found = share_within(terms, budget_ms)
    assert 0 < found.upper - found.lower < 1e-3
    assert found.lower == pytest.approx(0.03, abs=0.005)
    assert extreme(terms).latency_ms <= terms.values(sample).min()
    assert extreme(terms, -1).latency_ms >= terms.values(sample).max()


def test_no_network_and_all_networks_are_exact_shares():
    terms = chain(3)
    fastest, slowest = (extreme(terms, sign).latency_ms for sign in (1, -1))
    assert share_within(terms, fastest - 1e-6).upper == 0.0
    assert share_within(terms, slowest + 1e-6).lower == 1.0


def test_pairs_that_make_an_exact_answer_too_wide_are_refused(monkeypatch):
    monkeypatch.setattr(feasible, "MAX_FRONTIER", 100)
    rng = np.random.default_rng(0)
    pairs = {(i, j): rng.normal(size=(7, 7)) for i in range(6) for j in range(i)}
    with pytest.raises(UsageError, match="343 combinations of operators would be kept apart, 100 are the most"):
        extreme(Additive(0.0, [np.zeros(7)] * 6, pairs))
    with pytest.raises(UsageError, match=r"a pair of columns is \(0, 0\)"):
        extreme(Additive(0.0, [np.zeros(2)], {(0, 0): np.zeros((2, 2))}))


def curved(codes):
    """Not a sum of terms of columns: a cache makes the large slower."""
    total = chain(5, 3, seed=4).values(codes)
    return total * (1 + 0.1 * np.log(total))


@pytest.mark.parametrize("sign", [1, -1])
def test_any_function_is_enumerated_where_its_networks_are_few_and_descended_where_not(sign):
    values = curved(np.array(list(product(range(3), repeat=5))))
    listed = extreme_of(curved, [3] * 5, sign)
    descended = extreme_of(curved, [3] * 5, sign, at_most=10)
    assert (listed.how, descended.how) == ("enumerated", "descent")
    assert listed.latency_ms == pytest.approx(sign * (sign * values).min())
    assert curved(np.array([listed.codes]))[0] == pytest.approx(listed.latency_ms)
    assert sign * descended.latency_ms >= sign * listed.latency_ms - 1e-12
