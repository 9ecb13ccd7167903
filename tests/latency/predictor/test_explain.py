import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.predictor.explain import grouped, grouped_se, node_parts, shapley
from latlas.latency.predictor.features import unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace


@pytest.fixture(scope="module")
def learnt():
    graphs = [a.graph() for a in PortraitSpace().sample(60, np.random.default_rng(0))]
    latencies = [sum(unit_cost(node.spec) * (1 + 0.2 * (node.spec.kind == "mbconv")) for node in g) for g in graphs]
    return LatencyPredictor().fit(graphs[:40], latencies[:40], [0.01] * 40), graphs[40:]


def test_the_parts_of_a_linear_predictor_sum_to_its_prediction(learnt):
    predictor, graphs = learnt
    for graph in graphs:
        parts = node_parts(predictor, graph)
        assert parts.latency_ms.shape == (len(graph) + 1,)
        assert parts.latency_ms.sum() == pytest.approx(predictor.latency_ms([graph])[0], rel=1e-12)


def test_their_covariance_sums_to_the_predictions_variance(learnt):
    predictor, _ = learnt
    graph = (
        PortraitSpace().sample(60, np.random.default_rng(0))[0].graph()
    )  # learnt from, so that it has no unknown feature
    parts = node_parts(predictor, graph)
    _, spread = predictor.predict_spread([graph])
    rest = predictor.model_.spreads_["misfit"] ** 2 + predictor.model_.noise_**2
    expected = (spread[0] ** 2 - rest) * parts.latency_ms.sum() ** 2
    assert parts.covariance_ms2.sum() == pytest.approx(expected, rel=1e-6)


def test_an_edges_cost_goes_half_to_each_end():
    first, second = OpSpec("conv", 4, 4, 8, 8, kernel_size=3), OpSpec("skip", 4, 4, 8, 8)
    graph = (Node(first, (INPUT,)), Node(second, (0,)))
    predictor = LatencyPredictor(cost_of=lambda spec: 2.0)
    graphs = [tuple([Node(first, (INPUT,))] + [Node(second, (k,)) for k in range(n)]) for n in range(1, 12)]
    predictor.fit(graphs, [2.0 + len(g) for g in graphs])
    predictor.model_.coef_[:] = 0.0
    predictor.model_.coef_[predictor.names_.index("meeting conv_k3 skip 8x8")] = 10.0
    predictor.model_.coef_[predictor.names_.index("kind skip")] = 0.5
    predictor.model_.coef_[-1] = 0.25
    # The edge counts 0.05 and so has 0.5 ms; the skip's kind has 0.5 x 2 ms.
    np.testing.assert_allclose(node_parts(predictor, graph).latency_ms, [0.25, 1.25, 0.25])


def test_a_dead_node_has_nothing(learnt):
    predictor, graphs = learnt
    graph = graphs[0]
    dead = (*graph[:1], Node(graph[1].spec, (0,)), *(_shifted(node) for node in graph[1:]))
    parts = node_parts(predictor, dead)
    assert parts.latency_ms[1] == 0
    assert parts.latency_ms.sum() == pytest.approx(predictor.latency_ms([graph])[0], rel=1e-12)


def _shifted(node):
    return Node(node.spec, tuple(source + 1 if source > 0 else source for source in node.inputs))


def test_a_prediction_held_at_its_limit_is_still_the_sum(learnt):
    predictor, graphs = learnt
    held = LatencyPredictor.from_record(predictor.to_record())
    held.range_ms_ = (1e4, 1e5)
    assert node_parts(held, graphs[0]).latency_ms.sum() == pytest.approx(1e3)


def test_shapley_values_of_a_sum_are_the_differences_and_always_sum_exactly():
    rng = np.random.default_rng(0)
    ms = rng.uniform(0, 1, (3, 4))  # layer, operator
    drawn = rng.integers(0, 4, (20, 3))
    own = [1, 3, 0]

    def additive(codes):
        return 2 + ms[np.arange(3), codes].sum(axis=1)

    found = shapley(additive, own, drawn, rng)
    np.testing.assert_allclose(found.latency_ms, ms[np.arange(3), own] - ms[np.arange(3), drawn].mean(axis=0))

    def curved(codes):
        return np.exp(additive(codes)) + (codes[:, 0] == codes[:, 2])

    found = shapley(curved, own, drawn, rng)
    assert found.base_ms + found.latency_ms.sum() == pytest.approx(curved(np.array([own]))[0])
    assert found.base_ms == pytest.approx(curved(drawn).mean())
    assert np.all(found.se_ms > 0)


def test_two_layers_that_only_act_together_share_what_they_add():
    def both(codes):
        return 1.0 + (codes.sum(axis=1) == 2)

    found = shapley(both, [1, 1], np.zeros((4, 2), dtype=int), np.random.default_rng(0))
    np.testing.assert_allclose(found.latency_ms, [0.5, 0.5])


def test_drawn_networks_must_have_the_layers():
    with pytest.raises(UsageError, match=r"drawn networks are \(4, 3\)"):
        shapley(lambda codes: codes.sum(axis=1), [1, 1], np.zeros((4, 3), dtype=int), np.random.default_rng(0))


def test_groups_sum_parts_and_their_covariance():
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, -2.0], [0.0, -2.0, 1.0]])
    np.testing.assert_allclose(grouped(np.array([1.0, 2.0, 3.0]), [[0, 1], [2]]), [3, 3])
    np.testing.assert_allclose(grouped_se(covariance, [[0, 1], [2]]), [np.sqrt(15), 1])
