"""The strategy over a distribution, beside what every strategy is tested for."""

import numpy as np
import pytest

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.latency.limits.additive import Additive
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.gradient.sampling import FeasibleSampler
from latlas.search.gradient.strategy import DistributionStrategy, reinforce_gradient
from latlas.search.strategies.strategy import Dropped, Evaluation
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space

KINDS = (LayerWeights, AdjacentWeights)
SPACE = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1")
SIZES = tuple(len(options) for options in SPACE.choices)
ALL = np.stack(np.unravel_index(np.arange(7**4), SIZES), axis=1)


def problem(seed=0, share=0.2):
    """Terms with a pair that is not adjacent, the budget that a share of the networks is within, and a quality of each code."""
    rng = np.random.default_rng(seed)
    unary = [rng.uniform(0.5, 1.5, size) for size in SIZES]
    terms = Additive(1.0, unary, {(0, 1): rng.normal(0, 0.2, (7, 7)), (1, 3): rng.normal(0, 0.2, (7, 7))})
    # Slow operators are good ones, and some go well with the next.
    good = Additive(
        0.2,
        [(0.1 * one + rng.normal(0, 0.03, 7)) for one in unary],
        {(layer, layer + 1): rng.normal(0, 0.03, (7, 7)) for layer in range(3)},
    )
    return terms, float(np.quantile(terms.values(ALL), share)), good


def strategy_of(kind, terms=None, budget_ms=None, seed=0, sd=1e-3, **settings):
    rng = np.random.default_rng(seed)
    distribution = kind.initial(SIZES, rng, sd)
    return DistributionStrategy(SPACE, rng, distribution, terms=terms, budget_ms=budget_ms, **settings)


def run(strategy, good, rounds, count=8):
    """The qualities of what it suggests, in order, each told to it."""
    found = []
    for _ in range(rounds):
        suggested = strategy.suggest(count)
        qualities = good.values(SPACE.encode(suggested))
        strategy.update([Evaluation(one, float(q)) for one, q in zip(suggested, qualities, strict=True)])
        found += qualities.tolist()
    return np.array(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_expected_is_that_of_the_expected_quality_within_the_budget(kind):
    terms, budget_ms, good = problem()
    distribution, sampler = (
        kind.initial(SIZES, np.random.default_rng(1), sd=1.0),
        FeasibleSampler(terms, budget_ms, 20_000),
    )
    within = ALL[terms.values(ALL) <= budget_ms]
    qualities = good.values(within)

    def given():
        p = np.exp(distribution.log_prob(within))
        return p / p.sum()

    truth = np.zeros_like(distribution.parameters[1])
    for index in np.ndindex(truth.shape):
        kept = distribution.parameters[1][index]
        for sign in (1, -1):
            distribution.parameters[1][index] = kept + sign * 1e-5
            truth[index] += sign * (given() @ qualities) / 2e-5
        distribution.parameters[1][index] = kept
    p = given()
    for baseline in (0.0, 0.3):
        # Codes weighted by how often they are drawn, in place of draws.
        weights = p * (qualities - baseline)
        expected = reinforce_gradient(distribution, sampler, within, weights)[1] * -len(within)
        np.testing.assert_allclose(expected, truth, atol=1e-8)
        plain = distribution.log_prob_gradient(within, weights)[1]  # without the correction
        assert np.abs(plain - truth).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_all_suggestions_are_within_the_budget_and_the_first_is_the_most_probable(kind):
    terms, budget_ms, _ = problem()
    strategy = strategy_of(kind, terms, budget_ms, sd=1.0, best_share=0.5)
    suggested = SPACE.encode(strategy.suggest(40))
    assert (terms.values(suggested) <= budget_ms).all()
    assert len(np.unique(suggested, axis=0)) == 40
    within = ALL[terms.values(ALL) <= budget_ms]
    order = within[np.argsort(-strategy.distribution.log_prob(within))]
    most_probable = np.flatnonzero((suggested[:30] != order[:30]).any(axis=1))[0]
    assert 12 <= most_probable <= 28


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sd", [1e-3, 30.0])
def test_a_small_space_is_searched_to_its_end_however_sharp_the_distribution(kind, sd):
    terms, _, good = problem()
    budget_ms = float(np.sort(terms.values(ALL))[59])
    strategy = strategy_of(kind, terms, budget_ms, sd=sd, bins=100)
    seen = set()
    for _ in range(60):
        suggested = strategy.suggest(4)
        assert len(suggested) == 4
        strategy.update([Evaluation(one, float(good.values(SPACE.encode([one]))[0])) for one in suggested])
        seen.update(suggested)
    assert len(seen) == 60


def test_what_was_dropped_as_outside_is_not_suggested_again_and_repeats_may_be():
    terms, budget_ms, _ = problem()
    strategy = strategy_of(LayerWeights, terms, budget_ms, sd=1.0, best_share=1.0, explore_share=0.0)
    first, second, third = strategy.suggest(3)
    strategy.dropped([Dropped(first, 0.1), Dropped(second, 0.0), Dropped(SPACE.baseline("mobilenetv3_small"), 1.0)])
    assert strategy.suggest(2) == [second, third]


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind in KINDS for seed in (0, 1, 2)])
def test_it_learns_what_is_good_within_the_budget(kind, seed):
    terms, budget_ms, good = problem(seed)
    within = ALL[terms.values(ALL) <= budget_ms]
    qualities = good.values(within)
    strategy = strategy_of(kind, terms, budget_ms, seed, bins=200)

    def expected():
        p = np.exp(strategy.distribution.log_prob(within))
        return p @ qualities / p.sum()

    before = expected()
    assert before == pytest.approx(qualities.mean(), abs=1e-3)
    run(strategy, good, 15)
    assert expected() > before + qualities.std() / 2


