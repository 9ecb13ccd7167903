import json

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.predictor.adapted import AdaptedPredictor, common_sources
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.explain import node_parts
from latlas.latency.predictor.features import CostList
from latlas.latency.predictor.predictor import LatencyPredictor

FACTOR = {"mbconv": 1.2, "sepconv": 2.4, "dilconv": 2.8, "shuffle": 1.7}


def source_cost(spec):
    return 0.01 + spec.macs / 1e7


def target_ms(graph):
    """In the target every kind of operator takes another factor of its source's time."""
    return 0.1 + sum(source_cost(node.spec) * FACTOR.get(node.spec.kind, 2.0) for node in graph)


@pytest.fixture(scope="module")
def graphs(tiny_space):
    return [one.graph() for one in tiny_space.sample(200, np.random.default_rng(0))]


@pytest.fixture(scope="module")
def source(tiny_space, graphs):
    costs = CostList({spec: source_cost(spec) for spec in tiny_space.specs()})
    rng = np.random.default_rng(1)
    latencies = [(0.05 + sum(costs(n.spec) for n in g)) * (1 + 0.005 * rng.normal()) for g in graphs[:80]]
    return LatencyPredictor(costs).fit(graphs[:80], latencies, [0.005] * 80)


@pytest.fixture(scope="module")
def target(graphs):
    rng = np.random.default_rng(2)
    return np.array([target_ms(graph) for graph in graphs]) * (1 + 0.005 * rng.normal(size=len(graphs)))


def adapted(sources, tiny_space, graphs, target, count):
    cost_of, said = common_sources(sources, tiny_space.specs())
    return AdaptedPredictor(cost_of, 0.0, said).fit(graphs[:count], target[:count], [0.005] * count)


def error(predictor, graphs, target):
    return float(np.mean(np.abs(predictor.latency_ms(graphs[100:]) / target[100:] - 1)))


def test_few_networks_beat_the_source_scaled_and_more_come_near_the_noise(tiny_space, graphs, source, target):
    said = source.latency_ms(graphs)
    scale = np.median(target[:10] / said[:10])
    scaled = float(np.mean(np.abs(scale * said[100:] / target[100:] - 1)))
    errors = [error(adapted([source], tiny_space, graphs, target, count), graphs, target) for count in (5, 10, 40)]
    assert errors[1] < 0.5 * scaled
    assert errors[2] < 0.01
    assert errors == sorted(errors, reverse=True)


def test_it_is_linear_its_parts_and_its_tables_add_up_to_it(tiny_space, graphs, source, target):
    predictor = adapted([source], tiny_space, graphs, target, 12)
    for graph in graphs[100:110]:
        assert node_parts(predictor, graph).latency_ms.sum() == pytest.approx(
            predictor.latency_ms([graph])[0], rel=1e-9
        )
    codes = tiny_space.encode(tiny_space.sample(50, np.random.default_rng(5)))
    networks = [one.graph() for one in tiny_space.decode(codes)]
    compiled = CompiledPredictor(predictor, tiny_space.template())
    bounds = predictor.predict_interval(networks, 0.9)
    latency, lower, upper = compiled.predict_interval(codes, 0.9)
    np.testing.assert_allclose(latency, [b.latency_ms for b in bounds], rtol=1e-9)
    np.testing.assert_allclose(lower, [b.lower_ms for b in bounds], rtol=1e-6)
    np.testing.assert_allclose(upper, [b.upper_ms for b in bounds], rtol=1e-6)


def test_its_record_gives_the_same_predictor(tiny_space, graphs, source, target):
    predictor = adapted([source], tiny_space, graphs, target, 12)
    again = AdaptedPredictor.from_record(json.loads(json.dumps(predictor.to_record())))
    first, second = (one.predict_interval(graphs[100:120], 0.95) for one in (predictor, again))
    np.testing.assert_allclose([b.upper_ms for b in first], [b.upper_ms for b in second], rtol=1e-6)
    assert again.freedom_ == pytest.approx(predictor.freedom_, rel=1e-5)
    more, more_again = (one.updated(graphs[12:20], target[12:20], [0.005] * 8) for one in (predictor, again))
    np.testing.assert_allclose(more.latency_ms(graphs[100:120]), more_again.latency_ms(graphs[100:120]), rtol=1e-6)


def test_it_learns_on(tiny_space, graphs, source, target):
    predictor = adapted([source], tiny_space, graphs, target, 6)
    before, kept = error(predictor, graphs, target), predictor.latency_ms(graphs[100:])
    more = predictor.updated(graphs[6:60], target[6:60], [0.005] * 54)
    assert error(more, graphs, target) < before
    np.testing.assert_array_equal(predictor.latency_ms(graphs[100:]), kept)
    assert more.model_.spreads_["kind"] == predictor.model_.spreads_["kind"]


def test_a_source_with_other_costs_says_the_same_in_common_features(tiny_space, graphs, source):
    others = CostList({spec: 0.02 + (spec.macs + 1e4) ** 0.8 / 1e5 for spec in tiny_space.specs()})
    latencies = [0.05 + sum(others(n.spec) for n in g) for g in graphs[:60]]
    second = LatencyPredictor(others).fit(graphs[:60], latencies, [0.005] * 60)
    bare = LatencyPredictor().fit(graphs[:60], latencies, [0.005] * 60)
    cost_of, said = common_sources([source, second, bare], tiny_space.specs())
    assert cost_of is source.cost_of
    probe = AdaptedPredictor(cost_of, 0.0, said).fit(graphs[:20], latencies[:20], [0.005] * 20)
    matrix, _ = probe._matrix([probe._features(graph) for graph in graphs[100:]])
    for row, one in zip(probe._sources.coef, (source, second, bare), strict=True):
        np.testing.assert_allclose(matrix @ np.array(row), one.latency_ms(graphs[100:]), rtol=1e-9)
    assert np.mean(np.abs(probe.latency_ms(graphs[100:]) / second.latency_ms(graphs[100:]) - 1)) < 0.02


def test_an_operator_that_cost_nothing_cannot_carry_another_sources_time(tiny_space, source, graphs):
    nothing = CostList(dict.fromkeys(tiny_space.specs(), 0.0))
    second = LatencyPredictor(nothing).fit(graphs[:20], [1.0 + k / 100 for k in range(20)])
    with pytest.raises(UsageError, match=r"has 0\.0 ms in a predictor's costs"):
        common_sources([second, source], tiny_space.specs())


def test_too_few_networks_and_no_sources_are_refused(tiny_space, graphs, source, target):
    with pytest.raises(UsageError, match=r"4 graphs and 4 latencies; adapting needs at least 5"):
        adapted([source], tiny_space, graphs, target, 4)
    with pytest.raises(UsageError, match="no predictor to adapt"):
        common_sources([], tiny_space.specs())
    with pytest.raises(UsageError, match="needs sources"):
        AdaptedPredictor().fit(graphs[:5], target[:5])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sources", []),
        ("sources", [[1.0]]),
        ("sources", None),
        ("scale", [0.0]),
        ("scale", [1.0, 1.0]),
        ("unit", float("nan")),
        ("unit", "x"),
        ("campaign_sd", 2),
        ("names", ["kind a", "kind a"]),
        ("model", {}),
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(tiny_space, graphs, source, target, field, value):
    record = adapted([source], tiny_space, graphs, target, 6).to_record()
    with pytest.raises((ValueError, KeyError, TypeError)):
        AdaptedPredictor.from_record({**record, field: value})
