"""The loop with a scripted predictor and scripted measurements: latency is a sum over operators, quality another."""

import zlib

import numpy as np
import pytest

from latlas.errors import InfeasibleBudgetError, UsageError
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import Interval, LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import OPTUNA_STRATEGIES, STRATEGIES, TRAINED_STRATEGIES

# `test_strategy.py` has all of them under a tight budget.
READY = [one for one in STRATEGIES if one not in (*TRAINED_STRATEGIES, *OPTUNA_STRATEGIES)] + ["optuna-nsgaii"]
COST = {name: 1.0 + index for index, name in enumerate(("skip", "shuffle", "sepconv_k3", "sepconv_k5"))}
COST |= {"dilconv_k3": 3.5, "dilconv_k5": 4.5, "mbconv_k3": 6.0, "mbconv_k5": 7.0}


def real_ms(architecture):
    return sum(COST[name] for name in architecture.operators)


def predicted_ms(architecture):
    """The real one with an error of up to 2 % of its own."""
    return real_ms(architecture) * (1 + 0.02 * (zlib.crc32(str(architecture).encode()) / 2**31 - 1))


def quality(architecture):
    """Better where it is slower, as networks are."""
    return 1 - 1 / real_ms(architecture)


def measure(architecture):
    ms = real_ms(architecture)
    return Interval(ms, 0.995 * ms, 1.005 * ms)


class Scripted:
    """A predictor of the architectures of a space by their graphs."""

    def __init__(self, margin, factor):
        self._margin, self._factor, self._known = margin, factor, {}

    def learn(self, architectures):
        self._known |= {one.graph(): one for one in architectures}

    def predict_interval(self, graphs, confidence):
        found = [self._factor * predicted_ms(self._known[graph]) for graph in graphs]
        return [Prediction(ms, ms * (1 - self._margin), ms * (1 + self._margin)) for ms in found]


class Listed:
    """A strategy that suggests what it is given, over and over, and notes what it is asked and told."""

    name = "listed"

    def __init__(self, architectures):
        self.architectures, self.asked, self.told = list(architectures), 0, []

    def suggest(self, count):
        start = self.asked
        self.asked += count
        return [self.architectures[i % len(self.architectures)] for i in range(start, start + count)]

    def update(self, completed):
        self.told += [one.architecture for one in completed]


@pytest.fixture
def constraint_of(monkeypatch):
    """Make a constraint of a budget; its predictor knows what is checked."""

    def make(budget_ms, *, margin=0.05, factor=1.0, measuring=measure, **options):
        predictor = Scripted(margin, factor)
        options.setdefault("scale_error", 0.0)
        constraint = LatencyConstraint(predictor, budget_ms, measure=measuring, **options)
        check, bounds = constraint.check_all, constraint.bounds

        def learn_and_check(architectures):
            predictor.learn(architectures)
            return check(architectures)

        def learn_and_bounds(architectures):
            predictor.learn(architectures)
            return bounds(architectures)

        monkeypatch.setattr(constraint, "check_all", learn_and_check)
        monkeypatch.setattr(constraint, "bounds", learn_and_bounds)
        return constraint

    return make


@pytest.fixture(scope="module")
def networks(tiny_space):
    return tiny_space.sample(60, np.random.default_rng(3))


@pytest.mark.parametrize("name", READY)
@pytest.mark.parametrize("budget_ms", [13.0, 16.0, 22.0])
def test_no_candidate_is_over_the_budget(tiny_space, constraint_of, name, budget_ms):
    constraint = constraint_of(budget_ms)
    start = min(tiny_space.cover(), key=real_ms)
    strategy = make_strategy(name, tiny_space, np.random.default_rng(1), 40)
    history = run_search(strategy, constraint, quality, 40, start=(start,))
    assert len(history.candidates) == 40
    assert max(real_ms(one.architecture) for one in history.candidates) <= budget_ms
    assert len({one.architecture for one in history.candidates}) == 40
    counts = constraint.counts
    assert counts.accepted == 40
    assert counts.rejected == history.filtered > 0
    best = history.ranked()[0]
    assert best.quality == max(one.quality for one in history.candidates)


def test_what_prediction_cannot_decide_is_measured_and_counted(networks, constraint_of):
    measured = []
    budget_ms = float(np.median([real_ms(one) for one in networks]))

    def counting(architecture):
        measured.append(architecture)
        return measure(architecture)

    constraint = constraint_of(budget_ms, margin=0.2, measuring=counting, max_measurements=1000)
    history = run_search(Listed(networks), constraint, quality, 60, max_draws=200)
    assert constraint.counts.measured == len(measured) > 0
    assert {one.architecture for one in history.candidates if one.verdict.measured} <= set(measured)
    assert all(one.verdict.upper_ms <= budget_ms for one in history.candidates)
    assert constraint.counts.undecided == 0


def test_measurements_stop_at_their_number_and_the_rest_is_dropped(networks, constraint_of):
    measured = []
    budget_ms = float(np.median([real_ms(one) for one in networks]))

    def counting(architecture):
        measured.append(architecture)
        return measure(architecture)

    constraint = constraint_of(budget_ms, margin=0.3, measuring=counting, max_measurements=4)
    run_search(Listed(networks), constraint, quality, 60, max_draws=200)
    assert len(measured) == constraint.counts.measured == 4
    assert constraint.counts.undecided > 0
    assert constraint.counts.accepted + constraint.counts.rejected == 60


