"""The whole front in one search: against the true front of a space that can be enumerated."""

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.predictor.predictor import Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.strategies.front import FrontEvolution, covered, front, front_of, hypervolume, ordered
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import FRONT_STRATEGIES
from latlas.search.strategies.strategy import Evaluation
from latlas.spaces.graph import graph_macs
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_space

SPACE = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=1.1.1.1")
DEEP = parse_space("portrait:height=32,width=32,widths=8.8.16.16,depths=2.2.2.2")
WORTH = {"mbconv_k5": 1.0, "mbconv_k3": 0.8, "sepconv_k5": 0.6, "sepconv_k3": 0.5, "shuffle": 0.3, "dilconv_k5": 0.2}
EVALUATIONS = 500


def quality(architecture):
    """A sum over the layers: more for the operators that take longer, by the layer."""
    return sum((1 + i % 3) * WORTH.get(name, 0.1) for i, name in enumerate(architecture.operators)) / 16


def latency(architecture):
    return graph_macs(architecture.graph()) / 1e4


class Macs:
    """A predictor of `latency`, that knows it to a tenth of a per cent."""

    def predict_interval(self, graphs, confidence=0.95):
        return [Prediction(ms, 0.999 * ms, 1.001 * ms) for ms in (graph_macs(graph) / 1e4 for graph in graphs)]


@pytest.fixture(scope="module")
def truth():
    """The whole front of `DEEP`, `(latency, quality)`, and a budget that nine in ten hold.

    Both are sums over the layers, so that a front of more layers is made of a front of fewer: what is dominated stays so.
    """
    base = [options[0] for options in DEEP.choices]
    constant = np.array([latency(DEEP.architecture(base)), quality(DEEP.architecture(base))])
    points = constant[None]
    for i, options in enumerate(DEEP.choices):
        others = [DEEP.architecture([*base[:i], name, *base[i + 1 :]]) for name in options]
        added = np.array([[latency(one), quality(one)] for one in others]) - constant
        points = (points[:, None] + added[None]).reshape(-1, 2)
        points = points[front(points)]
    drawn = [latency(one) for one in DEEP.sample(500, np.random.default_rng(0))]
    return points, float(np.quantile(drawn, 0.9))


def searched(name, budget_ms, seed):
    strategy = make_strategy(name, DEEP, np.random.default_rng(seed), EVALUATIONS)
    constraint = LatencyConstraint(Macs(), budget_ms, scale_error=0.0)
    fastest = min(DEEP.cover(), key=latency)
    return run_search(strategy, constraint, quality, EVALUATIONS, start=(fastest,))


@pytest.fixture(scope="module")
def of_random(truth):
    return [covered(searched("random", truth[1], seed), truth[1]) for seed in range(2)]


@pytest.mark.parametrize("name", FRONT_STRATEGIES)
def test_one_run_covers_most_of_the_true_front(name, truth, of_random):
    points, budget_ms = truth
    best = hypervolume(points, budget_ms)
    for seed in range(2):
        history = searched(name, budget_ms, seed)
        assert len(history.candidates) == EVALUATIONS
        assert max(latency(one.architecture) for one in history.candidates) <= budget_ms
        assert of_random[seed] < covered(history, budget_ms) <= best * (1 + 1e-9)
        assert covered(history, budget_ms) > (0.9 if name == "front-evolution" else 0.85) * best


def test_a_front_answers_every_budget(truth):
    _, budget_ms = truth
    history = searched("front-evolution", budget_ms, 0)
    found = front_of(history)
    latencies, qualities = ([f(one.architecture) for one in found] for f in (latency, quality))
    assert latencies == sorted(latencies)
    assert qualities == sorted(qualities)
    assert len(found) > 10
    for share in (0.5, 0.75, 1.0):
        within = [one.quality for one in history.candidates if latency(one.architecture) <= share * budget_ms]
        on_front = [one.quality for one in found if latency(one.architecture) <= share * budget_ms]
        assert on_front[-1] == max(within)


def test_survivors_are_the_non_dominated_and_of_these_the_spread():
    strategy = FrontEvolution(SPACE, np.random.default_rng(0), population=5)
    networks = list(enumerate_space(SPACE))[:40]
    rng = np.random.default_rng(3)
    points = {one: (float(rng.uniform(1, 2)), float(rng.uniform())) for one in networks}
    strategy.update([Evaluation(one, points[one][1], points[one][0]) for one in networks])
    assert len(strategy._survivors) == 5
    best = {one for one, on in zip(networks, front(list(points.values())), strict=True) if on}
    kept = set(strategy._survivors)
    assert kept <= best or best <= kept
    fastest = min(best, key=lambda one: points[one][0])
    assert fastest in kept
    assert max(networks, key=lambda one: points[one][1]) in kept


def test_order_is_by_rank_and_crowding():
    one, two, three = SPACE.cover()[:3]
    found = ordered({one: (1.0, 0.5), two: (2.0, 0.4), three: (0.5, 0.1)})
    assert [found[x][0] for x in (one, two, three)] == [0, 1, 0]
    assert ordered({}) == {}


def test_a_front_needs_latencies():
    strategy = FrontEvolution(SPACE, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"has no latency; front-evolution needs it"):
        strategy.update([Evaluation(SPACE.cover()[0], 0.5)])


@pytest.mark.parametrize("settings", [{"population": 1}, {"mutation_rate": 0.0}, {"stage_share": 2.0}], ids=str)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UsageError, match="population is"):
        FrontEvolution(SPACE, np.random.default_rng(0), **settings)
