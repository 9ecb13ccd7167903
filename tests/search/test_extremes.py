"""The fastest and slowest networks, against all of them; an impossible budget is refused unmeasured."""

import numpy as np
import pytest

from latlas.latency.errors import InfeasibleBudgetError, UsageError
from latlas.latency.features import unit_cost
from latlas.latency.predictor import LatencyPredictor
from latlas.search import extremes as module
from latlas.search.extremes import extremes, require_possible
from latlas.supernet.portrait import PortraitSpace
from latlas.supernet.space import enumerate_space

SPACE = PortraitSpace(height=32, width=32, widths=(8, 8, 12, 16), depths=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def predictor():
    rng = np.random.default_rng(0)
    graphs = [one.graph() for one in SPACE.sample(50, rng)]
    return LatencyPredictor().fit(graphs, [sum(unit_cost(n.spec) for n in g) * rng.uniform(0.9, 1.1) for g in graphs])


def test_they_are_those_of_the_whole_space(predictor):
    everything = predictor.predict([one.graph() for one in enumerate_space(SPACE)])
    fastest, slowest = extremes(predictor, SPACE)
    assert fastest.how == slowest.how == "exact"
    assert fastest.latency_ms == pytest.approx(everything.min(), rel=1e-9)
    assert slowest.latency_ms == pytest.approx(everything.max(), rel=1e-9)


def test_where_the_predictor_cannot_be_compiled_they_are_looked_for(predictor, monkeypatch):
    exact = extremes(predictor, SPACE)

    def refuse(*_):
        raise UsageError("too large")

    monkeypatch.setattr(module, "CompiledPredictor", refuse)
    found = extremes(predictor, SPACE)
    assert [one.how for one in found] == ["enumerated"] * 2
    assert [one.codes for one in found] == [one.codes for one in exact]


def test_an_impossible_budget_is_refused_with_both_numbers(predictor):
    fastest, slowest = extremes(predictor, SPACE)
    with pytest.raises(
        InfeasibleBudgetError, match=rf"{fastest.latency_ms:.3f} ms.*slowest {slowest.latency_ms:.3f} ms"
    ):
        require_possible(predictor, SPACE, 0.3 * fastest.latency_ms)
    require_possible(predictor, SPACE, 0.95 * fastest.latency_ms)
