"""Tests that every strategy must pass: as many suggestions as asked for, the same for a seed, learning by `update` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np

from latlas.latency.limits.additive import Additive
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.distribution import AdjacentWeights, LayerWeights
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import REGISTRY
from latlas.search.strategies.strategy import Dropped, Evaluation, Strategy, StrategyContext
from latlas.spaces.graph import Graph, graph_macs
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_space
from latlas.testing.parameters import repeat, skip

EVALUATIONS = 24
BATCH, ROUNDS = 5, 6
PLAIN = "portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1"
SKIP = "portrait:height=32,width=32,widths=8.8.16.16,depths=1.2.2.1,skip=true"


def quality(architecture: Architecture) -> float:
    """A fixed quality from 0 to 1: the share of layers with their second operator, and a little if first and last differ."""
    names, choices = architecture.operators, architecture.space.choices
    second = [name == options[min(1, len(options) - 1)] for name, options in zip(names, choices, strict=False)]
    return sum(second) / len(names) * 0.9 + 0.1 * (names[0] != names[-1])


def latency(architecture: Architecture) -> float:
    """Made-up milliseconds from multiply-adds, which are a sum over the layers."""
    return graph_macs(architecture.graph()) / 1e4


def told(architectures: Sequence[Architecture]) -> list[Evaluation]:
    """What a search tells a strategy about its suggestions."""
    return [Evaluation(one, quality(one), latency(one)) for one in architectures]


def context_of(space: SearchSpace, share: float = 0.5) -> StrategyContext:
    """A session's context, with a budget that this share of the space holds."""
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


def strategy_of(name: str, space: SearchSpace, seed: int, context: StrategyContext | None = None) -> Strategy:
    """The strategy, with a made-up distribution if it needs a trained one."""
    if REGISTRY.get(name).trained:
        kind = AdjacentWeights if name.endswith("-adjacent") else LayerWeights
        sizes = tuple(len(options) for options in space.choices)
        context = replace(context or StrategyContext(), distribution=kind.initial(sizes, np.random.default_rng(5), 0.5))
    return make_strategy(name, space, np.random.default_rng(seed), EVALUATIONS, context=context)


def drive(
    name: str, space: SearchSpace, seed: int, informed: bool = False, rounds: int = ROUNDS, batch: int = BATCH
) -> list[str]:
    """All suggestions of a strategy in some rounds; it is told the results of each round."""
    strategy, seen = strategy_of(name, space, seed, context_of(space) if informed else None), list[str]()
    for _ in range(rounds):
        suggested = strategy.suggest(batch)
        strategy.update(told(suggested))
        seen += [str(one) for one in suggested]
    return seen


_ELSEWHERE = """
import json, sys
from latlas.registry import request_imports
from latlas.spaces.text import parse_space
from latlas.testing.strategies import drive
asked = json.loads(sys.argv[1])
request_imports(asked["imports"])
space = parse_space(asked["space"])
print(json.dumps({name: drive(name, space, 7, asked["informed"], *size) for name, size in asked["sizes"].items()}))
"""


