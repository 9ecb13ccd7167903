"""Search over cells: one candidate a network whatever its branches' order, and predictors of cells on a simulated machine."""

from itertools import product

import numpy as np
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.latency.fitting import choose as choice
from latlas.latency.fitting.choose import chosen
from latlas.latency.fitting.explain import explain
from latlas.latency.fitting.fit import subnets_to_measure
from latlas.latency.limits.limits import limits_of
from latlas.latency.predictor.features import features, unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor, Prediction
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.strategies.loop import run_search
from latlas.search.strategies.names import STRATEGIES, TRAINED_STRATEGIES
from latlas.search.strategies.variation import unknown
from latlas.spaces.dpc import DpcSpace
from latlas.spaces.graph import graph_macs
from latlas.spaces.space import enumerate_space

SETTING = {"height": 64, "width": 64, "backbone": "mobilenetv3_small_x0.5", "filters": 16}
SMALL = DpcSpace(**SETTING, branches=2, rates=(1,), grids=(1,))
FREE = sorted({*STRATEGIES} - {*TRAINED_STRATEGIES, "optuna-gp", "optuna-cmaes"})


class Macs:
    """A predictor that knows multiply-adds."""

    def predict_interval(self, X, confidence=0.95):
        return [Prediction(ms, ms, ms) for ms in (graph_macs(graph) / 1e4 for graph in X)]


def quality(architecture):
    return architecture.macs % 97 / 97


def classes(space):
    return {one.canonical() for one in enumerate_space(space)}


@pytest.mark.parametrize("name", FREE)
def test_each_network_is_evaluated_once(name):
    """Of 18 encodings 15 are different networks; nothing is evaluated under another name."""
    assert (SMALL.size, len(classes(SMALL))) == (18, 15)
    constraint = LatencyConstraint(Macs(), 1e9, scale_error=0.0)
    strategy = make_strategy(name, SMALL, np.random.default_rng(0), 18)
    history = run_search(strategy, constraint, quality, 18, max_draws=400)
    found = [one.architecture.canonical() for one in history.candidates]
    assert len(set(found)) == len(found) <= 15
    if name in ("random", "near_best", "evolution"):
        assert set(found) == classes(SMALL)


def test_what_was_passed_over_under_another_name_is_not_new():
    one, other = (
        SMALL.of_branches(cell)
        for cell in ((("F", "conv_1x1"), ("F", "atrous_1x1")), (("F", "atrous_1x1"), ("F", "conv_1x1")))
    )
    third = SMALL.of_branches((("F", "conv_1x1"), ("b0", "conv_1x1")))
    made = iter([one, other, third])
    found = unknown(lambda: next(made), lambda: third, 2, set())
    assert found == [one.canonical(), third]


@pytest.fixture(scope="module")
def designed():
    """A simulated machine, cells chosen to learn from, and a predictor of them."""
    before = choice.POOL, choice.INTEREST
    choice.POOL, choice.INTEREST = 300, 100
    try:
        space = DpcSpace(**SETTING)
        train, test = subnets_to_measure(space, 60, 30, 0)
        machine = SimulatedMachine(3)
        readings = [one.latency_ms for one in machine.session(1).measure(train)]
    finally:
        choice.POOL, choice.INTEREST = before
    return space, machine, train, test, LatencyPredictor().fit([one.graph() for one in train], readings)


def test_a_predictor_of_cells_ranks_them_and_its_intervals_hold(designed):
    space, machine, train, test, predictor = designed
    assert len(set(train)) == 60 and not set(train) & set(test)
    # A design sees all kinds of operators on the feature and on branches, which one sort alone would leave unknown.
    first = len(space.backbone_nodes)
    cells = [(one.graph(), node) for one in train for node in one.graph()[first : first + space.branches]]
    places = {(node.spec.kind, graph[node.inputs[0]].spec.kind) for graph, node in cells}
    assert places == set(product(("conv", "atrous", "pyramid"), ("mbconv", "conv", "atrous", "pyramid")))
    true = np.array([machine.latency_ms(one.graph()) for one in test])
    found = predictor.predict_interval([one.graph() for one in test])
    predicted = np.array([one.latency_ms for one in found])
    assert np.mean(np.abs(predicted / true - 1)) < 0.01
    assert np.corrcoef(predicted.argsort().argsort(), true.argsort().argsort())[0, 1] > 0.9
    assert np.mean([one.lower_ms <= ms <= one.upper_ms for one, ms in zip(found, true, strict=True)]) > 0.8


def test_features_see_which_operator_reads_which():
    space = DpcSpace(**SETTING)
    cells = [
        (("F", "atrous_1x1"), ("b0", "pyramid_1x1"), ("b0", "conv_1x1"), ("F", "conv_1x1"), ("F", "conv_1x1")),
        (("F", "atrous_1x1"), ("b0", "conv_1x1"), ("b1", "pyramid_1x1"), ("F", "conv_1x1"), ("F", "conv_1x1")),
    ]
    one, other = (features(space.of_branches(cell).graph(), unit_cost) for cell in cells)
    changed = {name for name in {*one, *other} if one.get(name, 0.0) != pytest.approx(other.get(name, 0.0))}
    # The same operators at the same widths: what differs is who feeds whom.
    assert changed == {
        *("pair atrous_k3 pyramid", "pair conv_k1 pyramid"),
        *("meeting atrous_k3 pyramid 4x4", "meeting conv_k1 pyramid 4x4"),
    }


def test_a_search_over_cells_keeps_its_budget(designed):
    space, machine, _, _, predictor = designed
    limits = limits_of(predictor, space)
    budget_ms = 0.7 * limits.fastest_ms.latency_ms + 0.3 * limits.slowest_ms.latency_ms
    session = machine.session(9)
    constraint = LatencyConstraint(predictor, budget_ms, measure_all=session.measure, scale_error=0.01)
    strategy = make_strategy("evolution", space, np.random.default_rng(0), 20)
    history = run_search(strategy, constraint, quality, 20, start=(limits.fastest,))
    assert len(history.candidates) == 20 and history.filtered > 0
    true = np.array([machine.latency_ms(one.architecture.graph()) for one in history.candidates])
    assert np.mean(true <= 1.005 * budget_ms) == 1.0


def test_a_cell_is_explained_by_its_branches(designed):
    space, _, _, _, predictor = designed
    architecture = space.named("dpc_cityscapes")
    found = explain(predictor, architecture)
    assert found.method == "linear"
    assert sum(part.latency_ms for part in found.parts) == pytest.approx(
        predictor.latency_ms([architecture.graph()])[0]
    )
    names = [part.part for part in found.parts]
    assert [name for name in names if name.startswith("layer")] == [
        "layer 2",
        "layer 4",
        "layer 6",
        "layer 8",
        "layer 10",
    ]
    assert {"stem", "backbone", "cell output", "head"} <= set(names)


def test_designs_complete_what_is_given():
    space = DpcSpace(**SETTING, branches=2, rates=(1, 6), grids=(1,))
    given = space.sample(5, np.random.default_rng(0))
    more = chosen(space, 10, 0, given=given)
    assert len({*more, *given}) == 15


def test_a_report_draws_the_cell_that_there_is():
    from latlas.search.report import page as report

    for text in ("dpc/dpc_cityscapes", "portrait:cell=1/" + "-".join(["m3"] * 14) + "/F:a1x6"):
        drawn = report._cell(text)
        assert drawn.startswith("<h2>Cell</h2><svg ")
        assert ("rates 18x15" in drawn) is text.startswith("dpc")
    assert report._cell("portrait/mobilenetv3_small") == ""
