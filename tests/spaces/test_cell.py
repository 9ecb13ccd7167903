from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.spaces.cell import (
    GRIDS,
    NAMED,
    RATES,
    CellPlace,
    branches_of,
    canonical,
    cell_choices,
    cell_operators,
    count_cells,
    read_cell,
    scaled_rate,
    source_of,
    write_cell,
)
from latlas.spaces.graph import Node

PLACE = CellPlace(in_channels=12, filters=8, out_channels=6, height=16, width=24, output_stride=16)


def every_cell(branches, operators):
    return [branches_of(names) for names in product(*cell_choices(branches, operators))]


def permuted(cell, order):
    """The cell with branch `order[i]` at place i; None where a branch would come before what it reads."""
    place = {branch: index for index, branch in enumerate(order)}
    found = []
    for index, branch in enumerate(order):
        fed = source_of(cell[branch])
        if fed is not None and place[fed] >= index:
            return None
        found.append(("F" if fed is None else f"b{place[fed]}", cell[branch][1]))
    return tuple(found)


def isomorphic(cell):
    return {other for order in permutations(range(len(cell))) if (other := permuted(cell, order)) is not None}


def test_the_operators_are_the_papers_81():
    names = cell_operators()
    assert len(names) == len(set(names)) == 1 + len(RATES) ** 2 + len(GRIDS) ** 2 == 81
    assert {"conv_1x1", "atrous_1x1", "atrous_6x21", "atrous_21x6", "pyramid_1x1", "pyramid_8x2"} < set(names)


@pytest.mark.parametrize(("branches", "kinds"), [(1, 3), (2, 3), (3, 3), (4, 2), (5, 1)])
def test_the_canonical_form_is_one_of_each_class_and_one_for_each_class(branches, kinds):
    """By all orders of the branches that keep the cell: brute force."""
    cells = every_cell(branches, cell_operators()[:kinds])
    classes = {frozenset(isomorphic(cell)) for cell in cells}
    assert sum(map(len, classes)) == len(cells)
    assert len(classes) == count_cells(branches, kinds)
    for one in classes:
        (form,) = {canonical(cell) for cell in one}
        assert form in one


def test_there_are_as_many_trees_as_counted():
    """Of one operator a cell is a rooted tree: of 2 to 6 nodes there are 1, 2, 4, 9 and 20 (OEIS A000081)."""
    counts = [len({canonical(cell) for cell in every_cell(branches, ("conv_1x1",))}) for branches in range(1, 6)]
    assert counts == [1, 2, 4, 9, 20] == [count_cells(branches, 1) for branches in range(1, 6)]


def test_so_many_different_cells_are_in_the_papers_space():
    assert count_cells(5, 81) < 418_414_128_120 < 120 * count_cells(5, 81)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_of_the_branches_has_one_canonical_form(data):
    choices = cell_choices(5, cell_operators())
    cell = branches_of([data.draw(st.sampled_from(column)) for column in choices])
    assert canonical(canonical(cell)) == canonical(cell)
    other = permuted(cell, data.draw(st.permutations(range(5))))
    if other is not None:
        assert canonical(other) == canonical(cell)
    assert read_cell(write_cell(cell)) == cell


def test_the_named_cells_are_the_published_ones():
    assert write_cell(NAMED["dpc_cityscapes"]) == "F:a1x6-b0:a18x15-b1:a6x3-b0:a1x1-b0:a6x21"
    assert write_cell(NAMED["aspp"]) == "F:c1-F:a6x6-F:a12x12-F:a18x18-F:p1x1"
    assert all(name in cell_operators() for cell in NAMED.values() for _, name in cell)


@pytest.mark.parametrize(
    ("in_channels", "cell", "macs", "params"),
    # MobileNetV2's and Xception's features; multiply-adds and parameters as stated, in billions and millions.
    [
        (320, "dpc_cityscapes", 3.00e9, 0.36e6),
        (320, "aspp", 2.82e9, 0.25e6),
        (2048, "dpc_cityscapes", 6.84e9, 0.81e6),
        (2048, "aspp", 18.12e9, 1.59e6),
    ],
)
def test_the_papers_costs(in_channels, cell, macs, params):
    """At 256 filters on 65x129, Cityscapes' 1025x2049 at stride 16: of the branches, without pooling and the last 1x1.

    The paper does not say what it counts; that agrees within one per cent, and its parameters within four, of atrous branches.
    """
    place = CellPlace(in_channels, 256, 256, 65, 129, 16)
    specs = [place.operator(name, source == "F") for source, name in NAMED[cell] if not name.startswith("pyramid")]
    assert sum(spec.macs for spec in specs) == pytest.approx(macs, rel=0.01)
    assert sum(spec.params for spec in specs if spec.kind == "atrous") == pytest.approx(params, rel=0.04)


def test_rates_follow_the_output_stride():
    assert [scaled_rate(rate, 16) for rate in RATES] == list(RATES)
    assert [scaled_rate(rate, 32) for rate in RATES] == [1, 2, 3, 5, 6, 8, 9, 11]
    assert [scaled_rate(rate, 8) for rate in RATES] == [2 * rate for rate in RATES]
    assert scaled_rate(1, 64) == 1


def test_operators_have_their_specs():
    assert str(PLACE.operator("atrous_18x15", True)) == "atrous 18x15 12->8 at 16x24"
    assert str(PLACE.operator("conv_1x1", False)) == "conv_k1 8->8 at 16x24 (relu)"
    assert PLACE.operator("pyramid_2x4", False).label == "2x4"
    coarse = CellPlace(12, 8, 6, 4, 8, 32)
    assert coarse.operator("pyramid_8x8", False).label == "4x8"
    assert coarse.operator("atrous_21x1", False).label == "11x1"
    for wrong in ("atrous_1", "pyramid_0x1", "conv_3x3", "atrous_1x1x1"):
        with pytest.raises(UsageError, match="is no operator of a cell"):
            PLACE.operator(wrong, False)


@pytest.mark.parametrize("text", ["", "F", "F:a6", "G:c1", "F:c1--F:c1", "F:p1x", "F:c2", "-".join(["F:c1"] * 13)])
def test_texts_that_are_no_cell(text):
    with pytest.raises(UsageError, match=r"is no branch|one too many"):
        read_cell(text)


def test_nodes_are_a_branch_each_the_concatenation_and_the_output():
    nodes: list[Node] = []
    PLACE.append(nodes, NAMED["dpc_cityscapes"], feature=-1)
    assert [node.inputs for node in nodes] == [(-1,), (0,), (1,), (0,), (0,), (0, 1, 2, 3, 4), (5,)]
    assert [node.spec.in_channels for node in nodes] == [12, 8, 8, 8, 8, 8, 40]
    assert nodes[5].spec.output_shape == (40, 16, 24)
    assert nodes[6].spec.output_shape == (6, 16, 24)
    rng = np.random.default_rng(0)
    for cell in (every_cell(3, cell_operators()[:2])[i] for i in rng.integers(48, size=5)):
        assert branches_of([name for branch in cell for name in branch]) == cell