@cache
def _elsewhere(asked: str) -> dict[str, list[str]]:
    """The suggestions of each strategy in another process, where strings have other hashes."""
    command = [sys.executable, "-P", "-c", _ELSEWHERE, asked]
    environment = os.environ | {"PYTHONHASHSEED": "99", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


_driven = cache(drive)


class _Macs:
    """A predictor of `latency` with an error of 2 %."""

    def predict_interval(self, graphs: Sequence[Graph], confidence: float = 0.95) -> list[Prediction]:
        return [Prediction(ms, 0.98 * ms, 1.02 * ms) for ms in (graph_macs(graph) / 1e4 for graph in graphs)]


class StrategySuite:
    """The tests of search strategies. `strategies` are the names of the tested ones.

    Each test runs in every setting: a space's text, and whether the strategy gets a session's context. `imports` are the
    packages that register the strategies in another process, if no entry point does. `asked` names strategies that record
    each request for suggestions, so that a request changes them. `slow` gives the rounds, and the suggestions in each, for
    strategies that need a good part of a second for one suggestion.
    """

    strategies: ClassVar[Sequence[str]] = ()
    settings: ClassVar[Mapping[str, tuple[str, bool]]] = {"plain": (PLAIN, False), "skip-with-context": (SKIP, True)}
    imports: ClassVar[Sequence[str]] = ()
    asked: ClassVar[Collection[str]] = ()
    slow: ClassVar[Mapping[str, tuple[int, int]]] = {}

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Repeat each test for every strategy, in every setting."""
        settings = {key: (parse_space(text), informed) for key, (text, informed) in self.settings.items()}
        repeat(metafunc, {"setting": settings, "name": self.strategies, "count": (1, 2, 7, 40)})

    def make(self, name: str, setting: tuple[SearchSpace, bool], seed: int = 0) -> Strategy:
        """The strategy in a setting."""
        return strategy_of(name, setting[0], seed, context_of(setting[0]) if setting[1] else None)

    def drive(self, name: str, setting: tuple[SearchSpace, bool], seed: int) -> list[str]:
        """All suggestions of the strategy in a setting, computed once for each seed."""
        return _driven(name, setting[0], seed, setting[1], *self.slow.get(name, (ROUNDS, BATCH)))

    def test_says_its_name(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """The strategy keeps the name by which it was requested; records use it."""
        assert self.make(name, setting).name == name

    def test_suggests_as_many_architectures_of_the_space_as_asked_for(
        self, name: str, setting: tuple[SearchSpace, bool], count: int
    ) -> None:
        """It suggests no baselines, and only architectures of the space."""
        strategy, space = self.make(name, setting), setting[0]
        rounds = 4 if name not in self.slow else 2 if count < 7 else 1
        for _ in range(rounds):
            suggested = strategy.suggest(count)
            assert len(suggested) == count
            for one in suggested:
                assert one.space == space
                assert not one.is_baseline
                assert space.architecture(one.operators) == one  # raises where an operator is not of the layer
                one.graph()
            strategy.update(told(suggested))

    def test_suggests_the_same_for_the_same_seed_and_updates(
        self, name: str, setting: tuple[SearchSpace, bool]
    ) -> None:
        """All chance comes from the generator."""
        size = self.slow.get(name, (ROUNDS, BATCH))
        assert drive(name, setting[0], 7, setting[1], *size) == self.drive(name, setting, 7)

    def test_suggests_the_same_in_another_process(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """The suggestions are the same where strings have other hashes, so the order of a set decides nothing."""
        space, informed = setting
        sizes = {one: self.slow.get(one, (ROUNDS, BATCH)) for one in self.strategies}
        asked = {"space": space.text, "informed": informed, "imports": list(self.imports), "sizes": sizes}
        assert _elsewhere(json.dumps(asked))[name] == self.drive(name, setting, 7)

    def test_suggests_others_for_another_seed(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """It does draw."""
        assert self.drive(name, setting, 8) != self.drive(name, setting, 7)

    def test_learns_only_through_update(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """A request for suggestions changes nothing but the generator."""
        if name in self.asked:
            skip("it keeps each suggestion as a trial")
        strategy = self.make(name, setting)
        for _ in range(6):
            before = {key: repr(value) for key, value in vars(strategy).items() if key != "rng"}
            suggested = strategy.suggest(5)
            assert {key: repr(value) for key, value in vars(strategy).items() if key != "rng"} == before
            strategy.update(told(suggested))

    def test_update_leaves_chance_alone_and_nothing_to_learn_changes_nothing(
        self, name: str, setting: tuple[SearchSpace, bool]
    ) -> None:
        """A search that is resumed from its journal draws the same."""
        strategy, other = self.make(name, setting), self.make(name, setting)
        suggested, more = strategy.suggest(EVALUATIONS), 9 if name not in self.slow else 1
        other.suggest(EVALUATIONS)
        state = repr(_generator(strategy).bit_generator.state)
        strategy.update(told(suggested))
        assert repr(_generator(strategy).bit_generator.state) == state
        strategy.update([])
        other.update(told(suggested))
        assert strategy.suggest(more) == other.suggest(more)

    def test_does_not_care_how_updates_are_cut(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """Results may come all at once, or one by one."""
        at_once, one_by_one = self.make(name, setting), self.make(name, setting)
        all_told, more = told(at_once.suggest(EVALUATIONS)), 9 if name not in self.slow else 1
        one_by_one.suggest(EVALUATIONS)
        at_once.update(all_told)
        for one in all_told:
            one_by_one.update([one])
        assert at_once.suggest(more) == one_by_one.suggest(more)

    def test_takes_what_it_did_not_suggest(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """It takes results that it did not suggest: the fastest network, baselines, networks from a shared study."""
        strategy, space = self.make(name, setting), setting[0]
        strategy.update(told([*space.cover()[:3], *map(space.baseline, space.baselines[:1])]))
        assert len(strategy.suggest(3)) == 3

    def test_bears_that_suggestions_are_dropped_or_never_heard_of(
        self, name: str, setting: tuple[SearchSpace, bool]
    ) -> None:
        """Suggestions above the budget are dropped, whether the strategy is told or not."""
        strategy = self.make(name, setting)
        dropped = getattr(strategy, "dropped", lambda dropped: None)
        for _ in range(3):
            suggested = strategy.suggest(4)
            assert len(suggested) == 4
            dropped([Dropped(suggested[0], 0.5), Dropped(suggested[1])])
            strategy.update(told(suggested[2:3]))
            dropped([Dropped(one) for one in suggested])  # all once more, as at the end of a search

    def test_finds_what_there_is_under_a_tight_budget(self, name: str, setting: tuple[SearchSpace, bool]) -> None:
        """It finds networks within a budget that two of a hundred keep."""
        space, informed = setting
        known = context_of(space, share=0.02)
        assert known.budget_ms is not None
        constraint = LatencyConstraint(_Macs(), 1.02 * known.budget_ms, scale_error=0.0)
        strategy = strategy_of(name, space, 0, known if informed else None)
        wanted = 12 if name not in self.slow else 6
        history = run_search(strategy, constraint, quality, wanted, start=(min(space.cover(), key=latency),))
        assert len({one.architecture for one in history.candidates}) == wanted
        assert max(latency(one.architecture) for one in history.candidates) <= known.budget_ms


def _generator(strategy: Strategy) -> np.random.Generator:
    """The strategy's generator; the suite requires that it is kept as `rng`."""
    found = getattr(strategy, "rng", None)
    assert isinstance(found, np.random.Generator), "a strategy keeps the generator that it was made with as `rng`"
    return found
