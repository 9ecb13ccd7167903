import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import UnknownOperatorError, UsageError
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.plugin import Compiled, CompileOptions, core, execution_graph
from latlas.spaces.graph import live_nodes
from latlas.spaces.nasbench201 import EXAMPLE, OPERATORS, NasBench201
from latlas.spaces.text import architecture_from_record, parse_architecture, parse_space
from latlas.supernet.networks.network import Subnet
from latlas.supernet.operators.build import timing_operator

SPACE = NasBench201()


def of(text):
    return parse_architecture(text, SPACE)


def all_of(name):
    return SPACE.architecture([name] * 6)


def test_the_space_is_the_benchmarks():
    assert SPACE.size == 15_625
    assert SPACE.input_shape() == (3, 32, 32)
    graph = all_of("nor_conv_3x3").graph()
    assert len(graph) == 1 + 15 * 9 + 2 + 1
    assert graph[-1].spec.output_shape == (10, 1, 1)
    widths = [n.spec.out_channels for n in graph if n.spec.kind == "relu_conv"]
    assert widths == [16] * 30 + [32] * 30 + [64] * 30


@pytest.mark.parametrize(
    ("name", "params", "flops"),
    # What the benchmark states, in millions; its FLOPs are multiply-adds, and count the classifier's bias.
    [("nor_conv_3x3", 1.531546, 220.119690), ("skip_connect", 0.073306, 7.783050)],
)
def test_parameters_and_multiply_adds_are_the_published_ones(name, params, flops):
    architecture = all_of(name)
    assert architecture.params == round(1e6 * params)
    assert architecture.macs + 10 == round(1e6 * flops)


def test_classes_and_size_are_settings():
    more = parse_space("nasbench201:num_classes=120,height=16,width=16")
    assert more.text == "nasbench201:height=16,width=16,num_classes=120"
    assert more.architecture([OPERATORS[3]] * 6).params == 1_531_546 + 110 * 65
    assert more.input_shape() == (3, 16, 16)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(OPERATORS), min_size=6, max_size=6))
def test_the_benchmarks_text_reads_back(names):
    architecture = SPACE.architecture(names)
    text = str(architecture)
    assert text.startswith("nasbench201/|")
    assert parse_architecture(text) == of(text.partition("/")[2]) == architecture
    assert parse_architecture(text.partition("/")[2]) == architecture
    assert architecture_from_record(architecture.to_record()) == architecture


def test_the_text_is_in_the_benchmarks_order():
    assert of(EXAMPLE).operators == (
        "nor_conv_3x3",
        "nor_conv_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "nor_conv_3x3",
        "skip_connect",
    )
    assert str(of(EXAMPLE)) == f"nasbench201/{EXAMPLE}"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("none-none-none-none-none-none", UsageError, r"it is written such as \|nor_conv_3x3~0"),
        ("|none~0|+|none~0|none~1|", UsageError, "has 2 nodes, parted by +; nasbench201 has 3"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", UsageError, "node 2 is '|none~0|'; it must have 2 operators"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2", UsageError, "node 3 is"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", UsageError, "'none~1' of node 1 must be operator~0"),
        (
            "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            UnknownOperatorError,
            "no operator 'conv'; it has none, skip",
        ),
        ("|" + "x" * 5000, UsageError, "is not of nasbench201"),
        ("|\x1b[31m~0|+|none~0|none~1|+|none~0|none~1|none~2|", UsageError, r"x1b\[31m~0' of node 1"),
    ],
)
def test_malformed_texts_are_refused(text, error, message):
    with pytest.raises(error) as caught:
        of(text)
    assert message.replace("\\", "") in str(caught.value).replace("\\", "")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nasbench201:height=30", "height is 30; nasbench201 needs a multiple of 4"),
        ("nasbench201:cells=0", "cells is 0; it must be 1 to 64"),
        ("nasbench201:num_classes=0", "num_classes is 0"),
    ],
)
def test_impossible_settings_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse_space(text)


def test_a_cell_is_the_sum_over_its_edges():
    """Against the definition, node by node, in one cell of eight channels."""
    space = NasBench201(height=8, width=8, channels=8, cells=1)
    graph = space.architecture(
        ["nor_conv_1x1", "skip_connect", "avg_pool_3x3", "none", "nor_conv_3x3", "skip_connect"]
    ).graph()
    torch.manual_seed(0)
    subnet = Subnet(graph).eval()
    image = torch.rand(2, 3, 8, 8)
    kinds = [node.spec.kind for node in graph[1:10]]
    assert kinds == ["relu_conv", "skip", "avg_pool", "add", "zeroize", "relu_conv", "add", "skip", "add"]
    outputs: list[torch.Tensor] = []
    with torch.no_grad():
        for node, op in zip(graph, subnet.nodes, strict=True):
            outputs.append(op(*[image if i == -1 else outputs[i] for i in node.inputs]))
    x0, x1 = outputs[0], outputs[1]
    x2 = x0 + torch.nn.functional.avg_pool2d(x1, 3, 1, 1, count_include_pad=False)
    assert graph[6].inputs == (1,)
    assert torch.allclose(outputs[4], x2)
    assert torch.allclose(outputs[9], outputs[6] + x2)


def of_cell(text, space):
    return parse_architecture(text, space).graph()


def layers_of(model):
    compiled = core().compile_model(model, "CPU", CompileOptions("f32", 1).properties())
    return [node.layer for node in execution_graph(compiled)]


def test_openvino_drops_what_dead_branches_says_it_drops(tmp_path):
    space = NasBench201(height=8, width=8, channels=8, cells=1)
    library = OperatorLibrary(tmp_path, timing_operator)
    # Node 1 is read only through `none`, node 2 is computed from zeros alone: one 1x1 a cell is left.
    dead = of_cell("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|", space)
    model = library.stitch(dead)
    assert layers_of(model).count("Convolution") == 1 + 3 + 2 * 3  # stem, a 1x1 a cell, the basic blocks
    assert [dead[i].spec.name for i in live_nodes(dead)].count("relu_conv_k1") == 3
    # Where nothing is left of a branch, nothing is left of its sum.
    unread = of_cell("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|", space)
    plain = of_cell("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|", space)
    assert layers_of(library.stitch(unread)) == layers_of(library.stitch(plain))
    image = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    modules = [timing_operator(node.spec) for node in dead]
    with torch.no_grad():
        expected = Subnet(dead, modules).eval()(torch.from_numpy(image)).numpy()
    given = Compiled(model, CompileOptions("f32", 1)).infer(image)
    assert np.allclose(given, expected, atol=1e-4)
