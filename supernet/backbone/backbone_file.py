"""Reads a trained backbone from a file: a subnet (such as a search's `winner.safetensors`), a supernet, or EfficientNet-Lite0's
ImageNet weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from latlas.errors import EnvironmentMismatchError
from latlas.spaces.graph import Graph, Node
from latlas.spaces.lite0 import lite0_encoder
from latlas.spaces.macro import encoder_nodes
from latlas.supernet.backbone.lite0 import is_torch_file, load_lite0, weights_file
from latlas.supernet.backbone.split import Backbone, BackboneSplit
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import file_kind, load_subnet, load_supernet
from latlas.supernet.operators.build import build_operator

_OF_PLACE = ("height", "width", "stride", "dilation")
"""Fields of a spec that do not change the shapes of its weights, so the file's network may differ in them."""


def backbone_kind(path: Path) -> str:
    """The kind of a backbone's file (or of `imagenet`): `supernet`, `subnet` or `lite0`. Raises what `load_backbone` raises."""
    path = weights_file(path)
    return "lite0" if is_torch_file(path) else file_kind(path)


def load_backbone(path: Path, split: BackboneSplit, calibration: Sequence[Tensor]) -> Backbone:
    """The backbone before a split, with the weights that the file's network has at the same nodes.

    The path `imagenet` stands for EfficientNet-Lite0's published weights; their package must be installed.

    The file's nodes may differ in size, stride and dilation, for example if they were trained at another output stride. If
    stride or dilation differ, or the weights come from a supernet, the batch statistics are computed anew from the
    `calibration` images, float batches `(N, 3, H, W)` in 0..1. Otherwise they stay the same.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken or holds neither a subnet nor a supernet.
        EnvironmentMismatchError: Its network has another operator at one of the nodes. The message names the node.
    """
    kind, path = backbone_kind(path), weights_file(path)
    if kind == "lite0":
        return _lite0(path, split, calibration)
    if kind == "supernet":
        supernet = load_supernet(path)
        modules = [_shared(supernet, index, node, path) for index, node in enumerate(split.prefix)]
        return Backbone(split, modules).recalibrated(calibration)
    subnet = load_subnet(path)
    modules = []
    for index, node in enumerate(split.prefix):
        if index >= len(subnet.graph) or _weights_of(subnet.graph[index]) != _weights_of(node):
            found = subnet.graph[index].spec if index < len(subnet.graph) else "nothing"
            raise EnvironmentMismatchError(
                f"{path}: node {index} is {found}, the space's backbone has {node.spec} there; name a network with that "
                "backbone, or a space with this network's"
            )
        modules.append(_moved(subnet.nodes[index], node))
    backbone = Backbone(split, modules)
    return backbone if _same(split.prefix, subnet.graph) else backbone.recalibrated(calibration)


def _lite0(path: Path, split: BackboneSplit, calibration: Sequence[Tensor]) -> Backbone:
    first = split.prefix[0].spec
    stem, blocks = lite0_encoder(first.height, first.width)
    chain = encoder_nodes(stem, blocks)
    weights = [(index, _weights_of(node)) for index, node in enumerate(chain)]
    if weights != [(index, _weights_of(node)) for index, node in enumerate(split.prefix)]:
        raise EnvironmentMismatchError(
            f"{path}: has EfficientNet-Lite0's weights, but the space's backbone begins with {first}; "
            "name weights of that backbone, or a space with backbone=efficientnet_lite0"
        )
    backbone = Backbone(split, load_lite0(path, split.prefix))
    return backbone if _same(split.prefix, tuple(chain)) else backbone.recalibrated(calibration)


def _same(prefix: Graph, graph: Graph) -> bool:
    """Whether two networks have the same strides and dilations at the prefix's nodes. Their sizes may differ."""
    return all(
        (one.spec.stride, one.spec.dilation) == (other.spec.stride, other.spec.dilation)
        for one, other in zip(prefix, graph, strict=False)
    )


def _shared(supernet: Supernet, index: int, node: Node, path: Path) -> nn.Module:
    try:
        return _moved(supernet.operator(index, node.spec), node)
    except (KeyError, RuntimeError):  # there is no such operator, or it has other channels
        raise EnvironmentMismatchError(
            f"{path}: the supernet of {supernet.space.text} has no {node.spec} at node {index}, but the backbone has one; "
            "name a supernet of that backbone's space"
        ) from None


def _moved(module: nn.Module, node: Node) -> nn.Module:
    """A copy of a module with the stride and dilation of a node."""
    built = build_operator(node.spec)
    built.load_state_dict(module.state_dict())
    return built


def _weights_of(node: Node) -> tuple[object, ...]:
    record = {name: value for name, value in node.spec.to_record().items() if name not in _OF_PLACE}
    return node.inputs, record
