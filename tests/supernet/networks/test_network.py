from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from latlas.errors import UsageError
from latlas.spaces.graph import INPUT, Node
from latlas.spaces.nasbench201 import NasBench201
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.networks.network import Subnet, Supernet, logits_graph

TINY = PortraitSpace(
    height=32,
    width=32,
    widths=(8, 8, 8, 8),
    depths=(1, 1, 1, 2),
    stem_channels=8,
    decoder_channels=8,
    aspp_channels=8,
    skip=True,
)


@pytest.fixture
def supernet():
    torch.manual_seed(0)
    return Supernet(TINY)


@pytest.fixture
def images():
    return torch.rand(3, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def drawn(count):
    return TINY.sample(count, np.random.default_rng(0)) + TINY.cover()


def test_an_extracted_subnet_is_a_copy(supernet, images):
    supernet.eval()
    architecture = drawn(1)[0]
    before = supernet(images, architecture)
    subnet = supernet.extract(architecture)
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.zero_()
    assert torch.equal(supernet(images, architecture), before)


def test_only_the_chosen_path_gets_gradients(supernet, images):
    architecture = TINY.architecture(["mbconv_k3", "sepconv_k5", "shuffle", "dilconv_k3", "skip"])
    supernet.logits(images, architecture).mean().backward()
    chosen = {supernet._key(index, node.spec) for index, node in enumerate(architecture.graph())}
    for name, module in supernet.operators.items():
        for parameter in module.parameters():
            assert (parameter.grad is not None) == (name in chosen), name


def test_the_supernet_keeps_no_active_architecture(supernet, images):
    supernet.eval()
    first, second = drawn(2)[:2]
    with torch.no_grad():
        alone = supernet(images, first)
        state = {key: value for key, value in vars(supernet).items() if not key.startswith("_")}
        supernet(images, second)
        assert torch.equal(supernet(images, first), alone)
    assert state == {key: value for key, value in vars(supernet).items() if not key.startswith("_")}


def test_every_operator_of_the_space_has_weights_and_no_baseline_has(supernet):
    per_layer = [len(options) for options in TINY.choices]
    fixed = len(TINY.cover()[0].graph()) - len(per_layer)
    assert len(supernet.operators) == sum(per_layer) + fixed
    largest = {(index, node.spec) for architecture in TINY.cover() for index, node in enumerate(architecture.graph())}
    assert sum(p.numel() for p in supernet.parameters()) == sum(spec.params for _, spec in largest)


def test_a_baseline_is_refused(supernet, images):
    baseline = TINY.baseline("mobilenetv3_small")
    with pytest.raises(UsageError, match="mobilenetv3_small is a baseline; the supernet of portrait"):
        supernet(images, baseline)
    with pytest.raises(UsageError, match="no weights for it"):
        supernet.extract(baseline)


def test_an_architecture_of_another_space_is_refused(supernet, images):
    with pytest.raises(UsageError, match="is not of the supernet's space portrait:height=32"):
        supernet(images, PortraitSpace().cover()[0])


@pytest.mark.parametrize("name", TINY.baselines)
def test_a_baseline_runs_as_a_subnet(name, images):
    architecture = TINY.baseline(name)
    subnet = Subnet(architecture.graph()).eval()
    assert sum(p.numel() for p in subnet.parameters()) == architecture.params
    with torch.no_grad():
        probability = subnet(images)
    assert probability.shape == (3, 1, 64, 32)
    assert probability.min() >= 0
    assert probability.max() <= 1


def test_probabilities_are_the_sigmoid_of_the_logits(supernet, images):
    supernet.eval()
    architecture = drawn(1)[0]
    assert logits_graph(architecture.graph()) == architecture.graph()[:-1]
    assert logits_graph(architecture.graph()[:-1]) == architecture.graph()[:-1]
    assert torch.equal(supernet.logits(images, architecture).sigmoid(), supernet(images, architecture))


@dataclass(frozen=True)
class Variants(NasBench201):
    """Of one cell whose edges have one operator each, in variants that differ in one field."""

    name: ClassVar[str] = "variants"
    fields: ClassVar[dict[str, dict[str, object]]] = {
        "plain": {},
        "dilated": {"dilation": 2},
        "active": {"activation": "relu"},
        "both": {"dilation": 2, "activation": "relu"},
    }

    @property
    def choices(self):
        return (tuple(self.fields),)

    @property
    def stages(self):
        return (1,)

    def graph(self, operators):
        return (Node(OpSpec("conv", 3, 4, 8, 8, kernel_size=3, **self.fields[operators[0]]), (INPUT,)),)


def test_variants_of_an_operator_have_weights_of_their_own_whatever_they_differ_in():
    supernet = Supernet(Variants())
    assert list(supernet.operators) == [
        "00_conv_k3_3__dilation1_activationnone",
        "00_conv_k3_3__dilation2_activationnone",
        "00_conv_k3_3__dilation1_activationrelu",
        "00_conv_k3_3__dilation2_activationrelu",
    ]


def test_the_names_of_weights_never_change():
    """As files of trained weights have them."""
    narrow = Supernet(replace(TINY, narrow_ratio=3))
    assert {"00_conv_k3", "01_mbconv_k3_8__h24", "01_mbconv_k3_8__h48", "05_shuffle", "06_aspp"} <= {*narrow.operators}
