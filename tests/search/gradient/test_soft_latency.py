"""The expected latency against enumeration, and the soft losses against finite differences."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.soft_latency import SoftLatency, expected_latency


@st.composite
def cases(draw):
    """A distribution of either kind, and terms of any pairs of its columns, either way round."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pairs = [(i, j) for i in range(len(sizes)) for j in range(len(sizes)) if i != j]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=5)) if pairs else []
    terms = Additive(
        float(rng.uniform(0, 2)),
        [rng.uniform(0.1, 1.0, size) for size in sizes],
        {(i, j): rng.normal(0, 0.1, (sizes[i], sizes[j])) for i, j in chosen},
    )
    kind = draw(st.sampled_from([LayerWeights, AdjacentWeights]))
    return kind.initial(sizes, rng, sd=1.0), terms


def enumerated(distribution, terms):
    codes = np.array(list(product(*map(range, distribution.sizes))))
    return float(np.exp(distribution.log_prob(codes)) @ terms.values(codes))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_the_expected_latency_is_that_of_all_architectures(differences, case):
    distribution, terms = case
    expected_ms, gradient = expected_latency(distribution, terms)
    assert expected_ms == pytest.approx(enumerated(distribution, terms), rel=1e-12)
    wanted = differences(distribution, lambda one: enumerated(one, terms))
    for ours, theirs in zip(gradient, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(cases(), st.sampled_from(["sum", "product"]), st.floats(0, 2))
def test_soft_losses_have_the_gradient_of_their_differences(differences, case, form, strength):
    distribution, terms = case
    soft = SoftLatency(terms, 1.7, strength, form)
    # A loss that depends on the parameters by itself: the expected value of another sum.
    rng = np.random.default_rng(0)
    other = Additive(1.0, [rng.uniform(0, 1, size) for size in distribution.sizes])

    def whole():
        loss, ratio = enumerated(distribution, other), enumerated(distribution, terms) / 1.7
        return loss + strength * (ratio - 1) if form == "sum" else loss * ratio**strength

    total, gradient = soft.apply(distribution, *expected_latency(distribution, other))
    assert total == pytest.approx(whole(), rel=1e-12)
    for ours, theirs in zip(gradient, differences(distribution, lambda _: whole()), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_by_hand():
    terms = Additive(1.0, [np.array([0.0, 2.0])])
    expected_ms, gradient = expected_latency(LayerWeights([np.zeros(2)]), terms)
    assert expected_ms == 2.0
    assert gradient[0].tolist() == pytest.approx([-0.5, 0.5])
    total, whole = SoftLatency(terms, 4.0, 3.0).apply(LayerWeights([np.zeros(2)]), 1.0, [np.zeros(2)])
    assert total == pytest.approx(1 + 3 * (0.5 - 1))
    assert whole[0].tolist() == pytest.approx([-0.375, 0.375])


def test_what_does_not_fit_is_refused():
    terms = Additive(0.0, [np.zeros(2)])
    for settings_, message in (
        ({"form": "ratio"}, "form is 'ratio'; known: sum, product"),
        ({"reference_ms": 0.0}, "reference_ms is 0.0"),
        ({"strength": -1.0}, "strength is -1.0"),
    ):
        with pytest.raises(UsageError, match=message):
            SoftLatency(**{"terms": terms, "reference_ms": 1.0, "strength": 1.0, **settings_})
    with pytest.raises(UsageError, match="columns with"):
        expected_latency(LayerWeights([np.zeros(3)]), terms)
    with pytest.raises(UsageError, match="a product needs one above 0"):
        SoftLatency(terms, 1.0, 0.5, "product").apply(LayerWeights([np.zeros(2)]), 1.0, [np.zeros(2)])
