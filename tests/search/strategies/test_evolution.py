"""Evolution, near-best sampling, random draws, and the variation that they are made of."""

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.search.make import make_strategy
from latlas.search.strategies.evolution import ONCE_FOR_ALL, Evolution
from latlas.search.strategies.random import NearBest
from latlas.search.strategies.strategy import Evaluation
from latlas.search.strategies.variation import crossover, mutant, unknown
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.sampling import draw
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space

PLAIN = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1")
SKIP = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.2.2.1,skip=true")


def quality(architecture):
    names = architecture.operators
    return names.count("mbconv_k5") / len(names) * 0.9 + 0.1 * (names[0] != names[-1])


def distance(one, other):
    return sum(a != b for a, b in zip(one.operators, other.operators, strict=True))


def test_evolution_comes_to_better_networks_than_its_first_population():
    space = SKIP
    strategy, found = make_strategy("evolution", space, np.random.default_rng(0), 60), []
    for _ in range(30):
        suggested = strategy.suggest(4)
        strategy.update([Evaluation(one, quality(one)) for one in suggested])
        found += [quality(one) for one in suggested]
    assert np.mean(found[-20:]) > 2 * np.mean(found[:20])
    assert max(found) > max(found[:20])


def test_evolution_keeps_the_best_it_was_told():
    space = PLAIN
    strategy = Evolution(space, np.random.default_rng(0), population=2, parent_share=1.0, mutation_rate=0.01)
    networks = list(enumerate_space(space))[:40]
    strategy.update([Evaluation(one, index / 40) for index, one in enumerate(networks)])
    best = networks[-2:]
    for child in strategy.suggest(20):
        # A child of two differs from one of them in a gene or two, or mixes both.
        assert min(distance(child, one) for one in best) <= 3


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
        ({"mutant_share": 1.1}, r"mutant_share 1\.1"),
        ({"stage_share": -0.1}, r"stage_share -0\.1"),
    ],
)
def test_evolution_refuses_impossible_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        Evolution(PLAIN, np.random.default_rng(0), **settings)


def test_once_for_alls_numbers_are_available():
    strategy = make_strategy("evolution-ofa", SKIP, np.random.default_rng(0), 5000)
    assert {name: getattr(strategy, name) for name in ONCE_FOR_ALL} == ONCE_FOR_ALL
    assert (strategy.population, strategy.parent_share, strategy.mutation_rate, strategy.mutant_share) == (
        100,
        0.25,
        0.1,
        0.5,
    )


def test_a_converged_population_still_has_children_that_are_new():
    """Two parents that are one gene apart: crossovers and most mutants of them are known."""
    parents = [PLAIN.architecture([options[k] for options in PLAIN.choices]) for k in (0, 0)]
    parents[1] = PLAIN.architecture([PLAIN.choices[0][1], *parents[0].operators[1:]])
    strategy = Evolution(PLAIN, np.random.default_rng(0), population=2, parent_share=1.0, mutation_rate=0.01)
    told = dict.fromkeys(parents, 0.9)
    strategy.update([Evaluation(one, 0.9) for one in parents])
    for _ in range(10):
        suggested = strategy.suggest(8)
        assert len(set(suggested)) == 8
        assert not told.keys() & set(suggested)
        strategy.update([Evaluation(one, 0.1) for one in suggested])
        told |= dict.fromkeys(suggested, 0.1)


def test_an_exhausted_space_is_suggested_again_in_bounded_time():
    space = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1")
    everything = list(enumerate_space(space))
    for strategy in (Evolution(space, np.random.default_rng(0)), NearBest(space, np.random.default_rng(0))):
        strategy.update([Evaluation(one, 0.5) for one in everything])
        assert len(strategy.suggest(3)) == 3


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 20), (0.5, 60, 140), (1.0, 195, 200)])
def test_a_share_of_draws_is_near_the_best(share, least, most):
    """A uniform draw agrees with a network in a seventh of its 14 layers; a mutant differs in one or two."""
    space = PortraitSpace()
    strategy = NearBest(space, np.random.default_rng(0), near_share=share, best=1)
    known = space.sample(10, np.random.default_rng(1))
    strategy.update([Evaluation(one, index / 10) for index, one in enumerate(known)])
    near = sum(distance(one, known[-1]) <= 6 for one in strategy.suggest(200))
    assert least <= near <= most


@pytest.mark.parametrize(
    "settings", [{"near_share": 1.5}, {"near_share": -0.1}, {"mutation_rate": 0.0}, {"best": 0}], ids=str
)
def test_near_best_refuses_impossible_settings(settings):
    with pytest.raises(UsageError, match="near_share is"):
        NearBest(PLAIN, np.random.default_rng(0), **settings)


def test_mutants_change_at_their_rate_and_at_least_one_gene_is_drawn():
    space, rng = PortraitSpace(), np.random.default_rng(0)
    parent = space.random(rng)
    changed = [distance(parent, mutant(space, parent, rng, 0.3)) for _ in range(400)]
    # 14 genes, each drawn at 0.3 (one surely), and different from before in 6 of 7 cases.
    expected = (13 * 0.3 + 1) * 6 / 7
    assert np.mean(changed) == pytest.approx(expected, rel=0.07)


def test_crossover_takes_each_gene_of_either_parent_equally_often():
    space, rng = PortraitSpace(), np.random.default_rng(0)
    mother, father = (space.architecture([options[k] for options in space.choices]) for k in (0, 1))
    children = [crossover(space, mother, father, rng) for _ in range(300)]
    assert all(set(one.operators) <= {*mother.operators, *father.operators} for one in children)
    assert np.mean([distance(one, mother) for one in children]) == pytest.approx(7, rel=0.05)


def test_unknown_gives_up_where_all_is_known():
    one, other = PLAIN.cover()[:2]
    assert unknown(lambda: one, lambda: other, 3, known={one}) == [other, other, other]
