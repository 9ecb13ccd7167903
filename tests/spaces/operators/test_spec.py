import subprocess
import sys

import pytest

from latlas.errors import UnknownOperatorError, UsageError
from latlas.spaces.graph import INPUT, Node, check_graph, graph_hash, graph_macs, graph_params, live_nodes
from latlas.spaces.operators.spec import FOREIGN, Kind, OpSpec, kinds, make_divisible, register_operator

# By hand, from the definitions: (spec, multiply-adds, parameters).
BY_HAND = [
    # 3*16*9 a pixel over 64*64 pixels; 432 weights, 32 of BN.
    (OpSpec("conv", 3, 16, 128, 128, 2, 3), 432 * 4096, 464),
    # expand 16*96 at 32x32; depthwise 96*9 and project 96*24 at 16x16; squeeze 2*96*24.
    (
        OpSpec("mbconv", 16, 24, 32, 32, 2, 3, hidden_channels=96, squeeze_channels=24, activation="relu"),
        1536 * 1024 + (864 + 2304) * 256 + 4608,
        1536 + 192 + 864 + 192 + 4608 + 24 + 96 + 2304 + 48,
    ),
    # No expansion where hidden == in, no squeeze: MobileNetV3's first block.
    (OpSpec("mbconv", 16, 16, 8, 8, kernel_size=3, hidden_channels=16), (144 + 256) * 64, 144 + 32 + 256 + 32),
    # Twice depthwise 25*8, then 8*8 and 8*16, all at the output's 4x4.
    # EfficientNet-Lite's stem; its block that expands 8 to 48, with 5x5 at stride 2.
    (OpSpec("lite_stem", 3, 32, 8, 8, 2, 3), 864 * 16, 864 + 64),
    (
        OpSpec("lite_mbconv", 8, 16, 8, 8, 2, 5, hidden_channels=48),
        384 * 64 + (1200 + 768) * 16,
        384 + 96 + 1200 + 96 + 768 + 32,
    ),
    (OpSpec("sepconv", 8, 16, 8, 8, 2, 5), (200 + 64 + 200 + 128) * 16, 200 + 64 + 16 + 200 + 128 + 32),
    (OpSpec("dilconv", 8, 16, 8, 8, 1, 3, dilation=2), (72 + 128) * 64, 72 + 128 + 32),
    (OpSpec("dwsep", 8, 16, 8, 8, kernel_size=3), (72 + 128) * 64, 72 + 16 + 128 + 32),
    # Halves of 4: 1x1, depthwise, 1x1.
    (OpSpec("shuffle", 8, 8, 4, 4), (16 + 36 + 16) * 16, 16 + 8 + 36 + 8 + 16 + 8),
    # main 8->8 at 8x8, then 72 + 64 at 4x4; projection 72 + 64 at 4x4.
    (
        OpSpec("shuffle", 8, 16, 8, 8, 2),
        64 * 64 + (72 + 64 + 72 + 64) * 16,
        (64 + 16 + 72 + 16 + 64 + 16) + (72 + 16 + 64 + 16),
    ),
    # 1x1 and three of (depthwise, 1x1) to 4, project 20->6, all at 2x2; pooled 8->4 once.
    (
        OpSpec("aspp", 8, 6, 2, 2, hidden_channels=4, dilation=2),
        (32 + 3 * (72 + 32) + 120) * 4 + 32,
        (32 + 8) + 3 * (72 + 16 + 32 + 8) + (32 + 4) + (120 + 12),
    ),
    (OpSpec("head", 8, 2, 4, 4, scale=4), 16 * 16, 18),
    (OpSpec("skip", 8, 8, 4, 4), 0, 0),
    (OpSpec("upsample_add", 8, 8, 4, 4, scale=2), 0, 0),
    (OpSpec("probability", 1, 1, 4, 4), 0, 0),
    (OpSpec("relu_conv", 8, 8, 4, 4, kernel_size=3), 576 * 16, 576 + 16),
    (OpSpec("avg_pool", 8, 8, 4, 4, kernel_size=3), 0, 0),
    (OpSpec("zeroize", 8, 8, 4, 4), 0, 0),
    (OpSpec("add", 8, 8, 4, 4), 0, 0),
    # 3x3 8->16 and 16->16, 1x1 8->16, all at the output's 4x4; the 1x1 has no batch normalisation.
    (OpSpec("basic_block", 8, 16, 8, 8, 2), (1152 + 2304 + 128) * 16, 1152 + 32 + 2304 + 32 + 128),
    (OpSpec("classifier", 8, 10, 4, 4, 4), 80, 16 + 80 + 10),
    # Depthwise 3x3 and 1x1 at every pixel, whatever the rates; 16 and 32 of BN.
    (OpSpec("atrous", 8, 16, 4, 6, kernel_size=3, label="6x21"), (72 + 128) * 24, 72 + 16 + 128 + 32),
    # 1x1 on the eight cells of the grid.
    (OpSpec("pyramid", 8, 16, 4, 6, label="4x2"), 128 * 8, 128 + 32),
    (OpSpec("concat", 8, 24, 4, 6), 0, 0),
]


