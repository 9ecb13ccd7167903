"""The search over predicted quality, on a space small enough to enumerate, with scripted latencies and qualities."""

import json

import numpy as np
import pytest

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.latency.predictor.predictor import Prediction
from latlas.search.accuracy.models import cross_validate
from latlas.search.accuracy.rounds import Round
from latlas.search.accuracy.search import AccuracySearchConfig, accuracy_search
from latlas.search.constraint.constraint import Interval, LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import Candidate, History, joined
from latlas.spaces.space import Architecture, enumerate_space

COST = {"skip": 0.2, "shuffle": 1.0, "sepconv_k3": 2.0, "sepconv_k5": 3.0, "dilconv_k3": 1.5, "dilconv_k5": 2.5}
COST |= {"mbconv_k3": 4.0, "mbconv_k5": 5.0}


def real_ms(one):
    return sum(COST[name] for name in one.operators)


class Scripted:
    """Predicts each graph's real latency, times a factor, with a margin."""

    def __init__(self, architectures, margin=0.01, factor=1.0):
        self.known = {one.graph(): factor * real_ms(one) for one in architectures}
        self.margin = margin

    def predict_interval(self, graphs, confidence=0.95):
        return [
            Prediction(ms, ms * (1 - self.margin), ms * (1 + self.margin)) for ms in (self.known[g] for g in graphs)
        ]


@pytest.fixture(scope="module")
def space(tiny_space):
    return tiny_space


@pytest.fixture(scope="module")
def everything(space):
    return list(enumerate_space(space))


@pytest.fixture(scope="module")
def quality(space):
    rng = np.random.default_rng(0)
    tables = [rng.normal(0, 0.02, len(options)) for options in space.choices]

    def of(one):
        codes = space.encode([one])[0]
        own = sum(table[code] for table, code in zip(tables, codes, strict=True))
        return float(0.6 + own + 0.002 * real_ms(one))

    return of


def constraint_of(everything, budget_ms, measured=None, **options):
    predictor = Scripted(everything, **options)

    def measure(one):
        if measured is not None:
            measured.append(one)
        ms = real_ms(one)
        return Interval(ms, 0.995 * ms, 1.005 * ms)

    return LatencyConstraint(predictor, budget_ms, measure=measure, scale_error=0.0, max_measurements=20)


def run(space, constraint, quality, config, seed=0, **options):
    return accuracy_search(
        make_strategy("random", space, np.random.default_rng(seed), config.learn),
        lambda count: make_strategy("evolution", space, np.random.default_rng(seed + 1), count),
        constraint,
        quality,
        space,
        config,
        **options,
    )


CONFIG = AccuracySearchConfig(learn=60, scored=12, rounds=2, predicted=300, kinds=("ridge",))


def test_it_finds_some_of_the_best_within_the_budget_in_few_scores(space, everything, quality):
    budget_ms = 11.0
    measured: list[Architecture] = []
    scored: list[Architecture] = []
    constraint = constraint_of(everything, budget_ms, measured)

    def evaluate(one):
        scored.append(one)
        return quality(one)

    found = run(space, constraint, evaluate, CONFIG)
    assert len(scored) == len(set(scored)) == len(found.history.candidates) == 72
    assert all(real_ms(one.architecture) <= budget_ms for one in found.history.candidates)
    within = sorted((one for one in everything if 1.005 * real_ms(one) <= budget_ms), key=quality, reverse=True)
    best = found.history.ranked()[0].architecture
    assert within.index(best) < 0.01 * len(within)
    assert scored.index(best) >= 60  # not among what was drawn
    assert found.asked > 300 and len(found.validated) == 2
    assert found.validated[0][0].agreement.kendall.value > 0.8
    assert constraint.max_measurements == 20
    assert len(measured) == constraint.counts.measured <= 20


def test_it_is_the_same_for_the_same_seed(space, everything, quality):
    config = AccuracySearchConfig(learn=20, scored=4, rounds=2, predicted=40, kinds=("ridge",))

    def of(seed):
        found = run(space, constraint_of(everything, 12.0), quality, config, seed)
        return [one.architecture for one in found.history.candidates]

    assert of(0) == of(0) != of(1)


