"""One class that every strategy passes: a new one gets it by its name in STRATEGIES or FRONT_STRATEGIES."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.limits.additive import Additive
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import FRONT_STRATEGIES, OPTUNA_STRATEGIES, STRATEGIES, TRAINED_STRATEGIES
from latlas.search.strategies.strategy import Dropped, Evaluation, StrategyContext
from latlas.spaces.graph import graph_macs
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space

SPACES = {
    "plain": "portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1",
    "skip": "portrait:height=32,width=32,widths=8.8.16.16,depths=1.2.2.1,skip=true",
}
EVALUATIONS = 24
ALL = (*STRATEGIES, *FRONT_STRATEGIES)
ASKED = {*OPTUNA_STRATEGIES, "front-nsgaii"}
"""Their suggestions are trials of a study from the moment on that they are asked for, so that asking is a change."""
SLOW = {"optuna-gp": (4, 2)}
"""Rounds and suggestions a round, of strategies whose every suggestion takes a good part of a second."""
BATCH, ROUNDS = 5, 6


def quality(architecture):
    """A quality without chance: the share of `mbconv_k5`, and a little for distance from the last operator."""
    names = architecture.operators
    return names.count("mbconv_k5") / len(names) * 0.9 + 0.1 * (names[0] != names[-1])


def latency(architecture):
    """Made-up milliseconds: multiply-adds, which are a sum over the layers."""
    return graph_macs(architecture.graph()) / 1e4


def told(architectures):
    return [Evaluation(one, quality(one), latency(one)) for one in architectures]


def context_of(space, share=0.5):
    """What a session knows, with a budget that this share of the space holds."""
    base = [options[0] for options in space.choices]
    constant = latency(space.architecture(base))
    unary = [
        np.array([latency(space.architecture([*base[:i], name, *base[i + 1 :]])) - constant for name in options])
        for i, options in enumerate(space.choices)
    ]
    terms = Additive(constant, unary)
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(len(options), size=4000) for options in space.choices], axis=1)
    return StrategyContext(terms=terms, budget_ms=float(np.quantile(terms.values(codes), share)))


def strategy_of(name, space, seed, context=None):
    """The strategy, with a distribution that stands for a trained one where it needs that."""
    if name in TRAINED_STRATEGIES:
        kind = AdjacentWeights if name.endswith("-adjacent") else LayerWeights
        sizes = tuple(len(options) for options in space.choices)
        context = replace(context or StrategyContext(), distribution=kind.initial(sizes, np.random.default_rng(5), 0.5))
    return make_strategy(name, space, np.random.default_rng(seed), EVALUATIONS, context=context)


def drive(name, space, seed, informed=False):
    """Everything a strategy suggests in some rounds, each round evaluated and told to it."""
    strategy, seen = strategy_of(name, space, seed, context_of(space) if informed else None), []
    rounds, batch = SLOW.get(name, (ROUNDS, BATCH))
    for _ in range(rounds):
        suggested = strategy.suggest(batch)
        strategy.update(told(suggested))
        seen += [str(one) for one in suggested]
    return seen


OTHER_PROCESS = """
import importlib.util, json, sys
import latlas.spaces.portrait
from latlas.spaces.text import parse_space
spec = importlib.util.spec_from_file_location("conformance", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
space = parse_space(sys.argv[2])
print(json.dumps({name: module.drive(name, space, 7, sys.argv[3] == "True") for name in module.ALL}))
"""


@pytest.fixture(scope="module", params=[("plain", False), ("skip", True)], ids=["plain", "skip-with-context"])
def setting(request):
    """A space, and whether strategies are told what a session knows."""
    name, informed = request.param
    return parse_space(SPACES[name]), informed


@pytest.fixture(scope="module")
def elsewhere(setting):
    """What each strategy suggests in another process, whose strings hash differently."""
    space, informed = setting
    command = [sys.executable, "-P", "-c", OTHER_PROCESS, __file__, space.text, str(informed)]
    environment = os.environ | {"PYTHONHASHSEED": "99"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def driven(setting):
    """What each strategy suggests with seed 7, found once."""
    return {name: drive(name, setting[0], 7, setting[1]) for name in ALL}


class Macs:
    """A predictor of `latency`, that knows it to 2 %."""

    def predict_interval(self, graphs, confidence=0.95):
        return [Prediction(ms, 0.98 * ms, 1.02 * ms) for ms in (graph_macs(graph) / 1e4 for graph in graphs)]


@pytest.mark.parametrize("name", ALL)
class TestEveryStrategy:
    def make(self, name, setting, seed=0):
        return strategy_of(name, setting[0], seed, context_of(setting[0]) if setting[1] else None)

    def test_says_its_name(self, name, setting):
        assert self.make(name, setting).name == name

    @pytest.mark.parametrize("count", [1, 2, 7, 40])
    def test_suggests_as_many_architectures_of_the_space_as_asked_for(self, name, setting, count):
        strategy, space = self.make(name, setting), setting[0]
        rounds = 4 if name not in SLOW else 2 if count < 7 else 1
        for _ in range(rounds):
            suggested = strategy.suggest(count)
            assert len(suggested) == count
            for one in suggested:
                assert one.space == space
                assert not one.is_baseline
                assert space.architecture(one.operators) == one  # raises where an operator is not of the layer
                one.graph()
            strategy.update(told(suggested))

    def test_suggests_the_same_for_the_same_seed_and_updates(self, name, setting, driven):
        assert drive(name, setting[0], 7, setting[1]) == driven[name]

    def test_suggests_the_same_in_another_process(self, name, elsewhere, driven):
        assert elsewhere[name] == driven[name]

    def test_suggests_others_for_another_seed(self, name, setting, driven):
        assert drive(name, setting[0], 8, setting[1]) != driven[name]

    def test_learns_only_through_update(self, name, setting):
        if name in ASKED:
            pytest.skip("what Optuna is asked for is a trial of its study")
        strategy = self.make(name, setting)
        for _ in range(6):
            before = {key: repr(value) for key, value in vars(strategy).items() if key != "rng"}
            suggested = strategy.suggest(5)
            assert {key: repr(value) for key, value in vars(strategy).items() if key != "rng"} == before
            strategy.update(told(suggested))

    def test_update_leaves_chance_alone_and_nothing_to_learn_changes_nothing(self, name, setting):
        strategy, other = self.make(name, setting), self.make(name, setting)
        suggested, more = strategy.suggest(EVALUATIONS), 9 if name not in SLOW else 1
        other.suggest(EVALUATIONS)
        state = repr(strategy.rng.bit_generator.state)
        strategy.update(told(suggested))
        assert repr(strategy.rng.bit_generator.state) == state
        strategy.update([])
        other.update(told(suggested))
        assert strategy.suggest(more) == other.suggest(more)

    def test_does_not_care_how_updates_are_cut(self, name, setting):
        at_once, one_by_one = self.make(name, setting), self.make(name, setting)
        all_told, more = told(at_once.suggest(EVALUATIONS)), 9 if name not in SLOW else 1
        one_by_one.suggest(EVALUATIONS)
        at_once.update(all_told)
        for one in all_told:
            one_by_one.update([one])
        assert at_once.suggest(more) == one_by_one.suggest(more)

    def test_takes_what_it_did_not_suggest(self, name, setting):
        strategy = self.make(name, setting)
        space = setting[0]
        strategy.update(told([*space.cover()[:3], space.baseline(space.baselines[0])]))
        assert len(strategy.suggest(3)) == 3

    def test_bears_that_suggestions_are_dropped_or_never_heard_of(self, name, setting):
        strategy = self.make(name, setting)
        dropped = getattr(strategy, "dropped", lambda dropped: None)
        for _ in range(3):
            suggested = strategy.suggest(4)
            assert len(suggested) == 4
            dropped([Dropped(suggested[0], 0.5), Dropped(suggested[1])])
            strategy.update(told(suggested[2:3]))
            dropped([Dropped(one) for one in suggested])  # as at the end of a search: all once more

    def test_finds_what_there_is_under_a_tight_budget(self, name, setting):
        space, informed = setting
        known = context_of(space, share=0.02)
        assert known.budget_ms is not None
        constraint = LatencyConstraint(Macs(), 1.02 * known.budget_ms, scale_error=0.0)
        strategy = strategy_of(name, space, 0, known if informed else None)
        wanted = 12 if name not in SLOW else 6
        history = run_search(strategy, constraint, quality, wanted, start=(min(space.cover(), key=latency),))
        assert len({one.architecture for one in history.candidates}) == wanted
        assert max(latency(one.architecture) for one in history.candidates) <= known.budget_ms


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
