"""Draws within the budget, counted and bounded, and the gradient among them against enumeration."""

from itertools import product

import numpy as np
import pytest

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.draws import FeasibleDraws, Unrestricted, conditional_gradient
from latlas.search.gradient.sampling import FeasibleSampler

SIZES = (3, 2, 3)
TERMS = Additive(
    1.0,
    [np.array([0.5, 1.0, 2.0]), np.array([0.3, 1.1]), np.array([0.2, 0.9, 1.6])],
    {(0, 1): np.array([[0.0, 0.2], [0.3, 0.0], [0.1, 0.4]])},
)
BUDGET_MS = 3.7
GATES = [np.array([0.9, 0.4, -1.0]), np.array([0.5, -0.8]), np.array([0.3, 0.1, -0.7])]
"""The slowest options are the best."""
CODES = np.array(list(product(*map(range, SIZES))))


def within(codes):
    return TERMS.values(codes) <= BUDGET_MS


def weights_of(kind):
    return kind.initial(SIZES, np.random.default_rng(4), sd=0.7)


def feasible_mean(distribution):
    """The expected loss of the feasible architectures, where the loss is linear in the gates."""
    p = np.exp(distribution.log_prob(CODES)) * within(CODES)
    losses = sum(gate[CODES[:, column]] for column, gate in enumerate(GATES))
    return float(p @ losses / p.sum())


def flat(gradient):
    return np.concatenate([one.ravel() for one in gradient])


def samplers():
    return {
        "exact": FeasibleDraws(FeasibleSampler(TERMS, BUDGET_MS)),
        "rejection": FeasibleDraws(Unrestricted(), within),
        "both": FeasibleDraws(FeasibleSampler(TERMS, 1.1 * BUDGET_MS), within),
    }


@pytest.mark.parametrize("how", ["exact", "rejection", "both"])
@pytest.mark.parametrize("kind", [LayerWeights, AdjacentWeights])
def test_the_corrected_gradient_is_that_of_the_feasible_architectures(differences, kind, how):
    assert 0.3 < within(CODES).mean() < 0.7
    distribution, draws, rng = weights_of(kind), samplers()[how], np.random.default_rng(0)
    truth = flat(differences(distribution, feasible_mean))
    estimates = [flat(conditional_gradient(distribution, GATES, draws.many(distribution, 64, rng))) for _ in range(200)]
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(np.mean(estimates, axis=0) - truth) < 4.5 * error + 1e-9)
    # Equation 4, averaged over what is drawn, is another gradient: it has no view of what is feasible.
    p = np.exp(distribution.log_prob(CODES)) * within(CODES)
    plain = sum(w * flat(distribution.gate_gradient(row, GATES)) for w, row in zip(p / p.sum(), CODES, strict=True))
    assert np.abs(plain - truth).max() > 10 * error.max()


def test_without_a_constraint_the_corrected_gradient_is_equation_4():
    distribution = weights_of(LayerWeights)
    draws = FeasibleDraws(Unrestricted()).many(distribution, 100_000, np.random.default_rng(0))
    found = conditional_gradient(distribution, GATES, draws)
    np.testing.assert_allclose(flat(found), flat(distribution.gate_gradient(CODES[0], GATES)), atol=0.01)


def test_too_few_draws_say_nothing():
    distribution = weights_of(AdjacentWeights)
    for count in (0, 1):
        found = conditional_gradient(distribution, GATES, CODES[:count])
        assert [one.shape for one in found] == [one.shape for one in distribution.parameters]
        assert not flat(found).any()


def test_draws_are_counted():
    distribution, rng = weights_of(LayerWeights), np.random.default_rng(0)
    rejecting, exact = samplers()["rejection"], samplers()["exact"]
    tries = [rejecting.one(distribution, rng) for _ in range(2000)]
    assert all(within(row[None])[0] for row, _ in tries)
    share = float(np.exp(distribution.log_prob(CODES))[within(CODES)].sum())
    assert np.mean([count for _, count in tries]) == pytest.approx(1 / share, rel=0.1)
    assert all(exact.one(distribution, rng)[1] == 1 for _ in range(20))


def test_draws_are_bounded():
    seen = []

    def nothing(codes):
        seen.append(len(codes))
        return np.zeros(len(codes), dtype=bool)

    draws = FeasibleDraws(Unrestricted(), nothing, max_draws=1000)
    with pytest.raises(InfeasibleBudgetError, match="none of 1000 architectures that were drawn is within the budget"):
        draws.one(weights_of(LayerWeights), np.random.default_rng(0))
    assert sum(seen) == 1000
    seen.clear()
    assert draws.many(weights_of(LayerWeights), 64, np.random.default_rng(0)).shape == (0, 3)
    assert sum(seen) <= 3 * 1064
    with pytest.raises(UsageError, match="max_draws is 0"):
        FeasibleDraws(Unrestricted(), max_draws=0)
