import numpy as np
import pytest
import torch

from latlas.errors import UnknownOperatorError, UsageError
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.plugin import Compiled, CompileOptions
from latlas.spaces.cell import RATES
from latlas.spaces.dpc import DpcSpace
from latlas.spaces.graph import INPUT, Node, check_graph
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.space import enumerate_space
from latlas.spaces.text import parse_architecture, parse_space
from latlas.supernet.networks.network import Subnet, Supernet, run_graph
from latlas.supernet.operators.build import build_operator, timing_operator

SPACE = DpcSpace()
CHAIN = "m3-s5-d3-d5-sh"
TINY = DpcSpace(
    height=64,
    width=96,
    backbone=CHAIN,
    branches=3,
    filters=8,
    rates=(1, 6),
    grids=(2,),
    stem_channels=8,
    widths=(8, 8, 8, 12),
    depths=(1, 1, 1, 2),
    decoder_channels=8,
)


def test_the_space_is_the_papers():
    assert SPACE.size == 418_414_128_120
    assert DpcSpace(branches=1).size == 81
    assert TINY.size == len(list(enumerate_space(TINY))) == 6 * 6**3
    assert SPACE.input_shape() == (3, 256, 256)


def test_a_network_is_backbone_cell_and_decoder():
    graph = SPACE.named("dpc_cityscapes").graph()
    assert check_graph(graph) == (3, 256, 256)
    first = len(SPACE.backbone_nodes)
    assert [node.spec.kind for node in graph[first:]] == [
        *["atrous"] * 5,
        *["concat", "conv"],
        *["conv", "upsample_add", "dwsep"] * 2,
        *["head", "probability"],
    ]
    assert graph[first].spec.input_shapes == ((160, 16, 16),)
    assert graph[-1].spec.output_shape == (1, 256, 256)
    assert graph == SPACE.baseline("dpc_cityscapes").graph()


@pytest.mark.parametrize("backbone", ["mobilenetv3_large", "mobilenetv3_small_x0.75", "-".join(["m3", "s5"] * 7)])
def test_the_backbone_is_portraits(backbone):
    portrait = PortraitSpace()
    other = portrait.baseline(backbone) if "mob" in backbone else parse_architecture(f"portrait/{backbone}")
    coarse = DpcSpace(backbone=backbone, output_stride=32)
    count = len(coarse.backbone_nodes)
    assert coarse.backbone_nodes == other.graph()[:count]
    # The decoder is the same one too, behind as many nodes more as the cell has.
    tail = coarse.baseline("aspp").graph()[count + 7 :]
    assert [node.spec for node in tail] == [node.spec for node in other.graph()[count + 1 :]]


def test_a_backbone_may_have_any_of_portraits_operators():
    portrait = PortraitSpace(narrow_ratio=3)
    codes = "-".join(["n3", "m5"] * 7)
    other = parse_architecture(f"{portrait.text}/{codes}")
    assert DpcSpace(backbone=codes, narrow_ratio=3, output_stride=32).backbone_nodes == other.graph()[:15]


def test_output_stride_16_keeps_the_size_and_dilates():
    names = ["m3", "d3", "s5", "d5", "m5", "sh"]
    space = DpcSpace(backbone="-".join(names), depths=(1, 1, 1, 3))
    coarse = DpcSpace(backbone="-".join(names), depths=(1, 1, 1, 3), output_stride=32)
    fine, plain = space.backbone_nodes[-3:], coarse.backbone_nodes[-3:]
    assert [node.spec.output_size for node in fine] == [(16, 16)] * 3
    assert [node.spec.output_size for node in plain] == [(8, 8)] * 3
    # The one whose stride is gone keeps its dilation; what follows doubles it where it can.
    assert [(node.spec.name, node.spec.stride, node.spec.dilation) for node in fine] == [
        ("dilconv_k5", 1, 2),
        ("mbconv_k5", 1, 2),
        ("shuffle", 1, 1),
    ]
    # Trained weights fit both.
    for one, other in zip(space.backbone_nodes, coarse.backbone_nodes, strict=True):
        shapes = [{k: v.shape for k, v in build_operator(n.spec).state_dict().items()} for n in (one, other)]
        assert shapes[0] == shapes[1]


def test_what_is_behind_the_backbone_needs_its_taps_alone():
    """The proxy's view: a cell, decoder and head run from outputs that were kept."""
    torch.manual_seed(0)
    architecture = TINY.random(np.random.default_rng(1))
    graph, image = architecture.graph(), torch.rand(2, 3, 64, 96)
    subnet = Subnet(graph).eval()
    first = len(TINY.backbone_nodes)
    with torch.no_grad():
        outputs: list[torch.Tensor] = []
        for node, module in zip(TINY.backbone_nodes, subnet.nodes, strict=False):
            outputs.append(module(*[image if one == INPUT else outputs[one] for one in node.inputs]))
        kept = {index: outputs[index] for index in TINY.taps}
        for index, node in enumerate(graph[first:], first):
            kept[index] = subnet.nodes[index](*[kept[one] for one in node.inputs])
        assert torch.equal(kept[len(graph) - 1], subnet(image))
    assert max(TINY.taps) == first - 1


