"""A compiled predictor says what the predictor says, network by network."""

import numpy as np
import pytest

from benchmarks.prediction_speed import CompiledSum
from latlas.errors import UsageError
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.features import unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.portrait import PortraitSpace

SPACE = PortraitSpace(height=64, width=64, widths=(8, 12, 16, 24), depths=(2, 1, 2, 1), skip=True)


@pytest.fixture(scope="module")
def predictor():
    rng = np.random.default_rng(0)
    graphs = [one.graph() for one in SPACE.sample(60, rng)]
    latencies = [sum(unit_cost(n.spec) for n in g) * (1 + 0.02 * rng.normal()) + 0.05 * len(g) for g in graphs]
    return LatencyPredictor(unit_cost).fit(graphs, latencies, [0.01] * 60)


@pytest.fixture(scope="module")
def compiled(predictor):
    return CompiledPredictor(predictor, SPACE.template())


@pytest.fixture(scope="module")
def unseen():
    return SPACE.sample(200, np.random.default_rng(1))


def test_it_says_what_the_predictor_says(predictor, compiled, unseen):
    codes = SPACE.encode(unseen)
    expected = predictor.predict_interval([one.graph() for one in unseen], 0.9)
    np.testing.assert_allclose(compiled.latency_ms(codes), [one.latency_ms for one in expected], rtol=1e-9)
    latency, lower, upper = compiled.predict_interval(codes, 0.9)
    np.testing.assert_allclose(latency, [one.latency_ms for one in expected], rtol=1e-9)
    np.testing.assert_allclose(lower, [one.lower_ms for one in expected], rtol=1e-6)
    np.testing.assert_allclose(upper, [one.upper_ms for one in expected], rtol=1e-6)


def test_its_terms_add_up_to_the_prediction(predictor, compiled, unseen):
    codes = SPACE.encode(unseen)
    total = np.full(len(codes), compiled.constant)
    for column, values in enumerate(compiled.unary):
        total += values[codes[:, column]]
    for (one, other), values in compiled.pairwise.items():
        total += values[codes[:, one], codes[:, other]]
    np.testing.assert_allclose(total, predictor.latency_ms([one.graph() for one in unseen]), rtol=1e-9)


def test_only_neighbours_meet(compiled):
    assert set(compiled.pairwise) == {(layer, layer + 1) for layer in range(5)}


def test_more_networks_than_one_chunk_are_predicted_in_their_order(compiled, unseen):
    codes = np.tile(SPACE.encode(unseen), (200, 1))
    np.testing.assert_array_equal(compiled.latency_ms(codes), np.tile(compiled.latency_ms(codes[:200]), 200))


def test_no_networks_are_predicted_as_none(compiled):
    assert [len(values) for values in compiled.predict_interval(np.zeros((0, 6), dtype=int))] == [0, 0, 0]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 5), dtype=int), r"\(3, 5\)"),
        (np.zeros((3, 6)), "float64"),
        (np.full((3, 6), 9), "code 9 of row 0, column 0"),
        (np.full((3, 6), -1), "code -1"),
    ],
)
def test_codes_that_are_none_are_refused(compiled, codes, message):
    with pytest.raises(UsageError, match=message):
        compiled.latency_ms(codes)


def test_the_compiled_sum_is_the_sum(unseen):
    sums = CompiledSum(unit_cost, SPACE.template()).latency_ms(SPACE.encode(unseen))
    np.testing.assert_allclose(sums, [sum(unit_cost(n.spec) for n in one.graph()) for one in unseen], rtol=1e-12)
