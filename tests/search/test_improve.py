"""What a search measured goes into the predictor that it began with."""

from types import SimpleNamespace

import numpy as np
import pytest

from latlas.latency.features import unit_cost
from latlas.latency.predictor import LatencyPredictor
from latlas.latency.predictor_file import LearntFrom, SavedPredictor
from latlas.search.constraint import Learnt
from latlas.search.improve import improved


@pytest.fixture
def saved(tiny_space):
    subnets = tiny_space.sample(30, np.random.default_rng(0))
    latencies = [sum(unit_cost(n.spec) for n in one.graph()) for one in subnets]
    predictor = LatencyPredictor().fit([one.graph() for one in subnets], latencies, [0.01] * 30)
    samples = tuple(LearntFrom(str(one), ms, ms, ms, ms, "train") for one, ms in zip(subnets, latencies, strict=True))
    return SavedPredictor(predictor, SimpleNamespace(), tiny_space.text, {"mape": 0.01}, samples)


def learnt(tiny_space, factor=1.0):
    found = []
    for one in tiny_space.sample(40, np.random.default_rng(1))[-5:]:
        ms = factor * sum(unit_cost(n.spec) for n in one.graph())
        found.append(Learnt(one, ms, 0.98 * ms, 1.02 * ms, 0.99 * ms))
    return found


def test_it_predicts_what_was_measured_better(saved, tiny_space):
    new = learnt(tiny_space, 1.2)
    graphs = [one.architecture.graph() for one in new]
    truth = np.array([one.latency_ms for one in new])
    before, after = (one.predictor.predict(graphs) for one in (saved, improved(saved, new)))
    assert np.abs(after / truth - 1).mean() < 0.75 * np.abs(before / truth - 1).mean()


def test_samples_and_figures_say_so(saved, tiny_space):
    after = improved(improved(saved, learnt(tiny_space)), learnt(tiny_space))
    assert [one.role for one in after.samples[30:]] == ["search"] * 5
    assert after.figures == {"mape": 0.01, "learnt_in_searches": 5}


def test_nothing_new_leaves_it_as_it_was(saved):
    assert improved(saved, []) is saved
