import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UsageError
from latlas.spaces.codes import Slot, Template, probe_template
from latlas.spaces.graph import DEAD_BRANCHES, INPUT, Node, executed_inputs, live_nodes
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.text import parse_space

PLACE = (8, 8, 4, 4)
CONV, ZEROS, SKIP, ADD = (
    OpSpec("relu_conv", *PLACE, kernel_size=3),
    OpSpec("zeroize", *PLACE),
    OpSpec("skip", *PLACE),
    OpSpec("add", *PLACE),
)


def diamond(left, right):
    """conv -> (left, right) -> add -> conv."""
    return (
        Node(CONV, (INPUT,)),
        Node(left, (0,)),
        Node(right, (0,)),
        Node(ADD, (1, 2)),
        Node(CONV, (3,)),
    )


def test_what_a_runtime_that_drops_dead_branches_executes():
    assert executed_inputs(diamond(CONV, SKIP)) == {0: (-1,), 1: (0,), 2: (0,), 3: (1, 2), 4: (3,)}
    # The zeros go, and so does the addition: the last convolution reads the first branch itself.
    assert executed_inputs(diamond(CONV, ZEROS)) == {0: (-1,), 1: (0,), 4: (1,)}
    assert executed_inputs(diamond(ZEROS, ZEROS)) == {}
    assert live_nodes(diamond(ZEROS, ZEROS), "executed") == [0, 1, 2, 3, 4]


def test_what_a_runtime_that_drops_only_what_is_not_read_executes():
    assert executed_inputs(diamond(CONV, SKIP), "unread_dropped") == executed_inputs(diamond(CONV, SKIP))
    # The zeros are made and added, and what they would have read is read by the other branch.
    expected = {0: (-1,), 1: (0,), 2: (), 3: (1, 2), 4: (3,)}
    assert executed_inputs(diamond(CONV, ZEROS), "unread_dropped") == expected
    assert executed_inputs(diamond(ZEROS, ZEROS), "unread_dropped") == {1: (), 2: (), 3: (1, 2), 4: (3,)}
    assert executed_inputs((), "unread_dropped") == executed_inputs(()) == {}


def test_what_is_computed_from_zeros_alone_is_not_executed():
    graph = (Node(ZEROS, (INPUT,)), Node(CONV, (0,)), Node(CONV, (INPUT,)), Node(ADD, (1, 2)))
    assert live_nodes(graph) == [2]
    assert live_nodes(graph, "unread_dropped") == [0, 1, 2, 3]


def test_what_the_output_does_not_depend_on_is_dropped():
    graph = (Node(CONV, (INPUT,)), Node(CONV, (0,)), Node(CONV, (0,)))
    assert live_nodes(graph) == live_nodes(graph, "unread_dropped") == [0, 2]
    with pytest.raises(UsageError, match="dead_branches is 'ignored'; it must be dropped, unread_dropped or executed"):
        live_nodes(graph, "ignored")


SPACE = parse_space("nasbench201:cells=1")
CODES = st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(CODES, st.sampled_from(DEAD_BRANCHES))
def test_liveness_of_many_is_that_of_each(rows, option):
    live = SPACE.template().live(rows, option)
    for row, architecture in zip(live, SPACE.decode(rows), strict=True):
        assert list(np.flatnonzero(row)) == live_nodes(architecture.graph(), option)


@settings(max_examples=30, deadline=None)
@given(CODES)
def test_what_one_runtime_executes_the_next_executes_too(rows):
    fewest, some, every = (SPACE.template().live(rows, option) for option in DEAD_BRANCHES)
    assert not (fewest & ~some).any()
    assert every.all()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 0, 0, 0, 0]], r"codes are int64 of shape \(1, 5\); they must be whole numbers, \(n, 6\)"),
        ([[0.5] * 6], "codes are float64"),
        ([[0, 0, 0, 0, 0, 5]], "code 5 of row 0, column 5; it must be 0 to 4"),
        ([[0, -1, 0, 0, 0, 0]], "code -1 of row 0, column 1; it must be 0 to 4"),
    ],
)
def test_impossible_codes_are_refused(codes, message):
    with pytest.raises(UsageError, match=message):
        SPACE.template().live(codes)
    with pytest.raises(UsageError, match=message):
        SPACE.decode(codes)


def test_a_baseline_has_no_codes():
    space = parse_space("portrait")
    with pytest.raises(UsageError, match="mobilenetv3_small has no codes"):
        space.encode([space.baseline("mobilenetv3_small")])


def test_a_space_without_one_place_a_node_must_write_its_own_template():
    def rewired(names):
        return (Node(CONV, (INPUT,)), Node(CONV, (0,)), Node(CONV, (0,) if names == ("a",) else (1,)))

    def entangled(names):
        return (Node(CONV if names in (("b", "b"), ("a", "a")) else SKIP, (INPUT,)),)

    def both(names):
        return (Node(CONV if names == ("b", "b") else SKIP, (INPUT,)),)

    with pytest.raises(UsageError, match="changes what feeds a node"):
        probe_template(rewired, [("a", "b")])
    with pytest.raises(UsageError, match="depends on choices 0 and 1"):
        probe_template(entangled, [("a", "b")] * 2)
    with pytest.raises(UsageError, match="several choices at once"):
        probe_template(both, [("a", "b")] * 2)


def test_a_template_that_does_not_fit_together_is_refused():
    with pytest.raises(UsageError, match="slot 0 has 1 options; its column has 2"):
        Template((Slot((CONV,), (INPUT,), 0),), (2,))
    with pytest.raises(UsageError, match="reads only earlier ones"):
        Template((Slot((CONV,), (0,), None),), ())