def test_an_architecture_is_evaluated_once(networks, constraint_of):
    evaluated = []

    def evaluate(architecture):
        evaluated.append(architecture)
        return 0.5

    strategy = Listed([*networks[:5], *networks[:5], networks[0]])
    history = run_search(strategy, constraint_of(1000.0), evaluate, 10, max_draws=50)
    assert evaluated == networks[:5]
    assert strategy.told == networks[:5]
    assert history.repeats > 0


def test_the_search_ends_when_suggestions_run_dry_and_says_so(networks, constraint_of, caplog):
    strategy = Listed(networks[:3])
    history = run_search(strategy, constraint_of(1000.0), quality, 10, max_draws=40)
    assert len(history.candidates) == 3
    assert strategy.asked <= 3 + 40 + 8
    assert "stopped after 3 evaluations: the last 40 suggestions" in caplog.text


def test_a_budget_that_nothing_meets_ends_in_bounded_time(networks, constraint_of):
    strategy = Listed(networks)
    with pytest.raises(InfeasibleBudgetError, match=r"60 architectures were drawn and none is within 0\.100 ms"):
        run_search(strategy, constraint_of(0.1), quality, 10, max_draws=100)
    assert strategy.asked <= 104


def test_what_it_starts_from_comes_before_the_strategy_is_asked(networks, constraint_of):
    strategy = Listed(networks[5:])
    history = run_search(strategy, constraint_of(1000.0), quality, 4, start=tuple(networks[:2]))
    assert [one.architecture for one in history.candidates] == [*networks[:2], *networks[5:7]]
    assert strategy.told == [one.architecture for one in history.candidates]

    unasked = Listed(networks[5:])
    run_search(unasked, constraint_of(1000.0), quality, 2, start=tuple(networks[:2]))
    assert unasked.asked == 0


def test_a_start_over_the_budget_is_dropped_like_any_other(networks, constraint_of):
    slow, fast = max(networks, key=real_ms), min(networks, key=real_ms)
    history = run_search(Listed([fast]), constraint_of(real_ms(fast) * 1.2), quality, 1, start=(slow,))
    assert [one.architecture for one in history.candidates] == [fast]
    assert history.filtered == 1


def test_predictions_that_finalists_refute_are_counted(networks, constraint_of):
    budget_ms = float(np.median([real_ms(one) for one in networks]))
    constraint = constraint_of(budget_ms, margin=0.01, factor=0.5)  # a predictor that says half of the truth
    history = run_search(Listed(networks), constraint, quality, 20, max_draws=200)
    wrong = [one.architecture for one in history.candidates if 0.995 * real_ms(one.architecture) > budget_ms]
    assert wrong
    verdict = constraint.confirm(wrong[0], measure(wrong[0]))
    assert not verdict.feasible
    assert constraint.counts.false_accepts == 1
    constraint.confirm(wrong[0], measure(wrong[0]))
    assert constraint.counts.false_accepts == 1


def test_ranking_is_by_quality_and_of_equals_the_faster(networks, constraint_of):
    history = run_search(Listed(networks), constraint_of(1000.0), lambda one: 0.5, 20)
    latencies = [one.verdict.latency_ms for one in history.ranked()]
    assert latencies == sorted(latencies)


def test_it_stops_when_told_and_reports_each_candidate(networks, constraint_of):
    seen: list[int] = []
    history = run_search(
        Listed(networks),
        constraint_of(1000.0),
        quality,
        20,
        on_candidate=lambda history: seen.append(len(history.candidates)),
        stop=lambda: len(seen) >= 3,
    )
    assert seen == [1, 2, 3]
    assert len(history.candidates) == 3


def test_no_evaluations_are_refused(networks, constraint_of):
    with pytest.raises(UsageError, match="evaluations is 0"):
        run_search(Listed(networks), constraint_of(1.0), quality, 0)


@pytest.mark.parametrize("name", READY)
def test_candidates_use_the_budget(tiny_space, constraint_of, name):
    constraint, start = constraint_of(22.0), min(tiny_space.cover(), key=real_ms)
    strategy = make_strategy(name, tiny_space, np.random.default_rng(1), 20)
    history = run_search(strategy, constraint, quality, 20, start=(start,), floor_ms=0.9 * 22.0)
    first, *others = history.candidates
    assert first.architecture == start
    assert len(others) == 19
    assert all(0.9 * 22.0 <= predicted_ms(one.architecture) <= 22.0 for one in others)
    assert history.unused > 0


def test_the_floor_falls_where_nothing_lies_above_it(networks, constraint_of):
    """All are far below the budget: they are passed over at first, and taken in the end."""
    slowest = max(map(real_ms, networks))
    history = run_search(Listed(networks), constraint_of(2 * slowest), quality, 60, floor_ms=1.5 * slowest)
    assert history.unused > 0
    taken = [real_ms(one.architecture) for one in history.candidates]
    assert taken
    assert max(taken) == slowest


def test_a_floor_far_above_what_is_drawn_leaves_more_than_the_fastest_network(tiny_space, constraint_of):
    """As with a budget above everything: nine tenths of the slowest network's latency, which hardly any other has."""
    start = min(tiny_space.cover(), key=real_ms)
    slowest = len(tiny_space.choices) * COST["mbconv_k5"]
    strategy = make_strategy("random", tiny_space, np.random.default_rng(1), 12)
    history = run_search(
        strategy, constraint_of(10 * slowest), quality, 12, start=(start,), floor_ms=4 * slowest, max_draws=600
    )
    assert len(history.candidates) == 12
    assert history.best().architecture != start
    assert history.best().quality == max(quality(one.architecture) for one in history.candidates)
