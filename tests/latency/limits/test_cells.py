"""What is said of all cells, against predicting every one of a small space."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.latency.limits.additive import Additive
from latlas.latency.limits.cells import cell_terms, joint_counted, joint_terms
from latlas.latency.limits.limits import budgets_of, feasible_share, limits_of, share_record
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.cell import names_of
from latlas.spaces.dpc import DpcSpace
from latlas.spaces.portrait_cell import PortraitCellSpace
from latlas.spaces.space import enumerate_space

SETTING = {"height": 64, "width": 64, "backbone": "mobilenetv3_small_x0.5", "filters": 16}
SMALL = DpcSpace(**SETTING, branches=3, rates=(1, 6), grids=(1, 2))


def learnt(space, seed=1):
    machine = SimulatedMachine(seed, pair=1.0)
    train = space.sample(60, np.random.default_rng(seed))
    return LatencyPredictor().fit([one.graph() for one in train], [machine.latency_ms(one.graph()) for one in train])


@pytest.fixture(scope="module", params=[1, 2])
def known(request):
    """A predictor, every cell of the small space, and what it predicts of each."""
    predictor = learnt(SMALL, request.param)
    everything = list(enumerate_space(SMALL))
    assert len(everything) == 6 * 9**3
    return predictor, everything, predictor.latency_ms([one.graph() for one in everything])


def test_the_sum_over_branches_is_the_prediction(known):
    predictor, everything, values = known
    terms = cell_terms(predictor, SMALL, SMALL.cell_part)
    sums = [terms.value(SMALL.branches_of(one.operators)) for one in everything]
    assert sums == pytest.approx(values, rel=1e-9)


def test_the_limits_are_those_of_all_cells(known):
    predictor, everything, values = known
    limits = limits_of(predictor, SMALL)
    assert limits.how == "exact"
    assert limits.fastest_ms.latency_ms == pytest.approx(values.min(), rel=1e-9)
    assert limits.slowest_ms.latency_ms == pytest.approx(values.max(), rel=1e-9)
    assert {limits.fastest.canonical(), limits.slowest.canonical()} <= {one.canonical() for one in everything}
    # What is read has a say: else the test would not see the tree.
    assert np.ptp(cell_terms(predictor, SMALL, SMALL.cell_part).inner, axis=0).max() > 0


def test_the_share_of_cells_within_a_budget(known):
    predictor, _, values = known
    for quantile in (0.01, 0.3, 0.5, 0.95):
        budget_ms = float(np.quantile(values, quantile))
        share = feasible_share(predictor, SMALL, budget_ms)
        assert share is not None
        assert share.lower - 1e-9 <= np.mean(values <= budget_ms) <= share.upper + 1e-9
        assert share.upper - share.lower < 0.01
    assert feasible_share(predictor, SMALL, values.max() + 1).lower == 1.0
    assert feasible_share(predictor, SMALL, values.min() - 1).upper == 0.0
    for part, latency_ms in budgets_of(predictor, SMALL).within:
        assert np.mean(values <= latency_ms) == pytest.approx(part, abs=0.01)


def test_the_published_space_is_counted_too():
    space = DpcSpace(**SETTING)
    predictor = learnt(space)
    limits, budgets = limits_of(predictor, space), budgets_of(predictor, space)
    drawn = predictor.latency_ms([one.graph() for one in space.sample(300, np.random.default_rng(3))])
    assert limits.fastest_ms.latency_ms < drawn.min() < drawn.max() < limits.slowest_ms.latency_ms
    assert (budgets.fastest_ms, budgets.slowest_ms) == pytest.approx(
        (limits.fastest_ms.latency_ms, limits.slowest_ms.latency_ms)
    )
    half = dict(budgets.within)[0.5]
    assert np.mean(drawn <= half) == pytest.approx(0.5, abs=0.1)
    record = share_record(predictor, space, half)
    assert record is not None and record["networks"] == 418_414_128_120
    # No cell is faster that changes one branch of the fastest.
    own = limits.fastest.operators
    for column, options in enumerate(space.choices):
        others = [space.architecture([*own[:column], name, *own[column + 1 :]]) for name in options]
        assert predictor.latency_ms([one.graph() for one in others]).min() >= limits.fastest_ms.latency_ms - 1e-9


JOINT = PortraitCellSpace(
    height=64, width=64, stem_channels=8, widths=(8, 8, 12, 12), depths=(1, 1, 1, 1), aspp_channels=8, cell=2
)


def test_the_limits_of_chain_and_cell_together():
    """By changing all that touches: no pair of columns that is changed makes either limit better."""
    predictor = learnt(JOINT)
    limits = limits_of(predictor, JOINT)
    assert limits.how == "exact"
    drawn = predictor.latency_ms([one.graph() for one in JOINT.sample(200, np.random.default_rng(0))])
    assert limits.fastest_ms.latency_ms < drawn.min() < drawn.max() < limits.slowest_ms.latency_ms
    for limit, value, sign in (
        (limits.fastest, limits.fastest_ms.latency_ms, 1),
        (limits.slowest, limits.slowest_ms.latency_ms, -1),
    ):
        # The chain's last layer feeds the cell: with each of its operators, all chains of one layer less and all cells.
        own = limit.operators
        for last, first, second in product(JOINT.choices[3], JOINT.choices[5][::7], JOINT.choices[7][::7]):
            for fed in ("F", "b0"):
                other = JOINT.architecture([*own[:3], last, "F", first, fed, second])
                assert sign * (predictor.latency_ms([other.graph()])[0] - value) > -1e-9
    # The share of all is that of many draws, which are predicted one by one.
    many = predictor.latency_ms([JOINT.random(rng).graph() for rng in [np.random.default_rng(1)] for _ in range(1500)])
    for quantile in (0.1, 0.5, 0.9):
        share = feasible_share(predictor, JOINT, float(np.quantile(many, quantile)))
        assert share is not None
        assert share.lower - 0.03 < quantile < share.upper + 0.03
        assert share.upper - share.lower < 0.01
    assert feasible_share(predictor, JOINT, limits.slowest_ms.latency_ms).lower == 1.0


def test_chain_and_cell_are_counted_as_by_predicting_all():
    """With few operators in the cell, by a space that is a copy of the joint one in all but that."""
    predictor = learnt(JOINT)
    terms, cells = joint_terms(predictor, JOINT, JOINT.cell_part)
    few = [0, 20, 70]
    small = [
        replace(cell, names=tuple(cell.names[i] for i in few), root=cell.root[few], inner=cell.inner[np.ix_(few, few)])
        for cell in cells
    ]
    every = [
        JOINT.architecture((*chain, *names_of((("F", first), (fed, second)))))
        for chain in product(
            *(options[::3] if layer < 3 else options for layer, options in enumerate(JOINT.choices[:4]))
        )
        for first, fed, second in product(small[0].names, ("F", "b0"), small[0].names)
    ]
    picked = [column[::3] if layer < 3 else column for layer, column in enumerate(terms.unary)]
    tables = {(i, j): table[:: 3 if i < 3 else 1, :: 3 if j < 3 else 1] for (i, j), table in terms.pairwise.items()}
    values = predictor.latency_ms([one.graph() for one in every])
    counted = joint_counted(Additive(terms.constant, picked, tables), small, (values.min(), values.max()))
    for quantile in (0.02, 0.3, 0.5, 0.97):
        budget_ms = float(np.quantile(values, quantile))
        share = counted.share(budget_ms)
        assert share.lower - 1e-9 <= np.mean(values <= budget_ms) <= share.upper + 1e-9
        assert share.upper - share.lower < 0.02
