"""What is looked up from codes is what the graphs' predictions are."""

import numpy as np
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.latency.predictor.adapted import AdaptedPredictor, common_sources
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.search.constraint.constraint import Interval, LatencyConstraint
from latlas.search.constraint.session_predictor import WORTH_COMPILING, Forecast
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace(height=64, width=64, widths=(8, 12, 16, 24), depths=(2, 1, 2, 1), skip=True)
MACHINE = SimulatedMachine(1)


class Theirs:
    """An architecture of somebody else's: it has a graph, and that is all."""

    def __init__(self, architecture):
        self.architecture = architecture

    def graph(self):
        return self.architecture.graph()


def real_ms(one):
    return MACHINE.latency_ms(one.graph())


@pytest.fixture(scope="module")
def predictor():
    # Of one operator none has been measured: what it costs is known by the prior alone.
    train = [one for one in SPACE.sample(120, np.random.default_rng(0)) if "shuffle" not in one.operators]
    return LatencyPredictor().fit([one.graph() for one in train], [real_ms(one) for one in train], [0.01] * len(train))


@pytest.fixture(scope="module")
def networks():
    return SPACE.sample(150, np.random.default_rng(1))


@pytest.fixture(scope="module")
def adapted(predictor):
    some = [one.graph() for one in SPACE.sample(12, np.random.default_rng(5))]
    cost_of, sources = common_sources([predictor], SPACE.specs())
    return AdaptedPredictor(cost_of, 0.003, sources).fit(some, [1.4 * MACHINE.latency_ms(graph) for graph in some])


@pytest.fixture
def counted(monkeypatch):
    """The graphs that are predicted one by one."""
    asked, plain = [], LatencyPredictor.predict_interval
    monkeypatch.setattr(
        LatencyPredictor,
        "predict_interval",
        lambda self, graphs, confidence: asked.extend(graphs) or plain(self, graphs, confidence),
    )
    return asked


def of_graphs(predictor, architectures, confidence=0.9):
    plain = predictor.predict_interval([one.graph() for one in architectures], confidence)
    latency = np.array([one.latency_ms for one in plain])
    return latency, np.array([(one.upper_ms - one.lower_ms) / 2 for one in plain]) / latency


@pytest.mark.parametrize("kind", ["predictor", "adapted"])
def test_it_is_what_the_graphs_say(kind, networks, request):
    predictor = request.getfixturevalue(kind)
    expected, forecast = of_graphs(predictor, networks), Forecast(predictor, 0.9)
    np.testing.assert_allclose(forecast.of(networks), expected, rtol=1e-9)
    np.testing.assert_allclose(forecast.of_codes(SPACE, SPACE.encode(networks)), expected, rtol=1e-9)


def test_few_are_predicted_from_their_graphs_and_many_are_looked_up(predictor, networks, counted):
    forecast = Forecast(predictor, 0.9)
    forecast.of(networks[: WORTH_COMPILING - 1])
    assert len(counted) == WORTH_COMPILING - 1
    forecast.of(networks)
    forecast.of(networks[:1])
    assert len(counted) == WORTH_COMPILING - 1


def test_architectures_of_all_kinds_come_back_in_their_order(predictor, networks, counted):
    other = PortraitSpace(height=64, width=64, widths=(8, 12, 16, 24), depths=(1, 1, 1, 1), skip=True)
    mixed = [
        *networks,
        SPACE.baseline("mobilenetv3_small"),
        *(Theirs(one) for one in networks[:5]),
        *other.sample(60, np.random.default_rng(2)),
    ]
    order = np.random.default_rng(3).permutation(len(mixed))
    shuffled = [mixed[index] for index in order]
    found = Forecast(predictor, 0.9).of(shuffled)
    assert len(counted) == 6
    np.testing.assert_allclose(found, of_graphs(predictor, shuffled), rtol=1e-9)


def test_a_space_with_dead_branches_is_predicted_from_graphs(counted):
    space = NasBench201(cells=1)
    train = [one for one in space.sample(40, np.random.default_rng(0)) if real_ms(one) > 0]
    predictor = LatencyPredictor().fit([one.graph() for one in train], [real_ms(one) for one in train])
    forecast, others = Forecast(predictor, 0.9), space.sample(60, np.random.default_rng(1))
    found = forecast.of(others), forecast.of_codes(space, space.encode(others))
    assert len(counted) == 120
    np.testing.assert_allclose(found[0], of_graphs(predictor, others), rtol=1e-12)
    np.testing.assert_array_equal(*found)


def test_another_predictor_is_asked_about_graphs(predictor, networks):
    class Another:
        predict_interval = predictor.predict_interval

    np.testing.assert_array_equal(Forecast(Another(), 0.9).of(networks), of_graphs(predictor, networks))


def test_nothing_is_said_of_none(predictor):
    assert [len(x) for x in Forecast(predictor, 0.9).of([])] == [0, 0]
    assert [len(x) for x in Forecast(predictor, 0.9).of_codes(SPACE, np.empty((0, 6), dtype=int))] == [0, 0]


def test_a_latency_held_at_the_least_has_the_interval_that_its_graph_has(predictor, networks):
    """Extrapolated below nothing it is held at a tenth of the least, and its spread is told before that."""
    low = predictor.updated([networks[0].graph()], [real_ms(networks[0])])
    low.range_ms_ = (20 * low.range_ms_[1], 20 * low.range_ms_[1])
    latency, half = Forecast(low, 0.9).of(networks)
    assert set(latency) == {low.range_ms_[0] / 10}
    np.testing.assert_allclose((latency, half), of_graphs(low, networks), rtol=1e-9)


def test_a_constraint_decides_the_same_from_codes_as_from_graphs_while_it_learns(predictor, networks):
    budget_ms = float(np.quantile([real_ms(one) for one in networks], 0.4))

    def measure(one):
        return Interval(real_ms(one), 0.99 * real_ms(one), 1.01 * real_ms(one))

    known, unknown = (
        LatencyConstraint(predictor, budget_ms, measure=measure, max_measurements=30, scale_error=0.02)
        for _ in range(2)
    )
    for start in range(0, 150, 50):
        some = networks[start : start + 50]
        decided, other = known.check_all(some), unknown.check_all([Theirs(one) for one in some])
        assert [(one.feasible, one.measured) for one in decided] == [(one.feasible, one.measured) for one in other]
        for name in ("latency_ms", "lower_ms", "upper_ms"):
            assert [getattr(one, name) for one in decided] == pytest.approx(
                [getattr(one, name) for one in other], rel=1e-9
            )
        screened = known.screen_codes(SPACE, SPACE.encode(networks))
        assert screened.tolist() == unknown.screen([Theirs(one) for one in networks]).tolist()
        assert set(screened.tolist()) == {-1, 0, 1}
    assert known.counts == unknown.counts
    assert known.counts.measured > 5
    assert known.predictor is not predictor