def test_a_cell_names_its_space():
    assert parse_architecture("F:a1x6-b0:a18x15-b1:a6x3-b0:a1x1-b0:a6x21") == SPACE.named("dpc_cityscapes")
    assert TINY.text.startswith("dpc:height=64,width=96,backbone=m3-s5-d3-d5-sh,branches=3")
    assert parse_space(TINY.text) == TINY


def test_a_cover_has_each_operator_of_both_widths_at_each_branch():
    first = len(TINY.backbone_nodes)
    widths = {0: {12}, 1: {12, 8}, 2: {12, 8}}
    for branch in range(3):
        specs = {one.graph()[first + branch].spec for one in TINY.cover()}
        wanted = {TINY.cell.operator(name, width == 12) for name in TINY.choices[1] for width in widths[branch]}
        assert specs == wanted
    for column, options in enumerate(TINY.choices):
        assert {one.operators[column] for one in TINY.cover()} == set(options)


def test_specs_are_every_operator_of_every_cell():
    specs = set(TINY.specs())
    every = {node.spec for one in enumerate_space(TINY) for node in one.graph()}
    assert every <= specs
    named = {node.spec for name in TINY.baselines for node in TINY.baseline(name).graph()}
    assert specs == every | named
    # 81 operators of either width, the fixed parts, and nothing that the resolution does not have.
    assert sum(spec.kind == "atrous" for spec in SPACE.specs()) == 2 * len(RATES) ** 2
    assert sum(spec.kind == "pyramid" for spec in SPACE.specs()) == 2 * 16


def test_branches_in_another_order_are_the_same_network():
    """Not only the same form: with its weights moved, the same output."""
    architecture = TINY.of_branches((("F", "atrous_6x1"), ("b0", "pyramid_2x2"), ("F", "conv_1x1")))
    other = TINY.of_branches((("F", "conv_1x1"), ("F", "atrous_6x1"), ("b1", "pyramid_2x2")))
    assert architecture != other
    assert architecture.canonical() == other.canonical() == architecture.canonical().canonical()
    assert TINY.baseline("aspp").canonical() == TINY.baseline("aspp")
    torch.manual_seed(0)
    first, moved = len(TINY.backbone_nodes), (2, 0, 1)
    subnet = Subnet(architecture.graph()).eval()
    modules = list(subnet.nodes)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        before = subnet(image)
        modules[first : first + 3] = [modules[first + branch] for branch in moved]
        weight = next(modules[first + 4].parameters())
        weight.copy_(torch.cat([weight[:, 8 * branch : 8 * branch + 8] for branch in moved], dim=1))
        assert torch.allclose(Subnet(other.graph(), modules).eval()(image), before, atol=1e-6)


def test_the_supernet_has_weights_for_both_widths_and_every_rate():
    torch.manual_seed(0)
    supernet = Supernet(TINY).eval()
    image = torch.rand(1, 3, 64, 96)
    for architecture in TINY.sample(12, np.random.default_rng(3)):
        with torch.no_grad():
            assert torch.equal(supernet.extract(architecture)(image), supernet(image, architecture))


def test_dropout_is_of_training_alone():
    space = DpcSpace(height=64, width=64, backbone="mobilenetv3_small_x0.5", filters=8)
    subnet = Subnet(space.baseline("dpc_cityscapes").graph())
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(subnet.eval()(image), subnet(image))
        concat = subnet.nodes[len(space.backbone_nodes) + 5].train()
        ones = [torch.ones(64, 8, 4, 4)] * 5
        assert 0.07 < float((concat(*ones) == 0).float().mean()) < 0.13


def test_openvino_computes_what_torch_does(tmp_path):
    library = OperatorLibrary(tmp_path, timing_operator)
    rng = np.random.default_rng(0)
    for architecture in [TINY.baseline("dpc_cityscapes"), TINY.baseline("aspp"), *TINY.sample(3, rng)]:
        graph, image = architecture.graph(), rng.random((1, 3, 64, 96), dtype=np.float32)
        got = Compiled(library.stitch(graph), CompileOptions()).infer(image)
        modules = [timing_operator(node.spec) for node in graph]
        with torch.no_grad():
            expected = run_graph(graph, modules.__getitem__, torch.from_numpy(image)).numpy()
        assert expected.std() > 1e-4
        np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize("label", ["1x1", "2x4", "5x7"])
