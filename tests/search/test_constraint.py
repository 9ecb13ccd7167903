"""The constraint on networks whose predicted and real milliseconds are scripted."""

import math
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import pytest

from latlas.latency.errors import UsageError
from latlas.search.constraint import DOUBT, Counts, Interval, LatencyConstraint, extremes


class Net(NamedTuple):
    """A network that is predicted to take `ms`; the graph is only a key."""

    ms: float
    name: str = ""

    def graph(self):
        return (self,)


class Scripted:
    """A predictor that reads the milliseconds from the network, with an interval of +-10 %."""

    def predict(self, graphs):
        return np.array([graph[0].ms for graph in graphs])

    def margin(self, confidence):
        return 0.10


def constraint_of(budget_ms, measure=None, **options):
    predictor = Scripted()
    return LatencyConstraint(predictor, budget_ms, measure=measure, **options)


def exactly(ms):
    return Interval(ms, 0.99 * ms, 1.01 * ms)


def never(network):
    raise AssertionError(f"{network} was measured")


def test_what_is_surely_within_is_accepted_and_what_is_surely_above_rejected_without_measuring():
    constraint = constraint_of(10.0, never)
    assert constraint.check(Net(9.0)).feasible  # up to 9.9
    assert not constraint.check(Net(11.2)).feasible  # from 10.08
    assert constraint.counts == Counts(accepted=1, rejected=1)


def test_what_lies_between_is_decided_by_measuring_and_its_upper_bound():
    real = {9.5: 9.8, 9.6: 9.95, 10.5: 9.0}
    constraint = constraint_of(10.0, lambda network: exactly(real[network.ms]))
    verdicts = {ms: constraint.check(Net(ms)) for ms in real}
    assert {ms: verdict.feasible for ms, verdict in verdicts.items()} == {9.5: True, 9.6: False, 10.5: True}
    assert all(verdict.measured for verdict in verdicts.values())
    assert verdicts[9.6].latency_ms == 9.95
    assert constraint.counts == Counts(accepted=2, rejected=1, measured=3)


@pytest.mark.parametrize("options", [{}, {"measure": never, "max_measurements": 0}])
def test_what_may_not_be_measured_is_rejected_as_undecided(options):
    constraint = constraint_of(10.0, **options)
    assert not constraint.check(Net(9.5)).feasible
    assert constraint.counts == Counts(rejected=1, undecided=1)


def test_no_more_is_measured_than_allowed():
    measured = []

    def measure(network):
        measured.append(network)
        return exactly(9.0)

    constraint = constraint_of(10.0, measure, max_measurements=3)
    verdicts = [constraint.check(Net(9.9, str(index))) for index in range(8)]
    assert len(measured) == constraint.counts.measured == 3
    assert [verdict.measured for verdict in verdicts[:3]] == [True] * 3


def test_a_network_is_measured_once():
    measured = []
    constraint = constraint_of(10.0, lambda network: measured.append(network) or exactly(9.8))
    first, second = constraint.check(Net(9.5)), constraint.check(Net(9.5))
    assert first == second
    assert len(measured) == 1
    assert constraint.counts == Counts(accepted=1, measured=1)


def test_measurements_correct_the_bias_of_what_is_predicted_after_them():
    constraint = constraint_of(10.0, lambda network: exactly(1.2 * network.ms))
    constraint.check(Net(9.5))
    assert constraint.bias == pytest.approx(math.exp(math.log(1.2) / (1 + DOUBT)))
    constraint.confirm(Net(3.0), exactly(3.6))
    assert constraint.bias == pytest.approx(math.exp(2 * math.log(1.2) / (2 + DOUBT)))
    assert constraint.predict([Net(5.0)])[0].latency_ms == pytest.approx(5.0 * constraint.bias)


def test_predictions_are_brought_to_the_milliseconds_of_this_session():
    constraint = constraint_of(10.0, never, scale=2.0)
    predicted = constraint.predict([Net(4.0)])[0]
    assert (predicted.latency_ms, predicted.lower_ms, predicted.upper_ms) == pytest.approx((8.0, 7.2, 8.8))
    assert constraint.check(Net(4.5)).feasible
    assert not constraint.check(Net(5.6)).feasible


def test_confirm_counts_what_prediction_got_wrong():
    constraint = constraint_of(10.0)
    decided = [constraint.check(Net(ms)).feasible for ms in (8.0, 20.0, 8.5, 9.9)]
    assert decided == [True, False, True, False]  # up to 8.8; from 18; up to 9.35; left open, and not to be measured
    assert not constraint.confirm(Net(8.0), exactly(10.5)).feasible
    assert constraint.confirm(Net(20.0), exactly(9.5)).feasible
    constraint.confirm(Net(8.5), exactly(9.0))
    constraint.confirm(Net(9.9), exactly(10.5))
    constraint.confirm(Net(7.0), exactly(10.5))  # it was never decided on
    assert (constraint.counts.false_accepts, constraint.counts.false_rejects) == (1, 1)


def test_a_network_that_was_measured_before_is_no_false_accept_and_its_last_measurement_holds():
    constraint = constraint_of(10.0, lambda network: exactly(9.8))
    assert constraint.check(Net(9.5)).feasible
    assert not constraint.confirm(Net(9.5), exactly(10.5)).feasible
    assert constraint.counts.false_accepts == 0
    assert not constraint.check(Net(9.5)).feasible


@pytest.mark.parametrize("budget_ms", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_budget_is_refused(budget_ms):
    with pytest.raises(UsageError, match=f"budget_ms is {budget_ms!r}"):
        constraint_of(budget_ms)


def test_an_impossible_scale_is_refused():
    with pytest.raises(UsageError, match=r"scale is 0\.0"):
        constraint_of(1.0, scale=0.0)


CHOICES = (("a", "b", "c"), ("a", "b", "c", "skip"), ("a", "b", "c", "skip"), ("b", "c"), ("a", "b", "c"))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(25))
def test_extremes_are_those_of_the_whole_space(seed, sign):
    rng = np.random.default_rng(seed)
    own = [{name: rng.uniform(0.1, 1.0) for name in options} for options in CHOICES]
    met = {pair: 0.05 * rng.normal() for pair in product("abcs", repeat=2)}

    def latencies(rows):
        return [
            sum(costs[name] for costs, name in zip(own, row, strict=True))
            + sum(met[one[0], other[0]] for one, other in pairwise(row))
            for row in rows
        ]

    everything = list(product(*CHOICES))
    expected = min(sign * value for value in latencies(everything))
    best, value = extremes(CHOICES, latencies, sign)
    assert value == pytest.approx(sign * expected)
    assert latencies([best]) == [value]
