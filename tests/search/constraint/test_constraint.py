"""The constraint on networks whose predicted and real milliseconds are scripted."""

import json
import math

import pytest

from latlas.errors import UsageError
from latlas.search.constraint.constraint import Counts, Interval, LatencyConstraint


def exactly(ms):
    return Interval(ms, 0.99 * ms, 1.01 * ms)


def never(network):
    raise AssertionError(f"{network} was measured")


def test_what_is_surely_within_is_accepted_and_what_is_surely_above_rejected_without_measuring(Net, constraint_of):
    constraint = constraint_of(10.0, never)
    assert constraint.check(Net(9.0)).feasible  # up to 9.9
    assert not constraint.check(Net(11.2)).feasible  # from 10.08
    assert constraint.counts == Counts(accepted=1, rejected=1)


def test_what_lies_between_is_decided_by_measuring_and_its_upper_bound(Net, constraint_of):
    real = {9.5: 9.8, 9.6: 9.95, 10.5: 9.0}
    constraint = constraint_of(10.0, lambda network: exactly(real[network.ms]))
    verdicts = {ms: constraint.check(Net(ms)) for ms in real}
    assert {ms: verdict.feasible for ms, verdict in verdicts.items()} == {9.5: True, 9.6: False, 10.5: True}
    assert all(verdict.measured for verdict in verdicts.values())
    assert verdicts[9.6].latency_ms == 9.95
    assert constraint.counts == Counts(accepted=2, rejected=1, measured=3)


@pytest.mark.parametrize("options", [{}, {"measure": never, "max_measurements": 0}])
def test_what_may_not_be_measured_is_rejected_as_undecided(options, Net, constraint_of):
    constraint = constraint_of(10.0, **options)
    assert not constraint.check(Net(9.5)).feasible
    assert constraint.counts == Counts(rejected=1, undecided=1)


def test_no_more_is_measured_than_allowed(Net, constraint_of):
    measured = []

    def measure(network):
        measured.append(network)
        return exactly(9.0)

    constraint = constraint_of(10.0, measure, max_measurements=3)
    verdicts = [constraint.check(Net(9.9, str(index))) for index in range(8)]
    assert len(measured) == constraint.counts.measured == 3
    assert [verdict.measured for verdict in verdicts[:3]] == [True] * 3


def test_a_network_is_measured_once(Net, constraint_of):
    measured = []
    constraint = constraint_of(10.0, lambda network: measured.append(network) or exactly(9.8))
    first, second = constraint.check(Net(9.5)), constraint.check(Net(9.5))
    assert first == second
    assert len(measured) == 1
    assert constraint.counts == Counts(accepted=1, measured=1)


def test_what_is_open_is_measured_together_and_no_more_than_allowed(Net, constraint_of):
    campaigns = []

    def measure_all(networks):
        campaigns.append([network.ms for network in networks])
        return [exactly(9.8) for _ in networks]

    constraint = constraint_of(10.0, measure_all=measure_all, max_measurements=3)
    verdicts = constraint.check_all([Net(ms) for ms in (8.0, 9.5, 9.6, 9.5, 20.0, 9.7, 9.8)])
    assert campaigns == [[9.5, 9.6, 9.7]]
    assert [one.feasible for one in verdicts] == [True, True, True, True, False, True, False]
    assert constraint.counts == Counts(accepted=4, rejected=2, measured=3, undecided=1)


def test_screening_neither_measures_nor_counts(Net, constraint_of):
    constraint = constraint_of(10.0, never)
    assert constraint.screen([Net(9.0), Net(9.5), Net(11.2)]).tolist() == [1, 0, -1]
    latency, lower, upper = constraint.bounds([Net(9.0), Net(11.0)])
    assert latency.tolist() == [9.0, 11.0]
    assert [*lower, *upper] == pytest.approx([8.1, 9.9, 9.9, 12.1])
    assert constraint.counts == Counts()