@pytest.mark.parametrize(("spec", "macs", "params"), BY_HAND, ids=lambda value: str(value))
def test_macs_and_params_by_hand(spec, macs, params):
    assert (spec.macs, spec.params) == (macs, params)


def test_every_kind_has_a_hand_checked_count():
    assert {spec.kind for spec, _, _ in BY_HAND} == set(kinds()) - {FOREIGN}


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 8), (11, 16), (12, 16), (18, 24), (20, 24), (24, 24), (91, 88), (4.4, 8), (36, 40)]
)
def test_make_divisible_is_mobilenets(value, expected):
    assert make_divisible(value) == expected
    assert make_divisible(value) >= 0.9 * value


def test_shapes():
    add = OpSpec("upsample_add", 8, 8, 4, 6, scale=2)
    assert add.input_shapes == ((8, 4, 6), (8, 8, 12))
    assert add.output_shape == (8, 8, 12)
    assert OpSpec("conv", 3, 4, 9, 9, 2, 3).output_shape == (4, 5, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "warp"}, "unknown operator kind 'warp'; known: add, aspp"),
        ({"in_channels": 0}, "in_channels is 0; it must be a whole number"),
        ({"in_channels": 4.0}, r"in_channels is 4\.0"),
        ({"stride": True}, "stride is True"),
        ({"kernel_size": 4}, "kernel_size is 4; it must be odd"),
        ({"activation": "gelu"}, "activation is 'gelu'; known: none"),
        ({"kind": "skip", "stride": 2}, "needs stride 1 and in == out"),
        ({"kind": "shuffle", "in_channels": 6, "out_channels": 6}, "in_channels is 6; a splitting shuffle"),
        ({"kind": "mbconv"}, "hidden_channels must be at least 1"),
    ],
)
def test_impossible_specs_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        OpSpec(**{"kind": "conv", "in_channels": 8, "out_channels": 8, "height": 8, "width": 8, **settings})


def test_records_with_strange_fields_are_refused():
    with pytest.raises(UsageError, match=r"unknown fields \['depth'\], missing fields \['width'\]"):
        OpSpec.from_record({"kind": "conv", "in_channels": 1, "out_channels": 1, "height": 1, "depth": 1})


def test_a_kind_is_registered_once():
    with pytest.raises(UsageError, match="'conv' is registered already"):
        register_operator(Kind("conv", lambda spec: 0, lambda spec: 0))
    assert issubclass(UnknownOperatorError, KeyError)


CONV = OpSpec("conv", 4, 4, 8, 8, kernel_size=3)


def test_a_graph_sums_its_nodes():
    graph = (Node(CONV, (INPUT,)), Node(CONV, (0,)))
    assert check_graph(graph) == (4, 8, 8)
    assert graph_macs(graph) == 2 * CONV.macs
    assert graph_params(graph) == 2 * CONV.params


def test_dead_nodes_are_those_that_the_last_does_not_need():
    graph = (Node(CONV, (INPUT,)), Node(CONV, (0,)), Node(CONV, (0,)), Node(CONV, (2,)))
    assert live_nodes(graph) == [0, 2, 3]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ((), "no nodes"),
        ((Node(CONV, ()),), "has 0 inputs; it takes 1"),
        ((Node(CONV, (0,)),), "reads node 0; a node reads only earlier ones"),
        (
            (Node(CONV, (INPUT,)), Node(OpSpec("conv", 8, 8, 8, 8), (0,))),
            r"takes \(8, 8, 8\); node 0 gives \(4, 8, 8\)",
        ),
        ((Node(CONV, (INPUT,)), Node(OpSpec("conv", 3, 4, 8, 8), (INPUT,))), "reads the image as"),
    ],
)
def test_impossible_graphs_are_refused(graph, message):
    with pytest.raises(UsageError, match=message):
        check_graph(graph)


def test_the_hash_is_the_same_in_another_process_and_depends_on_the_wiring():
    graph = (Node(CONV, (INPUT,)), Node(CONV, (0,)), Node(CONV, (1,)))
    program = (
        "from latlas.spaces.graph import *; from latlas.spaces.operators.spec import OpSpec; c = OpSpec('conv', 4, 4, 8, 8, "
        "kernel_size=3); print(graph_hash((Node(c, (INPUT,)), Node(c, (0,)), Node(c, (1,)))))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert graph_hash(graph) == other
    assert graph_hash(graph) != graph_hash((*graph[:2], Node(CONV, (0,))))


def test_foreign_operator_keeps_its_name_and_claims_no_work():
    spec = OpSpec(FOREIGN, 32, 64, 16, 16, label="BasicResidual1x")
    assert str(spec) == "foreign BasicResidual1x 32->64 at 16x16"
    with pytest.raises(UsageError, match="another project's operator"):
        _ = spec.macs
    with pytest.raises(UsageError, match="needs a label"):
        OpSpec(FOREIGN, 32, 64, 16, 16)
    with pytest.raises(UsageError, match="only atrous, foreign, pyramid have one"):
        OpSpec("skip", 32, 32, 16, 16, label="identity")
    with pytest.raises(UsageError, match="label is"):
        OpSpec(FOREIGN, 32, 64, 16, 16, label="a\x1b[31m")
