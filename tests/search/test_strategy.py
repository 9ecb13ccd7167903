"""One class that every strategy passes: a new one gets it by its name in STRATEGIES."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from latlas.latency.errors import UsageError
from latlas.search.evolution import Evolution
from latlas.search.random_search import draw
from latlas.search.strategy import STRATEGIES, Evaluation, make_strategy
from latlas.supernet.portrait import PortraitSpace
from latlas.supernet.space import enumerate_space, parse_space

SPACES = {
    "plain": "portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1",
    "skip": "portrait:height=32,width=32,widths=8.8.16.16,depths=1.2.2.1,skip=true",
}
EVALUATIONS = 24


def quality(architecture):
    """A quality without chance: the share of `mbconv_k5`, and a little for distance from the last operator."""
    names = architecture.operators
    return names.count("mbconv_k5") / len(names) * 0.9 + 0.1 * (names[0] != names[-1])


def drive(name, space, seed, rounds=6):
    """Everything a strategy suggests in some rounds, each round evaluated and told to it."""
    strategy, seen = make_strategy(name, space, np.random.default_rng(seed), EVALUATIONS), []
    for _ in range(rounds):
        suggested = strategy.suggest(5)
        strategy.update([Evaluation(one, quality(one)) for one in suggested])
        seen += [str(one) for one in suggested]
    return seen


OTHER_PROCESS = """
import importlib.util, json, sys
import latlas.supernet.portrait
from latlas.supernet.space import parse_space
spec = importlib.util.spec_from_file_location("conformance", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
space = parse_space(sys.argv[2])
print(json.dumps({name: module.drive(name, space, 7) for name in module.STRATEGIES}))
"""


@pytest.fixture(scope="module", params=sorted(SPACES))
def space(request):
    return parse_space(SPACES[request.param])


@pytest.fixture(scope="module")
def elsewhere(space):
    """What each strategy suggests in another process, whose strings hash differently."""
    command = [sys.executable, "-P", "-c", OTHER_PROCESS, __file__, space.text]
    environment = os.environ | {"PYTHONHASHSEED": "99"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", STRATEGIES)
class TestEveryStrategy:
    def make(self, name, space, seed=0):
        return make_strategy(name, space, np.random.default_rng(seed), EVALUATIONS)

    def test_says_its_name(self, name, space):
        assert self.make(name, space).name == name

    @pytest.mark.parametrize("count", [1, 2, 7, 40])
    def test_suggests_as_many_architectures_of_the_space_as_asked_for(self, name, space, count):
        strategy = self.make(name, space)
        for _ in range(4):
            suggested = strategy.suggest(count)
            assert len(suggested) == count
            for one in suggested:
                assert one.space == space
                assert not one.is_baseline
                assert space.architecture(one.operators) == one  # raises where an operator is not of the layer
                one.graph()
            strategy.update([Evaluation(one, quality(one)) for one in suggested])

    def test_suggests_the_same_for_the_same_seed_and_updates(self, name, space):
        assert drive(name, space, 7) == drive(name, space, 7)

    def test_suggests_the_same_in_another_process(self, name, space, elsewhere):
        assert elsewhere[name] == drive(name, space, 7)

    def test_suggests_others_for_another_seed(self, name, space):
        assert drive(name, space, 7) != drive(name, space, 8)

    def test_learns_only_through_update(self, name, space):
        strategy = self.make(name, space)
        for _ in range(6):
            before = {key: repr(value) for key, value in vars(strategy).items() if key != "rng"}
            suggested = strategy.suggest(5)
            assert {key: repr(value) for key, value in vars(strategy).items() if key != "rng"} == before
            strategy.update([Evaluation(one, quality(one)) for one in suggested])

    def test_update_leaves_chance_alone_and_nothing_to_learn_changes_nothing(self, name, space):
        strategy, other = self.make(name, space), self.make(name, space)
        suggested = strategy.suggest(EVALUATIONS)
        other.suggest(EVALUATIONS)
        state = repr(strategy.rng.bit_generator.state)
        told = [Evaluation(one, quality(one)) for one in suggested]
        strategy.update(told)
        assert repr(strategy.rng.bit_generator.state) == state
        strategy.update([])
        other.update(told)
        assert strategy.suggest(9) == other.suggest(9)

    def test_does_not_care_how_updates_are_cut(self, name, space):
        at_once, one_by_one = self.make(name, space), self.make(name, space)
        told = [Evaluation(one, quality(one)) for one in at_once.suggest(EVALUATIONS)]
        one_by_one.suggest(EVALUATIONS)
        at_once.update(told)
        for one in told:
            one_by_one.update([one])
        assert at_once.suggest(9) == one_by_one.suggest(9)

    def test_takes_what_it_did_not_suggest(self, name, space):
        strategy = self.make(name, space)
        strategy.update([Evaluation(one, quality(one)) for one in space.cover()])
        assert len(strategy.suggest(3)) == 3


def test_evolution_comes_to_better_networks_than_its_first_population():
    space = parse_space(SPACES["skip"])
    strategy, found = make_strategy("evolution", space, np.random.default_rng(0), 60), []
    for _ in range(30):
        suggested = strategy.suggest(4)
        strategy.update([Evaluation(one, quality(one)) for one in suggested])
        found += [quality(one) for one in suggested]
    assert np.mean(found[-20:]) > 2 * np.mean(found[:20])
    assert max(found) > max(found[:20])


def test_evolution_keeps_the_best_it_was_told():
    space = parse_space(SPACES["plain"])
    strategy = Evolution(space, np.random.default_rng(0), population=2, parent_share=1.0, mutation_rate=0.01)
    networks = list(enumerate_space(space))[:40]
    strategy.update([Evaluation(one, index / 40) for index, one in enumerate(networks)])
    best = networks[-2:]
    for child in strategy.suggest(50):
        # A child of two differs from one of them in a gene or two, or mixes both.
        distance = min(sum(a != b for a, b in zip(child.operators, one.operators, strict=True)) for one in best)
        assert distance <= 3


def test_children_by_stages_take_whole_stages_or_fill_one():
    space = PortraitSpace()
    stages = space.stage_slices()
    strategy = Evolution(space, np.random.default_rng(0), population=2, parent_share=1.0, stage_share=1.0)
    parents = [space.random(np.random.default_rng(seed)) for seed in (1, 2)]
    strategy.update([Evaluation(one, 0.5) for one in parents])
    filled = 0
    for child in strategy.suggest(60):
        new = [s for s in stages if all(child.operators[s] != one.operators[s] for one in parents)]
        assert len(new) <= 1
        assert all(len(set(child.operators[s])) == 1 for s in new)
        filled += len(new)
    assert filled > 10


def test_draws_are_spread():
    space, rng = PortraitSpace(), np.random.default_rng(0)
    drawn = [draw(space, rng) for _ in range(600)]
    coherent = [one for one in drawn if all(len(set(one.operators[s])) == 1 for s in space.stage_slices())]
    assert 150 < len(coherent) < 300
    few = [one for one in drawn if len(set(one.operators)) <= 3]
    assert len(few) > 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 1}, "population is 1"),
        ({"parent_share": 0.0}, r"parent_share 0\.0"),
        ({"mutation_rate": 1.5}, r"mutation_rate 1\.5"),
        ({"stage_share": -0.1}, r"stage_share -0\.1"),
    ],
)
def test_evolution_refuses_impossible_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        Evolution(parse_space(SPACES["plain"]), np.random.default_rng(0), **settings)


def test_an_unknown_strategy_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="unknown strategy 'annealing'; known: random, evolution"):
        make_strategy("annealing", parse_space(SPACES["plain"]), np.random.default_rng(0), 10)
