"""The last word on finalists, by scripted readings."""

import math

import pytest

from latlas.latency.measuring.interval import SESSION_SD, Interval, pooled
from latlas.search.constraint.verify import bound_of, certificate_bound_of, select, verify

Z = 1.959964


class Stopwatch:
    """Gives each network the readings it is told, the last over and over, and notes what it is asked together."""

    def __init__(self, readings, half=0.02):
        self.readings, self.half, self.asked = {net: list(values) for net, values in readings.items()}, half, []

    def __call__(self, networks):
        self.asked.append([network.ms for network in networks])
        found = []
        for network in networks:
            values = self.readings[network]
            ms = values.pop(0) if len(values) > 1 else values[0]
            found.append(None if ms is None else Interval.around(ms, self.half * ms))
        return found


def test_one_reading_is_its_own_pool_and_several_narrow_it_down_to_what_campaigns_share():
    one = Interval.around(10.0, 0.3)
    assert pooled([one]) == one
    assert one.relative_se == pytest.approx(0.03 / Z / math.sqrt(2))
    own = one.relative_se**2 - SESSION_SD**2
    two = pooled([one, Interval.around(10.2, 0.306)])
    assert two.latency_ms == pytest.approx(10.1)
    assert two.half_ms / two.latency_ms == pytest.approx(Z * math.sqrt(1.5 * own + 2 * SESSION_SD**2))
    assert pooled([one] * 1000).half_ms > Z * 10.0 * math.sqrt(own + 2 * SESSION_SD**2) - 1e-3


def test_the_more_careful_reading_weighs_more():
    assert pooled([Interval.around(10.0, 0.2), Interval.around(11.0, 0.5)]).latency_ms < 10.2


def test_bounds_of_other_confidences():
    one = Interval.around(10.0, 0.2)
    assert one.upper_at(0.975) == pytest.approx(10.2)
    assert one.upper_at(0.995) == pytest.approx(10.0 + 0.2 * 2.575829 / Z)
    assert one.upper_at(0.5) == pytest.approx(10.0)


def test_a_prediction_makes_a_reading_look_worse_and_never_better():
    one = Interval.around(10.0, 0.2)
    alone = one.upper_at(0.995)
    assert bound_of(one, None, 0.995) == bound_of(one, (9.0, 0.02), 0.995) == alone
    own = 10.0 * one.relative_se
    prior_sd = math.sqrt((11.0 * 0.02) ** 2 - own**2)
    mean = (10.0 / own**2 + 11.0 / prior_sd**2) / (1 / own**2 + 1 / prior_sd**2)
    sd = math.sqrt(1 / (1 / own**2 + 1 / prior_sd**2) + own**2)
    assert bound_of(one, (11.0, 0.02), 0.995) == pytest.approx(mean + 2.575829 * sd)
    assert bound_of(one, (11.0, 0.02), 0.995) > alone


def test_finalists_are_measured_together_and_those_just_above_again(Net, constraint_of):
    below, near, far, broken = (Net(ms) for ms in (9.3, 9.7, 9.9, 9.0))
    watch = Stopwatch({below: [9.4], near: [9.755, 9.7], far: [10.5], broken: [None]})
    constraint = constraint_of(10.0, margin=0.04)
    found = verify(constraint, [below, near, far, broken], watch, confidence=0.995)
    assert watch.asked == [[9.3, 9.7, 9.9, 9.0], [9.7]]
    assert [(one.architecture, one.readings, one.within) for one in found] == [
        (below, 1, True),
        (near, 2, True),
        (far, 1, False),
    ]
    assert len(constraint.learnt()) == 3
    assert constraint.learnt()[1].latency_ms == found[1].interval.latency_ms


def test_where_none_holds_the_budget_the_next_are_measured(Net, constraint_of):
    nets = [Net(9.7, str(i)) for i in range(5)]
    watch = Stopwatch(dict(zip(nets, [[10.2], [10.1], [9.75], [10.3], [9.7]], strict=True)), half=0.01)
    assert [one.architecture for one in select(constraint_of(10.0, margin=0.04), nets, 2, watch)] == [nets[2]]
    assert len(watch.asked) == 2
    assert select(constraint_of(10.0, margin=0.04), [Net(9.0)], 2, Stopwatch({Net(9.0): [11.0]})) == []


def test_where_none_uses_the_budget_those_are_measured_that_are_predicted_to(Net, constraint_of):
    slow, unlikely, wasteful, user = (Net(ms) for ms in (9.2, 10.5, 9.3, 9.75))
    watch = Stopwatch({slow: [9.3], user: [9.76]}, half=0.01)
    found = select(constraint_of(10.0, margin=0.04), [slow, unlikely, wasteful, user], 1, watch)
    assert watch.asked == [[9.2], [9.75]]
    assert [one.architecture for one in found] == [user, slow]  # what uses the budget first


def test_a_search_that_found_nothing_better_keeps_what_it_has(Net, constraint_of):
    slow, slower = Net(9.2), Net(9.0)
    watch = Stopwatch({slow: [9.3], slower: [9.0]}, half=0.01)
    assert [one.architecture for one in select(constraint_of(10.0, margin=0.04), [slow, slower], 1, watch)] == [slow]


def test_the_certificate_is_of_a_later_readings_upper_bound():
    # A later reading is below 10 + 1.645 x its standard deviation with 95 %, and its own bound 0.2 above that.
    assert certificate_bound_of(Interval.around(10.0, 0.2)) == pytest.approx(10.0 + 0.2 * 1.644854 / Z + 0.2)


def test_where_one_can_be_certified_and_uses_the_budget_those_that_hardly_can_are_left_out(Net, constraint_of):
    edge, sure, small = Net(9.9), Net(9.75), Net(9.0)
    watch = Stopwatch({edge: [9.9], sure: [9.75], small: [9.0]}, half=0.008)
    assert (
        certificate_bound_of(Interval.around(9.9, 0.0792)) > 10.0 > certificate_bound_of(Interval.around(9.75, 0.078))
    )
    chosen = select(constraint_of(10.0, margin=0.04), [edge, small, sure], 3, watch)
    assert [one.architecture for one in chosen] == [sure, small]
    watch = Stopwatch(
        {edge: [9.9], small: [9.0]}, half=0.008
    )  # what is certifiable uses too little: nothing is left out
    chosen = select(constraint_of(10.0, margin=0.04), [edge, small], 2, watch)
    assert [one.architecture for one in chosen] == [edge, small]
    assert chosen[0].within and not chosen[0].certifiable(10.0)
    watch = Stopwatch({edge: [9.9], small: [9.0]}, half=0.008)  # unless so little is enough
    chosen = select(constraint_of(10.0, margin=0.04), [edge, small], 2, watch, certain_use=0.9)
    assert [one.architecture for one in chosen] == [small]
