import numpy as np
import pytest

from latlas.errors import MissingEntryError, UsageError
from latlas.latency.predictor.features import EDGE_VALUE, CostList, features, unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace


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
    error = mape(predictor.latency_ms(graphs[150:]), truth)
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


def test_intervals_are_wider_for_networks_unlike_those_learnt_from(data):
    graphs, latencies = data
    predictor = LatencyPredictor(cost_of=unit_cost).fit(graphs[:100], latencies[:100])
    uniform = np.median([b.upper_ms / b.latency_ms for b in predictor.predict_interval(graphs[160:])])
    unseen = [
        PortraitSpace().baseline("mobilenetv3_large").graph(),
        PortraitSpace().architecture(["shuffle"] * 14).graph(),
    ]
    assert all(b.upper_ms / b.latency_ms > uniform for b in predictor.predict_interval(unseen))


def test_what_is_learnt_later_counts_as_if_it_had_been_there(data):
    graphs, latencies = data
    errors = [0.01] * 120
    first = LatencyPredictor(cost_of=unit_cost).fit(graphs[:60], latencies[:60], errors[:60])
    after = first.updated(graphs[60:120], latencies[60:120], errors[60:])
    truth = np.array([true_ms(g) for g in graphs[150:]])
    assert mape(after.latency_ms(graphs[150:]), truth) < mape(first.latency_ms(graphs[150:]), truth)
    assert after.model_.spreads_ == first.model_.spreads_
    assert len(after.scores_) == 120
    assert after.margin(0.95) < first.margin(0.95)


def test_the_same_samples_give_the_same_predictor(data):
    graphs, latencies = data
    first, again = (LatencyPredictor().fit(graphs[:80], latencies[:80]) for _ in range(2))
    np.testing.assert_array_equal(first.latency_ms(graphs[:9]), again.latency_ms(graphs[:9]))


def test_an_operator_that_was_not_in_training_is_priced_by_its_cost(data):
    graphs, latencies = data
    lacking = [i for i, g in enumerate(graphs) if not any(n.spec.kind == "shuffle" for n in g)]
    predictor = LatencyPredictor(cost_of=unit_cost).fit([graphs[i] for i in lacking], latencies[lacking])
    unseen = PortraitSpace().architecture(["shuffle"] * 14).graph()
    assert predictor.latency_ms([unseen])[0] == pytest.approx(true_ms(unseen), rel=0.35)
    assert predictor.latency_ms([unseen])[0] > 0


def test_features_are_sums_over_live_nodes_and_edges():
    conv = OpSpec("conv", 4, 4, 8, 8, kernel_size=3)
    skip = OpSpec("skip", 4, 4, 8, 8)
    graph = (Node(conv, (INPUT,)), Node(conv, (0,)), Node(skip, (0,)), Node(conv, (1,)))  # the skip is dead
    found = features(graph, lambda spec: 0.25)
    assert found["base cost"] == 0.75
    assert found["base macs"] == pytest.approx(3 * 4 * 4 * 9 * 64 / 1e8)
    assert found["kind conv_k3"] == found["place conv_k3 8x8"] == 0.75
    assert found[f"spec {conv}"] == 0.75
    assert found["meeting conv_k3 conv_k3 8x8"] == 2 * EDGE_VALUE
    assert found["pair conv_k3 conv_k3"] == pytest.approx(2 * EDGE_VALUE * 4 * 64 / 1e5)
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
    predictor = clone(LatencyPredictor(cost_of=unit_cost))
    assert predictor.get_params()["cost_of"] is unit_cost
    assert predictor.fit(graphs[:60], latencies[:60]).score(graphs[60:90], latencies[60:90]) > 0.9
