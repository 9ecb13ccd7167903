"""Designed subnets: balanced, different, the same for the same seed, and better spread than chance."""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.latency.fitting.design import designed
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace()
LAYERS = range(len(SPACE.choices))


@dataclass(frozen=True)
class Small(PortraitSpace):
    """A space of 2 x 3 x 2 x 2 architectures."""

    @property
    def choices(self):
        pair = ("mbconv_k3", "shuffle")
        return (pair, (*pair, "sepconv_k3"), pair, pair)


def small():
    return Small(height=32, width=32, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), decoder_channels=8, aspp_channels=8)


def imbalance(subnets, pairs):
    """Mean squared difference of the counts of operators at two layers from their mean."""
    return np.mean(
        [
            (Counter((one.operators[i], one.operators[j]) for one in subnets)[a, b] - len(subnets) / 49) ** 2
            for i, j in pairs
            for a in SPACE.choices[i]
            for b in SPACE.choices[j]
        ]
    )


@settings(deadline=None, max_examples=15)
@given(count=st.integers(7, 60), seed=st.integers(0, 1000))
def test_every_operator_of_a_layer_is_there_equally_often(count, seed):
    subnets = designed(SPACE, count, seed)
    assert len(set(subnets)) == count
    for layer in LAYERS:
        counts = Counter(one.operators[layer] for one in subnets)
        assert set(counts) == set(SPACE.choices[layer])
        assert max(counts.values()) - min(counts.values()) <= 1


def least_count(architectures, adjacent=False):
    """How often the rarest operator of a layer occurs; with `adjacent`, the rarest pair of two layers in a row."""
    layers = range(len(architectures[0].operators))
    choices = architectures[0].space.choices
    if not adjacent:
        return min(sum(one.operators[i] == name for one in architectures) for i in layers for name in choices[i])
    return min(
        sum(one.operators[i] == a and one.operators[j] == b for one in architectures)
        for i, j in pairwise(layers)
        for a in choices[i]
        for b in choices[j]
    )


def test_a_hundred_have_each_operator_fourteen_times_at_each_layer():
    assert least_count(designed(SPACE, 100)) == 100 // 7


def test_operators_of_two_layers_meet_more_evenly_than_by_chance_and_adjacent_ones_more_so():
    subnets, drawn = designed(SPACE, 98), SPACE.sample(98, np.random.default_rng(0))
    every, adjacent = list(combinations(LAYERS, 2)), list(pairwise(LAYERS))
    assert imbalance(subnets, every) < 0.4 * imbalance(drawn, every)
    assert imbalance(subnets, adjacent) < 0.2 * imbalance(drawn, adjacent)
    assert least_count(subnets, adjacent=True) >= 1
    assert least_count(drawn, adjacent=True) == 0


def test_the_first_of_a_design_are_spread_too():
    first, every = designed(SPACE, 98)[:49], list(combinations(LAYERS, 2))
    assert imbalance(first, every) < 0.75 * imbalance(SPACE.sample(49, np.random.default_rng(0)), every)


def test_is_the_same_for_the_same_seed_only():
    assert designed(SPACE, 40, 3) == designed(SPACE, 40, 3) != designed(SPACE, 40, 4)


def test_completes_what_is_measured_already():
    before = designed(SPACE, 33, 1)
    baseline = SPACE.baseline("mobilenetv3_small")
    more = designed(SPACE, 37, 2, given=[*before, baseline])
    assert not set(before) & set(more)
    assert least_count([*before, *more]) == 10
    alone = designed(SPACE, 37, 2)
    pairs = list(combinations(LAYERS, 2))
    assert imbalance([*before, *more], pairs) < imbalance([*before, *alone], pairs)


def test_a_small_space_is_had_whole_and_never_twice():
    space = small()
    assert set(designed(space, 100)) == set(designed(space, 24))
    assert len(designed(space, 100)) == space.size == 24
    some = designed(space, 20)
    assert len(set(some)) == 20
    assert len(designed(space, 100, given=some)) == 4


def test_layers_may_have_different_numbers_of_operators():
    assert least_count(designed(small(), 12)) == 4


def test_refuses_what_cannot_be():
    with pytest.raises(UsageError, match="count is 0"):
        designed(SPACE, 0)
    with pytest.raises(UsageError, match="not all of portrait:height=32"):
        designed(small(), 3, given=designed(SPACE, 7))
