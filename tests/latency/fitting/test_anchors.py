"""How fast a session is, by subnets that the predictor knows."""

from types import SimpleNamespace

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.fitting.anchors import ANCHORS, UNSEEN_SCALE_ERROR, Anchors, anchors_of, session_scale
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.stopwatch import Pass, StopRule
from latlas.latency.predictor.predictor_file import PredictorSample


@pytest.fixture(scope="module")
def saved(tiny_space):
    """As much of a saved predictor as anchors need, which predicts multiply-adds."""
    subnets = tiny_space.sample(40, np.random.default_rng(0))
    samples = tuple(
        PredictorSample(
            str(one), one.macs / 1e6, one.macs / 1.1e6, one.macs / 0.9e6, 1.0, "test" if k % 4 == 0 else "train"
        )
        for k, one in enumerate(subnets)
    )
    predictor = SimpleNamespace(latency_ms=lambda graphs: np.array([sum(n.spec.macs for n in g) / 1e6 for g in graphs]))
    return SimpleNamespace(space=tiny_space, samples=samples, predictor=predictor)


def test_they_are_spread_over_the_latencies_that_were_learnt_from(saved):
    anchors = anchors_of(saved)
    learnt = sorted(one.latency_ms for one in saved.samples if one.role == "train")
    places = [learnt.index(one.macs / 1e6) for one in anchors]
    assert len(set(anchors)) == ANCHORS
    assert places == sorted(places)
    assert places[0] <= 2 and places[-1] >= 27


def test_a_slower_session_is_told_by_its_scale_and_one_burst_does_not_move_it(saved):
    anchors = anchors_of(saved)
    took = {one: 1.2 * one.macs / 1e6 for one in anchors} | {anchors[0]: 5 * anchors[0].macs / 1e6}
    scale, error = session_scale(saved, anchors, took)
    assert scale == pytest.approx(1.2)
    assert 0.002 < error < 0.5


def test_what_could_not_be_measured_is_left_out(saved):
    anchors = anchors_of(saved)
    scale, error = session_scale(saved, anchors, {anchors[3]: 0.9 * anchors[3].macs / 1e6})
    assert scale == pytest.approx(0.9)
    assert error == pytest.approx(0.01, rel=0.01)
    with pytest.raises(UsageError, match="none of the subnets"):
        session_scale(saved, anchors, {})


def test_a_predictor_that_names_no_subnets_has_none(saved):
    assert anchors_of(SimpleNamespace(space=saved.space, samples=(), predictor=saved.predictor)) == []


@pytest.fixture
def anchored(saved):
    return Anchors(saved, lambda graph: [(node.spec.name, list(node.inputs)) for node in graph])


def passes_of(anchored, scale, count, rng, sd=0.012):
    """A campaign in which each anchor takes `scale` times what the predictor says."""
    found = {}
    for architecture, network in zip(anchored.architectures, anchored.networks, strict=True):
        ratios = scale * architecture.macs / 1e6 * np.exp(sd * rng.normal(size=count))
        found[network.label] = Measured(network.label, [Pass((1.0,), (float(ratio),)) for ratio in ratios])
    return found


def test_a_session_is_opened_at_the_scale_of_its_first_campaign(anchored):
    scale, error = anchored.open(passes_of(anchored, 1.1, 12, np.random.default_rng(0)), 1.0, StopRule())
    assert scale == pytest.approx(1.1, rel=0.01)
    assert 0.002 < error < 0.01


def test_campaigns_of_another_scale_are_told_from_those_of_the_same(anchored):
    rng = np.random.default_rng(1)
    anchored.open(passes_of(anchored, 1.1, 12, rng), 1.0, StopRule())
    still, error = anchored.scale(passes_of(anchored, 1.1, 3, rng))
    assert still == pytest.approx(1, abs=0.006)
    assert error < 0.004
    slowed, error = anchored.scale(passes_of(anchored, 1.1 * 0.96, 3, rng))
    assert slowed == pytest.approx(0.96, abs=0.01)
    # What one campaign has shown the next ones may do: they are drawn less towards none.
    assert error < 0.005


def test_the_error_of_a_scale_is_as_large_as_it_is_stated(anchored):
    rng, scores = np.random.default_rng(2), []
    for _ in range(300):
        anchored.open(passes_of(anchored, 1.0, 12, rng, 0.01), 1.0, StopRule())
        true = np.exp(0.004 * rng.normal())
        scale, error = anchored.scale(passes_of(anchored, true, 2, rng, 0.01))
        scores.append((np.log(scale) - np.log(true)) / error)
    assert 0.5 < np.std(scores) < 1.2


def test_a_campaign_without_passes_of_anchors_says_so_by_its_error(anchored):
    anchored.open(passes_of(anchored, 1.0, 6, np.random.default_rng(3)), 1.0, StopRule())
    assert anchored.scale({}) == (1.0, UNSEEN_SCALE_ERROR)
    assert anchored.scale(passes_of(anchored, 1.0, 0, np.random.default_rng(3))) == (1.0, UNSEEN_SCALE_ERROR)
