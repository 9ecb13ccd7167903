"""Networks split in two, against the whole ones."""

from dataclasses import replace

import pytest
import torch

from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.spaces.dpc import DpcSpace
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.text import parse_space
from latlas.supernet.backbone.backbone_file import load_backbone
from latlas.supernet.backbone.split import Backbone, BackboneSplit, NetworkHead, common_split, split_of
from latlas.supernet.networks.network import Subnet, Supernet, logits_graph
from latlas.supernet.networks.weights_file import save_weights

CHAIN = "m3-s5-d3-sh-m5"
SETTINGS = "resolution=32,stem_channels=8,widths=8.8.16.16,depths=1.2.1.1,decoder_channels=8"
SPACE = parse_space(f"dpc:{SETTINGS},backbone={CHAIN},branches=2,filters=8,rates=1.6,grids=1.2")


@pytest.fixture(scope="module")
def split():
    return split_of(SPACE)


def seeded(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def settled(subnet):
    """With running statistics that are not those it was made with."""
    subnet.train()
    with torch.no_grad():
        for _ in range(3):
            subnet(torch.rand(4, *subnet.graph[0].spec.input_shapes[0]))
    return subnet.eval()


def test_the_cut_is_where_the_space_says_its_backbone_ends(split):
    assert isinstance(SPACE, DpcSpace)
    assert split == BackboneSplit(SPACE.backbone_nodes, SPACE.taps)
    graph = SPACE.baseline("aspp").graph()
    first = len(split.prefix)
    # By hand: what nodes behind the split read of those before it.
    assert set(split.taps) == {s for node in graph[first:] for s in node.inputs if s < first}
    assert first - 1 in split.taps


def test_the_common_prefix_is_found_whatever_differs_first():
    conv = OpSpec("conv", 3, 4, 8, 8)
    one, other = OpSpec("conv", 4, 4, 8, 8), OpSpec("conv", 4, 4, 8, 8, kernel_size=3)
    add = OpSpec("add", 4, 4, 8, 8)
    base = (Node(conv, (INPUT,)), Node(one, (0,)))
    graphs = [(*base, Node(add, (0, 1))), (*base, Node(add, (1, 1)))]
    assert common_split(graphs) == BackboneSplit(base, (0, 1))
    assert common_split([(*base, Node(one, (1,))), (*base, Node(other, (1,)))]) == BackboneSplit(base, (1,))
    # The second node differs by what it reads only.
    reads = [(Node(conv, (INPUT,)), Node(one, (0,)), Node(one, (s,)), Node(one, (2,))) for s in (0, 1)]
    assert common_split(reads).prefix == reads[0][:2]
    with pytest.raises(UsageError, match="no first node in common"):
        common_split([(Node(conv, (INPUT,)),), (Node(replace(conv, out_channels=5), (INPUT,)),)])
    with pytest.raises(UsageError, match="nothing behind"):
        common_split([base])
    with pytest.raises(UsageError, match="reads the image"):
        common_split([(base[0], Node(conv, (INPUT,))), (base[0], Node(one, (0,)))])
    with pytest.raises(UsageError, match="no graphs"):
        common_split([])


def test_a_space_whose_baselines_have_another_stem_has_no_backbone(tiny_space):
    with pytest.raises(UsageError, match="no backbone to freeze"):
        split_of(tiny_space)


def test_backbone_and_rest_are_the_whole_network(split):
    """For each architecture of the space: both halves give what the whole gives, to the last bit, and as trained."""
    backbone = None
    images = torch.rand(2, 3, 32, 32)
    for one in [*SPACE.cover(), *(SPACE.baseline(name) for name in SPACE.baselines)]:
        whole = settled(seeded(lambda one=one: Subnet(one.graph())))
        backbone = Backbone(split, list(whole.nodes)[: len(split.prefix)])
        head = NetworkHead(one.graph(), split).eval()
        for index, module in head.nodes.items():
            module.load_state_dict(whole.nodes[int(index)].state_dict())
        with torch.inference_mode():
            assert torch.equal(head.logits(backbone(images)), whole.logits(images))
        assert len(head.nodes) + len(split.prefix) == len(logits_graph(one.graph()))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone.train().training and not any(module.training for module in backbone.modules())


def test_a_whole_network_of_a_backbone_has_its_weights_and_trains_them(split):
    whole = settled(seeded(lambda: Subnet(SPACE.baseline("aspp").graph())))
    backbone = Backbone(split, list(whole.nodes)[: len(split.prefix)])
    network = seeded(lambda: backbone.network(SPACE.baseline("dpc_cityscapes").graph()), 5)
    for ours, theirs in zip(network.nodes, whole.nodes[: len(split.prefix)], strict=False):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    network.logits(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.nodes[0].parameters())
    assert all(parameter.grad is None for parameter in backbone.parameters())  # a copy is trained


def test_what_is_not_of_the_cut_is_refused(split, tiny_space):
    graph = tiny_space.cover()[0].graph()
    with pytest.raises(UsageError, match="does not begin with the backbone"):
        split.require(graph)
    narrow = BackboneSplit(split.prefix, split.taps[1:])
    with pytest.raises(UsageError, match=rf"reads nodes \[{split.taps[0]}\]"):
        NetworkHead(SPACE.baseline("aspp").graph(), narrow)


# A backbone from a file


CALIBRATION = [torch.rand(4, 3, 32, 32)]


def test_a_backbone_of_a_network_of_its_chain(split, tmp_path):
    portrait = PortraitSpace(32, 32, 8, (8, 8, 16, 16), (1, 2, 1, 1), decoder_channels=8)
    one = portrait.architecture(portrait.read(CHAIN))
    whole = settled(seeded(lambda: Subnet(one.graph())))
    file = tmp_path / "winner.safetensors"
    save_weights(whole, file)
    # At output stride 32 the chain is portrait's own: as it is. At 16 its last stage keeps its size, and is dilated.
    for stride, same in ((32, True), (16, False)):
        space = parse_space(f"{SPACE.text},output_stride={stride}")
        backbone = load_backbone(file, split_of(space), CALIBRATION)
        statistics = [part.running_mean for part in backbone.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        theirs = [part.running_mean for part in whole.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        equal = [torch.equal(a, b) for a, b in zip(statistics, theirs, strict=False)]
        assert all(equal) == same
        ours, before = list(backbone.parameters()), list(whole.nodes[: len(backbone.nodes)].parameters())
        assert all(torch.equal(a, b) for a, b in zip(ours, before, strict=True))
    with pytest.raises(EnvironmentMismatchError, match=r"node 1 is mbconv_k3.*has sepconv_k3 .*there"):
        load_backbone(file, split_of(parse_space(f"{SPACE.text.replace('m3-s5', 's3-s5')}")), CALIBRATION)


def test_a_backbone_of_a_supernet(split, tmp_path):
    portrait = PortraitSpace(32, 32, 8, (8, 8, 16, 16), (1, 2, 1, 1), decoder_channels=8)
    supernet = seeded(lambda: Supernet(portrait))
    save_weights(supernet, tmp_path / "supernet.safetensors")
    backbone = load_backbone(tmp_path / "supernet.safetensors", split, CALIBRATION)
    extracted = supernet.extract(portrait.architecture(portrait.read(CHAIN)))
    for ours, theirs in zip(backbone.nodes, extracted.nodes, strict=False):
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    other = split_of(parse_space(f"{SPACE.text.replace('stem_channels=8', 'stem_channels=4')}"))
    with pytest.raises(EnvironmentMismatchError, match="has no conv_k3 3->4"):
        load_backbone(tmp_path / "supernet.safetensors", other, CALIBRATION)
