import subprocess
import sys

import pytest

from latlas.errors import UsageError
from latlas.latency.formats.ofa import key_of
from latlas.latency.predictor.features import features, unit_cost
from latlas.spaces.graph import INPUT, Node, check_graph
from latlas.spaces.operators.cell import label_pair, pair_label
from latlas.spaces.operators.spec import OpSpec

ATROUS = OpSpec("atrous", 8, 16, 12, 10, kernel_size=3, label="6x21")


def test_rates_are_along_height_and_width():
    assert label_pair(ATROUS) == (6, 21)
    assert pair_label(6, 21) == "6x21"
    assert ATROUS.name == "atrous_k3"
    assert str(ATROUS) == "atrous 6x21 8->16 at 12x10"
    assert ATROUS.output_shape == (16, 12, 10)
    with pytest.raises(UsageError, match="two whole numbers such as 6x21"):
        label_pair(OpSpec("conv", 8, 8, 4, 4))


def test_a_concatenation_has_as_many_inputs_as_its_output_holds():
    spec = OpSpec("concat", 4, 20, 6, 5)
    assert spec.input_shapes == ((4, 6, 5),) * 5
    assert spec.output_shape == (20, 6, 5)
    one = Node(OpSpec("conv", 3, 4, 6, 5, kernel_size=3), (INPUT,))
    check_graph((one, Node(spec, (0, 0, 0, 0, 0))))
    with pytest.raises(UsageError, match="has 4 inputs; it takes 5"):
        check_graph((one, Node(spec, (0, 0, 0, 0))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("atrous", 8, 8, 4, 4), "the rates along height and width are needed"),
        (("atrous", 8, 8, 4, 4, 1, 3, 0, 0, 1, 1, "none", "6"), "the rates along height and width"),
        (("atrous", 8, 8, 4, 4, 1, 3, 0, 0, 1, 1, "none", "0x6"), "the rates along height and width"),
        (("atrous", 8, 8, 4, 4, 1, 3, 0, 0, 1, 1, "none", "6x1000"), "the rates along height and width"),
        (("atrous", 8, 8, 4, 4, 2, 3, 0, 0, 1, 1, "none", "6x6"), "needs stride 1"),
        (("atrous", 8, 8, 4, 4, 1, 3, 0, 0, 2, 1, "none", "6x6"), "and its rates in the label"),
        (("pyramid", 8, 8, 4, 4), "the grid along height and width is needed"),
        (("pyramid", 8, 8, 4, 4, 1, 1, 0, 0, 1, 1, "none", "4x8"), "a grid of 4x8 is finer than 4x4"),
        (("pyramid", 8, 8, 4, 4, 2, 1, 0, 0, 1, 1, "none", "2x2"), "needs stride 1"),
        (("concat", 8, 12, 4, 4), "1 to 64 times in_channels"),
        (("concat", 8, 4, 4, 4), "1 to 64 times in_channels"),
        (("concat", 1, 65, 4, 4), "1 to 64 times in_channels"),
        (("conv", 8, 8, 4, 4, 1, 1, 0, 0, 1, 1, "none", "6x6"), "only atrous, foreign, pyramid have one"),
    ],
)
def test_impossible_operators_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        OpSpec(*fields)


def test_rates_are_in_keys_and_features():
    other = OpSpec("atrous", 8, 16, 12, 10, kernel_size=3, label="21x6")
    assert key_of(ATROUS) != key_of(other)
    graph = tuple(Node(spec, (INPUT,)) for spec in (ATROUS,))
    found = features(graph, unit_cost)
    assert {"kind atrous_k3", "place atrous_k3 12x10", "spec atrous 6x21 8->16 at 12x10"} <= set(found)


@pytest.mark.parametrize(
    "first", ["spaces.operators.cell", "spaces.operators.spec", "spaces.cell", "supernet.operators.cell"]
)
def test_any_module_may_be_imported_first(first):
    """They import one another, so that each must do as the first."""
    known = "from latlas.spaces.operators.spec import kinds; assert {'atrous', 'pyramid', 'concat'} <= set(kinds())"
    if first == "supernet.operators.cell":
        known += "; from latlas.supernet.operators.build import built_kinds; assert 'atrous' in built_kinds()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import latlas.{first}; {known}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
