import numpy as np
import pytest

from latlas.latency.errors import MissingEntryError, UsageError
from latlas.latency.features import EDGE_VALUE, edge_name, features, unit_cost
from latlas.latency.graph import INPUT, Node
from latlas.latency.ops import OpSpec
from latlas.latency.predictor import LatencyPredictor
from latlas.latency.predictor_file import CostList
from latlas.supernet.portrait import PortraitSpace


def true_ms(graph, rng=None, noise=0.0):
    """A law with what real networks have: costs that differ from the isolated ones by operator, and border costs."""
    total = 0.3
    for node in graph:
        wobble = (hash_of(node.spec) % 100) / 100 - 0.5
        total += unit_cost(node.spec) * (0.7 + 0.2 * wobble)
        total += 0.02 * sum(graph[i].spec.kind != node.spec.kind for i in node.inputs if i != INPUT)
    return total * (1 + noise * rng.normal()) if rng is not None else total


def hash_of(spec):
    import zlib

    return zlib.crc32(str(spec).encode())


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    graphs = [a.graph() for a in PortraitSpace().sample(260, rng)]
    return graphs, np.array([true_ms(g, rng, 0.01) for g in graphs])


def mape(predicted, measured):
    return float(np.mean(np.abs(predicted - measured) / measured))


def test_it_learns_to_near_the_noise_and_beats_the_plain_sum(data):
    graphs, latencies = data
    predictor = LatencyPredictor(cost_of=unit_cost).fit(graphs[:150], latencies[:150])
    truth = np.array([true_ms(g) for g in graphs[150:]])
    plain = np.array([sum(unit_cost(n.spec) for n in g) for g in graphs[150:]])
    error = mape(predictor.predict(graphs[150:]), truth)
    assert error < 0.01
    assert error < 0.1 * mape(plain, truth)


def test_the_interval_covers_unseen_networks_about_as_often_as_it_says(data):
    graphs, latencies = data
    predictor = LatencyPredictor().fit(graphs[:160], latencies[:160])
    for confidence in (0.8, 0.9, 0.95):
        bounds = predictor.predict_interval(graphs[160:], confidence)
        inside = np.mean([b.lower_ms <= y <= b.upper_ms for b, y in zip(bounds, latencies[160:], strict=True)])
        assert confidence - 0.1 <= inside
    margins = [predictor.margin(c) for c in (0.5, 0.8, 0.95, 0.99)]
    assert margins == sorted(margins)
    assert margins[2] < 0.06


def test_the_margin_is_the_conformal_rank():
    predictor = LatencyPredictor()
    predictor.residuals_ = np.arange(1, 20) / 100  # n = 19: 95 % is the 19th, 90 % the 18th, 50 % the 10th
    assert [predictor.margin(c) for c in (0.95, 0.9, 0.5)] == [0.19, 0.18, 0.10]
    assert predictor.margin(0.999) == 0.19
    with pytest.raises(UsageError, match=r"confidence is 1\.5"):
        predictor.margin(1.5)


def test_the_same_samples_give_the_same_predictor(data):
    graphs, latencies = data
    first, again = (LatencyPredictor(seed=3).fit(graphs[:80], latencies[:80]) for _ in range(2))
    np.testing.assert_array_equal(first.predict(graphs[:9]), again.predict(graphs[:9]))


def test_an_operator_that_was_not_in_training_is_priced_by_its_cost(data):
    graphs, latencies = data
    lacking = [i for i, g in enumerate(graphs) if not any(n.spec.kind == "shuffle" for n in g)]
    predictor = LatencyPredictor(cost_of=unit_cost).fit([graphs[i] for i in lacking], latencies[lacking])
    unseen = PortraitSpace().architecture(["shuffle"] * 14).graph()
    assert predictor.predict([unseen])[0] == pytest.approx(true_ms(unseen), rel=0.35)
    assert predictor.predict([unseen])[0] > 0


def test_features_are_sums_over_live_nodes_and_edges():
    conv = OpSpec("conv", 4, 4, 8, 8, kernel_size=3)
    skip = OpSpec("skip", 4, 4, 8, 8)
    graph = (Node(conv, (INPUT,)), Node(conv, (0,)), Node(skip, (0,)), Node(conv, (1,)))  # the skip is dead
    found = features(graph, lambda spec: 0.25)
    assert found["base cost"] == 0.75
    assert found["base macs"] == pytest.approx(3 * 4 * 4 * 9 * 64 / 1e8)
    assert found["kind conv_k3 8x8"] == 0.75
    assert found[f"spec {conv}"] == 0.75
    assert found[edge_name(conv, conv)] == 2 * EDGE_VALUE
    assert not any("skip" in name for name in found)


def test_a_missing_cost_is_an_error_and_never_a_guess(data):
    graphs, latencies = data
    specs = {node.spec for graph in graphs[:20] for node in graph}
    dropped = sorted(specs)[0]
    costs = CostList(dict.fromkeys(specs - {dropped}, 0.1))
    with pytest.raises(MissingEntryError, match=dropped.name):
        LatencyPredictor(cost_of=costs).fit(graphs[:20], latencies[:20])


@pytest.mark.parametrize(
    ("count", "spoil", "message"),
    [(9, None, "9 graphs and 9 latencies; at least 10"), (20, 0.0, "not positive"), (20, float("nan"), "not positive")],
)
def test_samples_that_teach_nothing_are_refused(data, count, spoil, message):
    graphs, latencies = data
    y = latencies[:count].copy()
    if spoil is not None:
        y[3] = spoil
    with pytest.raises(UsageError, match=message):
        LatencyPredictor().fit(graphs[:count], y)


def test_scikit_learn_can_clone_and_score_it(data):
    from sklearn.base import clone

    graphs, latencies = data
    predictor = clone(LatencyPredictor(use_lightgbm=False, seed=4))
    assert predictor.get_params()["seed"] == 4
    assert predictor.fit(graphs[:60], latencies[:60]).score(graphs[60:90], latencies[60:90]) > 0.9
