import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import FileFormatError
from latlas.latency.samples.graph_features import GraphFeatures, design
from latlas.spaces.graph import DEAD_BRANCHES, executed_inputs
from latlas.spaces.text import parse_architecture, parse_space

SPACE = parse_space("nasbench201:cells=1,height=8,width=8,channels=4")
TEMPLATE = SPACE.template()


def blocks(text, dead_branches="dropped"):
    codes = SPACE.encode([parse_architecture(text, SPACE)])
    return {name: block[0] for name, block in GraphFeatures(SPACE.text, dead_branches).blocks(TEMPLATE, codes).items()}


CHAIN = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|none~0|none~1|nor_conv_1x1~2|"
DIAMOND = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
UNREAD = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
FROM_ZEROS = "|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def test_a_chains_totals_by_hand():
    macs, moved, nodes, joined, depth, path, forks, most = blocks(CHAIN)["totals"]
    # Stem, three cells of three operators, two basic blocks, classifier.
    assert (nodes, joined, depth, forks, most) == (13, 0, 13, 0, 1)
    graph = parse_architecture(CHAIN, SPACE).graph()
    assert macs == pytest.approx(sum(node.spec.macs for node in graph) / 1e8)
    assert moved > 0 and path > 0


def test_a_diamonds_totals_by_hand():
    _, _, nodes, joined, depth, _, forks, most = blocks(DIAMOND)["totals"]
    # A cell has two convolutions, two skips and one sum, of which the longest path is three.
    assert (nodes, joined, depth, forks, most) == (4 + 3 * 5, 3, 4 + 3 * 3, 3, 2)


def test_what_is_not_executed_is_told_apart():
    assert blocks(CHAIN)["zeros"].sum() == blocks(CHAIN)["unread"].sum() == 0
    assert (blocks(UNREAD)["unread"].sum(), blocks(UNREAD)["zeros"].sum()) == (3 * 2, 0)
    assert (blocks(FROM_ZEROS)["unread"].sum(), blocks(FROM_ZEROS)["zeros"].sum()) == (0, 3 * 2)
    assert "unread" not in blocks(UNREAD, "executed")


def test_what_is_computed_from_zeros_counts_where_only_what_is_not_read_is_dropped():
    folded, run, read = (blocks(FROM_ZEROS), blocks(FROM_ZEROS, "unread_dropped"), blocks(UNREAD, "unread_dropped"))
    # A cell has two operators computed from zeros, three zeros, and three additions, of which folding leaves none.
    assert run["operators"].sum() - folded["operators"].sum() == 3 * (2 + 3 + 3)
    assert (run["zeros"].sum(), run["unread"].sum()) == (3 * 2, 0)
    assert (read["zeros"].sum(), read["unread"].sum()) == (0, 3 * 2)


def test_networks_that_execute_the_same_differ_only_in_what_is_dropped():
    plain = blocks("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    for text in (UNREAD, FROM_ZEROS):
        other = blocks(text)
        for name in set(plain) - {"zeros", "unread"}:
            assert np.array_equal(plain[name], other[name]), name


def test_pairs_by_hand():
    pairs = blocks(CHAIN)["pairs"].reshape(3, -1)
    # 12 edges between 13 nodes; nothing is added up, and each tensor is read once.
    assert pairs.sum(axis=1).tolist() == [12, 0, 0]
    feeds, meets, shares = blocks(DIAMOND)["pairs"].reshape(3, -1).sum(axis=1)
    # A cell: its input to both convolutions, each to its skip, and what reads the sum of both skips.
    assert (meets, shares) == (3 * 2, 3 * 2)
    assert feeds == 3 * (2 + 2 + 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 6), min_size=1, max_size=5), st.sampled_from(DEAD_BRANCHES))
def test_operators_are_those_that_are_executed(rows, dead_branches):
    found = GraphFeatures(SPACE.text, dead_branches).blocks(TEMPLATE, rows)
    for operators, totals, architecture in zip(found["operators"], found["totals"], SPACE.decode(rows), strict=True):
        executed = executed_inputs(architecture.graph(), dead_branches)
        assert operators.sum() == totals[2] == len(executed)
        assert totals[3] == sum(len(sources) > 1 for sources in executed.values())


def test_many_are_as_each_by_itself(monkeypatch):
    codes = SPACE.encode(SPACE.sample(20, np.random.default_rng(0)))
    seen = GraphFeatures(SPACE.text, "dropped")
    whole = seen.blocks(TEMPLATE, codes)
    monkeypatch.setattr("latlas.latency.samples.graph_features._CHUNK", 7)
    for name, block in seen.blocks(TEMPLATE, codes).items():
        assert np.array_equal(block, whole[name])


def test_other_spaces_have_features_too():
    space = parse_space("portrait:skip=True")
    codes = space.encode(space.sample(5, np.random.default_rng(0)))
    found = GraphFeatures(space.text, "dropped").blocks(space.template(), codes)
    assert found["totals"].shape == (5, 8)
    assert all(np.isfinite(block).all() for block in found.values())


def test_columns_that_say_nothing_new_are_left_out():
    made = {"a": np.array([[1.0, 2, 5], [2, 4, 5], [3, 6, 5]]), "b": np.array([[2.0], [4], [6]])}
    matrix, group, kept = design(made)
    assert (group.tolist(), kept.tolist()) == ([0, 1], [0, 3])
    assert matrix.tolist() == [[1, 2], [2, 4], [3, 6]]


def test_a_record_reads_back():
    seen = GraphFeatures(SPACE.text, "executed")
    assert GraphFeatures.from_record(seen.to_record()) == seen
    with pytest.raises(FileFormatError, match="are no space"):
        GraphFeatures.from_record({"space": "\x1b[31m", "dead_branches": None})