def test_without_learning_the_distribution_stays_as_it_was():
    terms, budget_ms, good = problem()
    strategy = strategy_of(AdjacentWeights, terms, budget_ms, learns=False)
    before = [one.copy() for one in strategy.distribution.parameters]
    run(strategy, good, 3)
    assert all((one == other).all() for one, other in zip(before, strategy.distribution.parameters, strict=True))


def test_steps_are_of_batches_however_they_are_told():
    terms, budget_ms, _ = problem()
    told = [Evaluation(one, 0.1 * k) for k, one in enumerate(list(enumerate_space(SPACE))[:7])]
    one, other = (strategy_of(LayerWeights, terms, budget_ms, batch=3) for _ in range(2))
    one.update(told)
    for evaluation in told:
        other.update([evaluation])
    assert one.steps == other.steps == 2
    for a, b in zip(one.distribution.parameters, other.distribution.parameters, strict=True):
        assert (a == b).all()


def test_baselines_teach_nothing():
    strategy = strategy_of(LayerWeights)
    strategy.update([Evaluation(SPACE.baseline("mobilenetv3_large"), 0.9)])
    assert strategy.baseline is None
    assert len(strategy.suggest(5)) == 5  # without terms nothing limits it


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": Additive(0.0, [np.zeros(7)] * 3), "budget_ms": 1.0}, r"must be of portrait.*\(7, 7, 7, 7\)"),
        ({"budget_ms": 1.0}, "given together"),
        ({"best_share": 0.7, "explore_share": 0.4}, r"best_share 0\.7 and explore_share 0\.4"),
        ({"batch": 0}, "batch 0"),
        ({"learning_rate": 0.0}, r"learning_rate 0\.0"),
        ({"baseline_decay": 1.0}, r"baseline_decay 1\.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        strategy_of(LayerWeights, **settings)


def test_an_impossible_budget_is_said_at_once():
    terms, _, _ = problem()
    with pytest.raises(InfeasibleBudgetError, match=r"within 0\.1000 ms; the fastest takes"):
        strategy_of(LayerWeights, terms, 0.1)