def test_what_cannot_be_measured_is_asked_for_once(Net, constraint_of):
    asked = []
    constraint = constraint_of(10.0, lambda network: asked.append(network))
    assert not constraint.check(Net(9.5)).feasible
    assert not constraint.check(Net(9.5)).feasible
    assert len(asked) == constraint.counts.measured == 1
    assert constraint.counts.undecided == 2


def test_what_could_not_be_accepted_if_it_were_measured_is_not_measured(Net, constraint_of):
    """Its lower bound is within the budget; the upper bound of a reading there would not be."""
    constraint = constraint_of(10.0, lambda network: exactly(9.8))
    assert constraint.screen([Net(11.05)]).tolist() == [0]  # from 9.945
    constraint.check(Net(9.5))
    _, lower, _ = constraint.bounds([Net(11.05)])
    assert lower[0] < 10.0 < lower[0] * 1.01
    assert constraint.screen([Net(11.05)]).tolist() == [-1]


def test_what_measuring_would_hardly_accept_is_not_measured_where_so_asked(Net, constraint_of):
    constraint = constraint_of(10.0, never, least_chance=0.25)
    sd = 0.1 / 1.959964
    surely = 10.0 / (1 - 0.67449 * sd)
    assert constraint.screen([Net(surely - 0.01), Net(surely + 0.01)]).tolist() == [0, -1]
    with pytest.raises(UsageError, match=r"least_chance is 0\.6"):
        constraint_of(10.0, least_chance=0.6)


def test_the_sessions_factor_goes_from_its_prior_to_what_is_measured(Net, constraint_of):
    constraint = constraint_of(10.0, scale_error=0.05)
    assert constraint.scale == 1.0
    constraint.confirm(Net(3.0), exactly(3.6))
    spread = (0.1 / 1.959964) ** 2
    expected = math.exp(math.log(1.2) * 0.05**2 / (0.05**2 + spread))
    assert constraint.scale == pytest.approx(expected)
    assert constraint.predict([Net(5.0)])[0].latency_ms == pytest.approx(5.0 * expected)
    for index in range(400):
        constraint.confirm(Net(3.0, str(index)), exactly(3.6))
    assert constraint.scale == pytest.approx(1.2, rel=1e-3)


def test_a_scale_that_is_known_for_certain_is_left_alone(Net, constraint_of):
    constraint = constraint_of(10.0, scale=2.0)
    constraint.confirm(Net(3.0), exactly(9.0))
    assert constraint.scale == 2.0


def test_the_predictor_learns_what_is_measured_in_its_own_milliseconds(Net, Learning, constraint_of):
    predictor = Learning()
    constraint = constraint_of(10.0, lambda network: exactly(9.8), predictor, scale=2.0)
    assert constraint.check(Net(4.75, "a")).measured
    assert constraint.predict([Net(4.75, "a")])[0].latency_ms == pytest.approx(9.8)
    assert predictor.told == ([pytest.approx(4.9)], [pytest.approx(0.01 / 1.959964)])
    assert predictor.known == {}  # the one given is another's
    (learnt,) = constraint.learnt()
    assert (learnt.latency_ms, learnt.lower_ms, learnt.upper_ms) == pytest.approx((4.9, 4.851, 4.949))
    assert learnt.predicted_ms == pytest.approx(4.75)


def test_a_predictor_that_learns_is_told_half_of_what_all_errors_share(Net, Learning, constraint_of):
    """Whether the session or the predictor is off by 10 %, many measurements of neighbours cannot tell."""
    constraint = constraint_of(10.0, predictor=Learning(), scale_error=0.036)
    for index in range(400):
        constraint.confirm(Net(3.0, str(index)), exactly(3.3))
    assert 1.03 < constraint.scale < 1.07


