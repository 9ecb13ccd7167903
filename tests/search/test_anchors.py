"""How fast a session is, by subnets that the predictor knows."""

from types import SimpleNamespace

import numpy as np
import pytest

from latlas.latency.errors import UsageError
from latlas.latency.predictor_file import LearntFrom
from latlas.search.anchors import ANCHORS, anchors_of, session_scale


@pytest.fixture(scope="module")
def saved(tiny_space):
    """As much of a saved predictor as anchors need, which predicts multiply-adds."""
    subnets = tiny_space.sample(40, np.random.default_rng(0))
    samples = tuple(
        LearntFrom(str(one), one.macs / 1e6, one.macs / 1.1e6, one.macs / 0.9e6, 1.0, "test" if k % 4 == 0 else "train")
        for k, one in enumerate(subnets)
    )
    predictor = SimpleNamespace(predict=lambda graphs: np.array([sum(n.spec.macs for n in g) / 1e6 for g in graphs]))
    return SimpleNamespace(space=tiny_space.text, samples=samples, predictor=predictor)


def test_they_are_spread_over_the_latencies_that_were_learnt_from(saved):
    anchors = anchors_of(saved)
    learnt = sorted(one.latency_ms for one in saved.samples if one.role == "train")
    places = [learnt.index(one.macs / 1e6) for one in anchors]
    assert len(set(anchors)) == ANCHORS
    assert places == sorted(places)
    assert places[0] <= 2 and places[-1] >= 27


def test_a_slower_session_is_told_by_its_factor_and_one_burst_does_not_move_it(saved):
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
