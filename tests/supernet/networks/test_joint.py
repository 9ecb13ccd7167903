"""`portrait` with a cell: chain and cell in one architecture."""

import json

import numpy as np
import pytest
import torch

from latlas.errors import UnknownOperatorError, UsageError
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.plugin import Compiled, CompileOptions
from latlas.spaces.cell import NAMED, names_of
from latlas.spaces.dpc import DpcSpace
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.portrait_cell import PortraitCellSpace
from latlas.spaces.text import architecture_from_record, parse_architecture, parse_space
from latlas.supernet.networks.network import Supernet, run_graph
from latlas.supernet.operators.build import timing_operator

SPACE = PortraitCellSpace(cell=5)
TINY = PortraitCellSpace(
    height=64,
    width=64,
    stem_channels=8,
    widths=(8, 8, 8, 12),
    depths=(1, 1, 1, 2),
    aspp_channels=8,
    decoder_channels=8,
    skip=True,
    cell=2,
)


def test_choices_are_the_chains_and_the_cells():
    assert SPACE.size == 7**14 * 418_414_128_120
    assert SPACE.text == "portrait:cell=5"
    assert parse_space("portrait:cell=5") == SPACE
    assert PortraitSpace().size == 7**14
    assert SPACE.stages == (2, 4, 4, 4, 2, 2, 2, 2, 2)


def test_a_network_is_the_chain_and_the_cell_of_dpc():
    chain = ["mbconv_k3", "sepconv_k5", "dilconv_k3", "shuffle"] * 3 + ["mbconv_k5"] * 2
    architecture = SPACE.architecture([*chain, *names_of(NAMED["dpc_cityscapes"])])
    text = "portrait:cell=5/m3-s5/d3-sh-m3-s5/d3-sh-m3-s5/d3-sh-m5-m5/F:a1x6-b0:a18x15-b1:a6x3-b0:a1x1-b0:a6x21"
    assert str(architecture) == text
    backbone = "-".join(PortraitSpace.short_names[name] for name in chain)
    other = DpcSpace(backbone=backbone, output_stride=32).baseline("dpc_cityscapes")
    assert architecture.graph() == other.graph()
    assert SPACE.cell_of(architecture.operators) == other.space.cell_of(other.operators) is not None
    assert SPACE.cell_of(SPACE.baseline("mobilenetv3_small").operators) is None
    assert SPACE.baseline("mobilenetv3_small").graph() == PortraitSpace().baseline("mobilenetv3_small").graph()


@pytest.mark.parametrize("architecture", [*TINY.sample(12, np.random.default_rng(0)), *TINY.cover()[:4]], ids=str)
def test_text_json_and_codes_read_back(architecture):
    assert parse_architecture(str(architecture)) == architecture
    assert parse_architecture(str(architecture).partition("/")[2].replace("/", "-", 3), TINY) == architecture
    assert architecture_from_record(json.loads(json.dumps(architecture.to_record()))) == architecture
    assert TINY.decode(TINY.encode([architecture])) == [architecture]
    assert architecture.canonical().canonical() == architecture.canonical()
    assert architecture.canonical().macs == architecture.macs


def test_branches_of_one_feature_have_no_order():
    chain = ("shuffle",) * 5
    one = TINY.architecture([*chain, "F", "conv_1x1", "F", "atrous_6x3"])
    other = TINY.architecture([*chain, "F", "atrous_6x3", "F", "conv_1x1"])
    assert one != other and one.canonical() == other.canonical()
    assert TINY.architecture(["mbconv_k3", *other.operators[1:]]).canonical() != one.canonical()


def test_a_cover_has_every_operator_of_every_layer():
    cover = TINY.cover()
    for column, options in enumerate(TINY.choices):
        assert {one.operators[column] for one in cover} == set(options)
    specs = set(TINY.specs())
    for one in TINY.sample(40, np.random.default_rng(1)):
        assert {node.spec for node in one.graph()} <= specs


def test_searchable_nodes_are_the_layers_and_the_branches():
    found = TINY.searchable_nodes()
    assert found[:9] == [None, 0, 1, 2, 3, 4, 6, 8, None]
    assert set(found[9:]) == {None}
    drawn = TINY.random(np.random.default_rng(2))
    assert len(found) == len(drawn.graph())
    assert PortraitSpace().searchable_nodes()[:16] == [None, *range(14), None]


def test_draws_by_stage_have_one_operator_a_stage_and_cells_of_all_sorts():
    rng, repeated, kinds = np.random.default_rng(0), 0, set()
    for _ in range(60):
        names = SPACE.random_by_stage(rng).operators
        assert all(len(set(names[stage])) == 1 for stage in SPACE.stage_slices()[:4])
        repeated += len(set(names[15::2])) == 1
        kinds |= {name.partition("_")[0] for name in names[15::2]}
    assert 20 <= repeated <= 45
    assert kinds == {"conv", "atrous", "pyramid"}


def test_the_supernet_and_openvino_run_it(tmp_path):
    torch.manual_seed(0)
    supernet, image = Supernet(TINY).eval(), torch.rand(1, 3, 64, 64)
    library = OperatorLibrary(tmp_path, timing_operator)
    for architecture in TINY.sample(2, np.random.default_rng(3)):
        graph = architecture.graph()
        with torch.no_grad():
            assert torch.equal(supernet.extract(architecture)(image), supernet(image, architecture))
            modules = [timing_operator(node.spec) for node in graph]
            expected = run_graph(graph, modules.__getitem__, image).numpy()
        got = Compiled(library.stitch(graph), CompileOptions()).infer(image.numpy())
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_the_texts_and_hashes_of_the_first_version_stay():
    """Of a table, a predictor and a journal; they were written when the space was one class with the other."""
    text = "portrait:height=64,width=96,cell=3,operators=mbconv_k3.shuffle"
    space = parse_space(text)
    assert space.text == text and space == PortraitCellSpace(
        height=64, width=96, cell=3, operators=("mbconv_k3", "shuffle")
    )
    assert space.random(np.random.default_rng(0)).hash == "500abf4a8e11cc88"
    assert len(space.specs()) == 199 and space.size == 52242776064
    assert type(parse_space("portrait:operators=sepconv_k3")) is PortraitSpace


def test_a_setting_that_is_not_known_is_told_what_the_text_may_have():
    with pytest.raises(
        UsageError, match=r"'branches=3' is not known; portrait has resolution, height, .*, operators, cell"
    ):
        parse_space("portrait:branches=3")
    with pytest.raises(UsageError, match="cell is 0; it must be 1 to 12 branches; leave cell out for ASPP"):
        parse_space("portrait:cell=0")


def test_what_is_impossible_is_refused():
    with pytest.raises(UsageError, match="cell is 13; it must be 1 to 12"):
        PortraitCellSpace(cell=13)
    with pytest.raises(UsageError, match="no template holds its networks"):
        SPACE.template()
    with pytest.raises(UnknownOperatorError, match="layer 16 of portrait:cell=5 has no operator 'b1'"):
        parse_architecture("portrait:cell=5/" + "-".join(["m3"] * 14) + "/F:c1-b1:c1-F:c1-F:c1-F:c1")
    with pytest.raises(UsageError, match="has 14 operators; portrait:cell=5 has 24"):
        parse_architecture("portrait:cell=5/" + "-".join(["m3"] * 14))