def test_predictions_that_are_too_low_let_nothing_through(space, everything, quality):
    """The predictor takes all for a tenth faster than it is: measuring, as far as it is done, has the last word."""
    constraint = constraint_of(everything, 11.0, margin=0.15, factor=0.9)
    found = run(
        space, constraint, quality, AccuracySearchConfig(learn=20, scored=10, rounds=2, predicted=60, kinds=("ridge",))
    )
    assert all(real_ms(one.architecture) <= 11.0 for one in found.history.candidates)
    assert any(one.verdict.measured for one in found.history.candidates)


def test_it_stops_when_told_and_tells_of_each_candidate(space, everything, quality):
    seen: list[int] = []

    def on_candidate(history):
        seen.append(len(history.candidates))

    config = AccuracySearchConfig(learn=20, scored=6, rounds=2, predicted=40, kinds=("ridge",))
    for limit in (5, 22):
        seen.clear()
        found = run(
            space,
            constraint_of(everything, 12.0),
            quality,
            config,
            on_candidate=on_candidate,
            stop=lambda limit=limit: len(seen) >= limit,
        )
        assert seen == list(range(1, limit + 1)) and len(found.history.candidates) == limit
        assert (found.predictor is None) == (limit == 5)


def test_a_start_that_alone_is_within_the_budget_is_too_little_to_learn_from(space, everything, quality):
    fastest = min(everything, key=real_ms)
    budget_ms = 1.01 * real_ms(fastest)
    found = run(space, constraint_of(everything, budget_ms), quality, CONFIG, start=(fastest,), max_draws=200)
    assert [one.architecture for one in found.history.candidates] == [fastest]
    assert found.predictor is None and not found.validated and found.learnt_from == 1
    with pytest.raises(InfeasibleBudgetError):
        run(space, constraint_of(everything, 0.1), quality, CONFIG, max_draws=50)


def test_a_round_that_is_recorded_is_not_done_again(space, everything, quality):
    config = AccuracySearchConfig(learn=20, scored=4, rounds=2, predicted=40, kinds=("ridge",))
    records: list[str] = []

    def keeping(index, find):
        if index == len(records):
            records.append(json.dumps(find().to_record(), allow_nan=False))
        return Round.from_record(json.loads(records[index]), space)

    first = run(space, constraint_of(everything, 12.0), quality, config, keep=keeping)
    again = run(
        space,
        constraint_of(everything, 12.0),
        quality,
        config,
        keep=lambda index, find: Round.from_record(json.loads(records[index]), space),
    )
    assert len(records) == 2 and again.predictor is None
    assert again.history == first.history and again.validated == first.validated and again.asked == first.asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"validated": []},
        {"validated": [{"kind": "oracle"}]},
        {"listed": None},
        {"listed": ["x"] * 501},
        {"asked": "many"},
    ],
)
def test_a_broken_record_of_a_round_is_refused(space, everything, quality, wrong):
    good = Round([cross_validate("ridge", [2], np.arange(10)[:, None] % 2, 0.1 * np.arange(10))], 3, [])
    assert Round.from_record(good.to_record(), space) == good
    with pytest.raises((KeyError, TypeError, ValueError)):
        Round.from_record(good.to_record() | wrong, space)


def test_histories_are_joined():
    def history(*names, filtered):
        return History([Candidate(name, 0.5, None) for name in names], filtered=filtered, repeats=1)

    both = joined(history("a", filtered=2), history("b", "c", filtered=3))
    assert [str(one.architecture) for one in both.candidates] == ["a", "b", "c"]
    assert (both.filtered, both.repeats, both.unused) == (5, 2, 0)


@pytest.mark.parametrize("wrong", [{"learn": 9}, {"rounds": 0}, {"scored": 2, "rounds": 3}, {"predicted": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match="it must be at least"):
        AccuracySearchConfig(**wrong)