def test_intervals_widen_where_predictions_miss_and_narrow_where_they_do_not(Net, constraint_of):
    missed, met = constraint_of(10.0), constraint_of(10.0)
    for index in range(20):
        missed.confirm(Net(5.0, str(index)), exactly(5.0 * (1.15 if index % 2 else 0.85)))
        met.confirm(Net(5.0, str(index)), exactly(5.0 * (1.02 if index % 2 else 0.98)))
    half = [one.predict([Net(5.0)])[0].upper_ms / 5.0 - 1 for one in (missed, met)]
    score = 1.959964 * 1.5
    assert half[0] == pytest.approx(0.1 * math.sqrt((10 + 20 * score**2) / 30))
    assert half[1] == pytest.approx(0.07)
    assert missed.report()["prediction"]["coverage"] < met.report()["prediction"]["coverage"] == 1.0


def test_the_report_is_json_before_and_after_measuring(Net, constraint_of):
    constraint = constraint_of(10.0, lambda network: exactly(9.8))
    before = json.loads(json.dumps(constraint.report(), allow_nan=False))
    assert before["prediction"]["coverage"] is None
    constraint.check(Net(9.5))
    constraint.confirm(Net(9.6), exactly(12.0))
    after = json.loads(json.dumps(constraint.report(), allow_nan=False))["prediction"]
    assert after["predictions_tested"] == 2
    assert after["mape"] == pytest.approx((0.3 / 9.5 + 2.4 / 9.6) / 2)
    assert after["worst"] == pytest.approx(0.25)
    assert after["coverage"] == 0.5


def test_predictions_are_brought_to_the_milliseconds_of_this_session(Net, constraint_of):
    constraint = constraint_of(10.0, never, scale=2.0)
    predicted = constraint.predict([Net(4.0)])[0]
    assert (predicted.latency_ms, predicted.lower_ms, predicted.upper_ms) == pytest.approx((8.0, 7.2, 8.8))
    assert constraint.check(Net(4.5)).feasible
    assert not constraint.check(Net(5.6)).feasible


def test_confirm_counts_what_prediction_got_wrong(Net, constraint_of):
    constraint = constraint_of(10.0)
    decided = [constraint.check(Net(ms)).feasible for ms in (8.0, 20.0, 8.5, 9.9)]
    assert decided == [True, False, True, False]  # up to 8.8; from 18; up to 9.35; left open, and not to be measured
    assert not constraint.confirm(Net(8.0), exactly(10.5)).feasible
    assert constraint.confirm(Net(20.0), exactly(9.5)).feasible
    constraint.confirm(Net(8.5), exactly(9.0))
    constraint.confirm(Net(9.9), exactly(10.5))
    constraint.confirm(Net(7.0), exactly(10.5))  # it was never decided on
    assert (constraint.counts.false_accepts, constraint.counts.false_rejects) == (1, 1)
    assert constraint.counts.verified == 3


def test_a_network_that_was_measured_before_is_no_false_accept_and_its_last_measurement_holds(Net, constraint_of):
    constraint = constraint_of(10.0, lambda network: exactly(9.8))
    assert constraint.check(Net(9.5)).feasible
    assert not constraint.confirm(Net(9.5), exactly(10.5)).feasible
    assert constraint.counts.false_accepts == 0
    assert not constraint.check(Net(9.5)).feasible


@pytest.mark.parametrize("budget_ms", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_budget_is_refused(budget_ms, constraint_of):
    with pytest.raises(UsageError, match=f"budget_ms is {budget_ms!r}"):
        constraint_of(budget_ms)


def test_an_impossible_scale_is_refused(constraint_of):
    with pytest.raises(UsageError, match=r"scale is 0\.0"):
        constraint_of(1.0, scale=0.0)


@pytest.mark.parametrize(("option", "value"), [("scale_error", -0.1), ("scale_error", 1.0), ("confidence", 1.0)])
def test_impossible_options_are_refused(option, value, Scripted):
    with pytest.raises(UsageError, match=f"{option} is {value}"):
        LatencyConstraint(Scripted(), 1.0, **{option: value})
