"""The limits of a space by a real predictor, and what is refused on their strength."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.latency.limits import limits as module
from latlas.latency.limits.additive import extreme
from latlas.latency.limits.limits import additive, budgets_of, feasible_share, limits_of, share_record, share_text
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.search.constraint.constraint import Learnt
from latlas.search.run.result import with_learnt
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.space import enumerate_space

SMALL = PortraitSpace(height=32, width=32, stem_channels=8, widths=(8, 8, 16, 16), depths=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def fitted():
    """A predictor of a simulated machine, and what it says of every network of the small space."""
    machine = SimulatedMachine(1)
    train = SMALL.sample(40, np.random.default_rng(0))
    readings = machine.session(2).measure(train)
    predictor = LatencyPredictor().fit([one.graph() for one in train], [one.latency_ms for one in readings])
    everything = list(enumerate_space(SMALL))
    return predictor, everything, predictor.latency_ms([one.graph() for one in everything])


def test_the_limits_are_those_of_all_networks(fitted, monkeypatch):
    predictor, everything, values = fitted
    exact = limits_of(predictor, SMALL)
    assert exact.how == "exact"
    assert (exact.fastest, exact.slowest) == (everything[values.argmin()], everything[values.argmax()])
    assert (exact.fastest_ms.latency_ms, exact.slowest_ms.latency_ms) == pytest.approx((values.min(), values.max()))
    assert exact.fastest_ms.lower_ms < values.min()

    monkeypatch.setattr(module, "additive", lambda predictor, space: None)
    listed = limits_of(predictor, SMALL)
    assert dataclasses.replace(listed, how="exact").fastest == exact.fastest
    assert listed.how == "enumerated"
    monkeypatch.setattr(module, "MAX_GRAPHS", 10)
    assert limits_of(predictor, SMALL).how == "descent"


def test_the_share_of_a_space_within_a_budget(fitted):
    predictor, _, values = fitted
    for quantile in (0.03, 0.5):
        budget_ms = float(np.quantile(values, quantile))
        share = feasible_share(predictor, SMALL, budget_ms)
        assert share.lower - 1e-9 <= np.mean(values <= budget_ms) <= share.upper + 1e-9
        assert share.upper - share.lower < 0.01


def test_a_share_is_told_and_the_budgets_of_shares(fitted):
    predictor, everything, values = fitted
    record = share_record(predictor, SMALL, float(np.quantile(values, 0.3)))
    assert record is not None
    assert json.loads(json.dumps(record)) == record
    assert record["lower"] <= 0.31 and record["upper"] >= 0.29 and record["networks"] == len(everything)
    assert (
        share_text({"lower": 0.123, "upper": 0.1231, "networks": 6.8e11}) == "12 % of the space's 6.8 x 10^11 networks"
    )
    assert share_text({"lower": 0.0, "upper": 0.00001, "networks": 100.0}) == "0 to 0.001 % of the space's 100 networks"
    assert share_text({"lower": 1.0, "upper": 1.0, "networks": 6.78e11}) == "all of the space's 6.8 x 10^11 networks"
    assert (
        share_text({"lower": 0.9994, "upper": 1.0, "networks": 15_625.0})
        == "more than 99.9 % of the space's 15,625 networks"
    )
    assert (
        share_text({"lower": 0.9954, "upper": 0.9958, "networks": 2e6})
        == "99.5 to 99.6 % of the space's 2.0 x 10^6 networks"
    )
    assert share_text({"lower": 0.0, "upper": 0.0, "networks": 4.0}) == "none of the space's 4 networks"
    assert share_text({"lower": 2.3e-9, "upper": 2.3e-9, "networks": 5e9}) == (
        "2.3 x 10^-7 % of the space's 5.0 x 10^9 networks"
    )
    budgets = budgets_of(predictor, SMALL)
    assert (budgets.fastest_ms, budgets.slowest_ms) == pytest.approx((values.min(), values.max()))
    for share, latency_ms in budgets.within:
        assert np.mean(values <= latency_ms) == pytest.approx(share, abs=0.01)


def test_nothing_is_told_of_what_cannot_be_counted():
    space = NasBench201(cells=1)
    some = space.sample(30, np.random.default_rng(0))
    predictor = LatencyPredictor().fit([one.graph() for one in some], [1.0 + one.macs for one in some])
    assert budgets_of(predictor, space) is None
    assert share_record(predictor, space, 1.0) is None
    assert share_text(None) == ""


def test_the_sum_of_a_large_space_is_the_prediction():
    machine, space = SimulatedMachine(1), PortraitSpace()
    train = space.sample(30, np.random.default_rng(0))
    latencies = [machine.latency_ms(one.graph()) for one in train]
    predictor = LatencyPredictor().fit([one.graph() for one in train], latencies)
    terms = additive(predictor, space)
    others = space.sample(20, np.random.default_rng(1))
    assert terms.values(space.encode(others)) == pytest.approx(predictor.latency_ms([one.graph() for one in others]))
    fastest_ms, slowest_ms = (extreme(terms, sign).latency_ms for sign in (1, -1))
    assert fastest_ms < min(latencies) < max(latencies) < slowest_ms


def test_what_a_search_measured_is_learnt_and_listed(fitted):
    @dataclasses.dataclass(frozen=True)
    class Saved:
        predictor: object
        samples: Any = ()

    predictor, everything, values = fitted
    one, ms = everything[5], float(values[5])
    saved: Any = Saved(predictor)
    assert with_learnt(saved, []) is saved
    after = with_learnt(saved, [Learnt(one, 1.1 * ms, 1.09 * ms, 1.11 * ms, ms)])
    assert [(s.architecture, s.role) for s in after.samples] == [(str(one), "search")]
    assert 1.0 < after.predictor.latency_ms([one.graph()])[0] / ms < 1.1
    assert predictor.latency_ms([one.graph()])[0] == pytest.approx(ms)