def test_pools_whose_grid_does_not_divide_the_size(tmp_path, label):
    spec = OpSpec("pyramid", 6, 4, 5, 7, label=label)
    image = torch.rand(1, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    got = Compiled(OperatorLibrary(tmp_path, timing_operator).model(spec), CompileOptions()).infer(image.numpy())
    grid = tuple(map(int, label.split("x")))
    module = timing_operator(spec)
    with torch.no_grad():
        cells = module.get_submodule("project")(torch.nn.functional.adaptive_avg_pool2d(image, grid))
        expected = torch.nn.functional.interpolate(cells, size=(5, 7), mode="bilinear", align_corners=False)
        assert torch.allclose(module(image), expected, atol=1e-6)
    np.testing.assert_allclose(got, expected.numpy(), atol=2e-5)


def test_images_of_another_size_are_pooled_to_the_same_grid():
    """Training crops: a supernet of a size runs on another one."""
    spec = OpSpec("pyramid", 6, 4, 8, 8, label="4x2")
    module, image = timing_operator(spec), torch.rand(2, 6, 6, 10)
    assert module(image).shape == (2, 4, 6, 10)
    with torch.no_grad():
        other = timing_operator(OpSpec("pyramid", 6, 4, 6, 10, label="4x2"))
        other.load_state_dict(module.state_dict())
        assert torch.allclose(module(image), other(image), atol=1e-6)
        supernet = Supernet(TINY)
        for architecture in TINY.sample(4, np.random.default_rng(5)):
            assert supernet.logits(torch.rand(2, 3, 96, 64), architecture).shape == (2, 1, 96, 64)


def test_a_rate_beyond_the_size_reads_zeros_there(tmp_path):
    """Of a rate along the width that no pixel reaches the middle column of the kernel is left."""
    spec = OpSpec("atrous", 6, 4, 5, 7, kernel_size=3, label="2x7")
    image = torch.rand(1, 6, 5, 7, generator=torch.Generator().manual_seed(0))
    module = timing_operator(spec)
    got = Compiled(OperatorLibrary(tmp_path, timing_operator).model(spec), CompileOptions()).infer(image.numpy())
    weight = next(module.parameters())[:, :, :, 1:2]
    with torch.no_grad():
        x = torch.nn.functional.conv2d(image, weight, padding=(2, 0), dilation=(2, 1), groups=6)
        for layer in list(module.children())[1:]:
            x = layer(x)
        assert torch.allclose(module(image), x, atol=1e-6)
    np.testing.assert_allclose(got, x.numpy(), atol=2e-5)


def test_a_concatenation_of_any_inputs_is_stitched(tmp_path):
    """One that reads the image, one node twice, and another concatenation."""
    conv, two = OpSpec("conv", 4, 4, 6, 5, kernel_size=3), OpSpec("concat", 4, 8, 6, 5)
    graph = (
        Node(conv, (INPUT,)),
        Node(two, (INPUT, 0)),
        Node(two, (0, 0)),
        Node(OpSpec("concat", 8, 24, 6, 5), (2, 1, 2)),
    )
    check_graph(graph)
    library, image = OperatorLibrary(tmp_path, timing_operator), np.random.default_rng(2).random((1, 4, 6, 5))
    got = Compiled(library.stitch(graph), CompileOptions()).infer(image.astype(np.float32))
    with torch.no_grad():
        one = timing_operator(conv)(torch.from_numpy(image.astype(np.float32)))[0].numpy()
    expected = np.concatenate([one, one, image[0], one, one, one])
    np.testing.assert_allclose(got[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("dpc:output_stride=8", UsageError, "output_stride is 8; dpc has 16 and 32"),
        ("dpc:branches=0", UsageError, "branches is 0; it must be 1 to 12"),
        ("dpc:filters=0", UsageError, "filters is 0"),
        ("dpc:rates=1.1", UsageError, r"rates are \(1, 1\)"),
        ("dpc:grids=0", UsageError, r"grids are \(0,\)"),
        ("dpc:backbone=resnet", UsageError, "backbone 'resnet'.*has 1 operators"),
        ("dpc:backbone=mobilenetv3_large_x0", UsageError, "width multiplier must be above 0"),
        ("dpc:height=100", UsageError, "height is 100"),
    ],
)
def test_impossible_spaces_are_refused(text, error, message):
    with pytest.raises(error, match=message):
        parse_space(text)


def test_impossible_cells_are_refused():
    for text, message in (
        ("dpc/b0:c1-F:c1-F:c1-F:c1-F:c1", "layer 0 of dpc has no operator 'b0'"),
        ("dpc/F:c1-b1:c1-F:c1-F:c1-F:c1", "layer 2 of dpc has no operator 'b1'"),
        ("dpc/F:a2x2-F:c1-F:c1-F:c1-F:c1", "has no operator 'atrous_2x2'"),
        ("dpc/F:c1", "has 2 operators; dpc has 10 searchable layers"),
    ):
        with pytest.raises((UsageError, UnknownOperatorError), match=message):
            parse_architecture(text)
    with pytest.raises(UsageError, match="a choice changes what feeds a node"):
        SPACE.template()
