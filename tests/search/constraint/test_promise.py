"""The promise, on a simulated machine: what a search returns holds its budget in another process, and uses it.

Beside it a bare `prediction < budget` filter in the same searches on the same machine, which breaks it: so the test can fail.
"""

import math
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks.simulated import SimulatedMachine
from latlas.search.constraint.constraint import LatencyConstraint, Verdict
from latlas.search.constraint.verify import select
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import run_search
from latlas.spaces.graph import Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.space import SearchSpace

PLACES = ((8, 16, 2), (16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 24, 1), (24, 40, 2), (40, 40, 1), (40, 40, 1))
KINDS = ("mbconv_k3", "mbconv_k5", "sepconv_k3", "sepconv_k5", "dilconv_k3", "shuffle")


@dataclass(frozen=True)
class Chain(SearchSpace):
    """Eight layers in a row: a graph of it is made quickly."""

    name: ClassVar[str] = "chain"
    short_names: ClassVar[dict[str, str]] = {kind: kind for kind in KINDS}
    choices = (KINDS,) * len(PLACES)
    stages = (2, 3, 3)
    baselines = ()

    def is_baseline(self, name):
        return False

    def graph(self, operators):
        return tuple(node(index, name) for index, name in enumerate(operators))


@cache
def node(index, name):
    channels, out_channels, stride = PLACES[index]
    size = 64 // math.prod(place[2] for place in PLACES[:index])
    kind, _, kernel = name.partition("_k")
    more = {"hidden_channels": 4 * channels} if kind == "mbconv" else {"dilation": 2 if kind == "dilconv" else 1}
    return Node(OpSpec(kind, channels, out_channels, size, size, stride, int(kernel or 1), **more), (index - 1,))


SPACE = Chain()
BUDGETS, SEEDS, TRAIN = 8, 2, 120
EVALUATIONS, DRAWS, RETURNED = 60, 1000, 3


class BareFilter(LatencyConstraint):
    """What is usual: the prediction is compared with the budget."""

    def check_all(self, architectures):
        return [
            Verdict(one.latency_ms <= self.budget_ms, one.latency_ms, one.lower_ms, one.upper_ms, False)
            for one in self.predict(architectures)
        ]


@pytest.fixture(scope="module")
def searches(learner):
    with threadpool_limits(1):  # small matrices: threads wait for each other
        return run_searches(learner)


def run_searches(learner, machine_seed=3):
    """For each budget and seed: what the constraint returned, what the filter did, measured again, over the budget."""
    machine, rng = SimulatedMachine(machine_seed, pair=0.05), np.random.default_rng(machine_seed)
    train = SPACE.sample(TRAIN, rng)
    readings = machine.session(1).measure(train, 6)
    predictor = learner().fit([one.graph() for one in train], [one.latency_ms for one in readings])
    true_ms = [machine.latency_ms(one.graph()) for one in SPACE.sample(400, rng)]
    mean_macs = np.mean([one.macs for one in train])
    fastest = min(SPACE.cover(), key=lambda one: predictor.predict([one.graph()])[0])
    found = []
    for index, budget_ms in enumerate(np.quantile(true_ms, np.linspace(0.1, 0.9, BUDGETS))):
        for seed in range(SEEDS):
            session, again = (machine.session([index, seed, k], session_sd=0.0) for k in (1, 2))
            taste = np.random.default_rng([index, seed]).random((len(PLACES), len(KINDS)))

            def quality(one, taste=taste):
                chosen = [KINDS.index(name) for name in one.operators]
                return taste[range(len(chosen)), chosen].mean() + one.macs / mean_macs

            def searched(constraint, quality=quality, seed=seed):
                strategy = make_strategy("evolution", SPACE, np.random.default_rng(seed), EVALUATIONS)
                floor_ms = 0.97 * constraint.budget_ms
                history = run_search(
                    strategy,
                    constraint,
                    quality,
                    EVALUATIONS,
                    start=(fastest,),
                    floor_ms=floor_ms,
                    max_draws=DRAWS,
                    batch=16,
                )
                return [one.architecture for one in history.ranked()]

            constraint = LatencyConstraint(
                predictor,
                float(budget_ms),
                measure_all=session.measure,
                max_measurements=30,
                least_chance=0.2,
                scale_error=0.005,
            )
            finalists = select(constraint, searched(constraint), 6, partial(session.measure, passes=12))
            returned = [one.architecture for one in finalists[:RETURNED]]
            bare = searched(BareFilter(predictor, float(budget_ms)))[:RETURNED]
            found.append(
                (
                    constraint.report(),
                    [one.interval.latency_ms / budget_ms for one in finalists[:RETURNED]],
                    *([one.latency_ms / budget_ms for one in again.measure(some, 12)] for some in (returned, bare)),
                )
            )
    return found


def test_every_search_returns_something(searches):
    assert len(searches) == BUDGETS * SEEDS
    assert all(returned for _, returned, _, _ in searches)


def test_all_that_is_returned_is_within_its_budget_when_measured_again(searches):
    assert max(max(again) for _, _, again, _ in searches) <= 1.0


def test_the_best_uses_the_budget(searches):
    assert min(returned[0] for _, returned, _, _ in searches) >= 0.97


def test_a_bare_filter_breaks_the_budget_in_the_same_searches(searches):
    broken = [max(bare) > 1.0 for *_, bare in searches]
    assert np.mean(broken) > 0.3


def test_intervals_cover_what_was_measured_near_the_budget(searches):
    """Of selected networks: near the budget, and such as a search prefers."""
    tested = [(one["prediction"]["coverage"], one["prediction"]["predictions_tested"]) for one, *_ in searches]
    covered = np.average([share for share, _ in tested], weights=[count for _, count in tested])
    assert sum(count for _, count in tested) > 300
    assert 0.92 <= covered <= 0.99
