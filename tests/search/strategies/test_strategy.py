"""One class that every strategy passes: a new one gets it by its name in STRATEGIES or FRONT_STRATEGIES."""

from typing import Any

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.make import make_strategy
from latlas.search.strategies.names import (
    FRONT_STRATEGIES,
    OPTUNA_STRATEGIES,
    REGISTRY,
    STRATEGIES,
    TRAINED_STRATEGIES,
    register_strategy,
)
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space
from latlas.testing import StrategySuite
from latlas.testing.strategies import PLAIN, SKIP, quality, told

SPACES = {"plain": PLAIN, "skip": SKIP}


class TestEveryStrategy(StrategySuite):
    strategies = (*STRATEGIES, *FRONT_STRATEGIES)
    # Their suggestions are trials of a study from the moment on that they are asked for.
    asked = (*OPTUNA_STRATEGIES, "front-nsgaii")
    slow = {"optuna-gp": (4, 2)}  # noqa: RUF012


def test_the_quality_that_strategies_are_tried_on_is_the_share_of_mbconv_k5():
    for text in SPACES.values():
        for one in parse_space(text).sample(20, np.random.default_rng(0)):
            names = one.operators
            assert quality(one) == names.count("mbconv_k5") / len(names) * 0.9 + 0.1 * (names[0] != names[-1])


@pytest.mark.parametrize("name", ["near_best", "evolution", "optuna-nsgaii", "optuna-tpe"])
def test_a_strategy_that_learns_finds_better_networks_than_random_search(name):
    """In most of the seeds, at equal evaluations, where the quality has something to learn."""
    space, wins = parse_space(SPACES["skip"]), 0
    for seed in range(5):
        best = []
        for one in (name, "optuna-random"):
            strategy = make_strategy(one, space, np.random.default_rng(seed), 80)
            found: list[float] = []
            while len(found) < 80:
                suggested = strategy.suggest(4)
                strategy.update(told(suggested))
                found += map(quality, suggested)
            best.append(np.mean(sorted(found)[-10:]))
        wins += best[0] > best[1]
    assert wins >= 4


def test_spaces_are_small_enough_to_be_gone_through():
    assert len(list(enumerate_space(parse_space(SPACES["plain"])))) == 7**4


def test_an_unknown_strategy_is_refused_with_those_there_are():
    with pytest.raises(
        UsageError, match="unknown strategy 'annealing'; known: evolution, evolution-ofa, front-evolution"
    ):
        make_strategy("annealing", parse_space(SPACES["plain"]), np.random.default_rng(0), 10)


def test_a_storage_is_refused_by_what_would_not_use_it():
    context = StrategyContext(storage="journal:search.log", study="one")
    with pytest.raises(UsageError, match="'evolution' keeps nothing in a storage"):
        make_strategy("evolution", parse_space(SPACES["plain"]), np.random.default_rng(0), 10, context=context)


@pytest.mark.parametrize("name", TRAINED_STRATEGIES)
def test_what_needs_a_trained_distribution_says_so(name):
    space = parse_space(SPACES["plain"])
    with pytest.raises(UsageError, match=f"'{name}' searches trained .*, none was given; train them first"):
        make_strategy(name, space, np.random.default_rng(0), 10)
    other = LayerWeights if name.endswith("-adjacent") else AdjacentWeights
    wrong = StrategyContext(distribution=other.initial((7, 7, 7, 7), np.random.default_rng(0)))
    with pytest.raises(UsageError, match=f"{other.__name__} was given"):
        make_strategy(name, space, np.random.default_rng(0), 10, context=wrong)


def test_another_packages_strategy_is_given_what_it_takes(monkeypatch):
    def named(name, context, evaluations, weight=3):
        return name, context.near_share, evaluations, weight

    monkeypatch.setattr(REGISTRY, "_things", REGISTRY.loaded())
    register_strategy("named", named)
    space, rng = parse_space(SPACES["plain"]), np.random.default_rng(0)
    given: Any = make_strategy("named", space, rng, 10)
    assert given == ("named", 0.5, 10, 3)
    register_strategy("greedy", lambda space, temperature: None)
    with pytest.raises(
        UsageError, match="'greedy' of package tests takes space, temperature; it may take name, space, rng"
    ):
        make_strategy("greedy", space, rng, 10)
    with pytest.raises(
        UsageError, match="strategy 'evolution' is registered already, by Latlas; package tests must give"
    ):
        register_strategy("evolution", named)
    with pytest.raises(UsageError, match="it must be a callable that makes a strategy"):
        register_strategy("number", 3)
