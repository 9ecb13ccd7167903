"""The fixed parts around a searchable part: the encoder before the context; the decoder, head and probability behind it.

    image -> stem S2 -> blocks S4 .. S32 -> context -> decoder that adds encoder features -> head -> probability

Each decoder step enlarges by two, adds a 1x1 of the encoder's feature at that stride, and refines with a separable
convolution; the head classifies at S4 and enlarges by four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from latlas.spaces.graph import INPUT, Node
from latlas.spaces.operators.spec import OpSpec, kind_of

DECODER_STRIDES = (16, 8, 4)


def portrait_stem(height: int, width: int, channels: int) -> OpSpec:
    """MobileNetV3's first convolution for an image of this size; it halves the image."""
    return OpSpec("conv", 3, channels, height, width, 2, 3, activation="hswish")


def encoder_nodes(stem: OpSpec, blocks: Sequence[OpSpec]) -> list[Node]:
    """The stem, which reads the image and halves it, and the chain of blocks."""
    nodes = [Node(stem, (INPUT,))]
    for spec in blocks:
        nodes.append(Node(spec, (len(nodes) - 1,)))
    return nodes


def encoder_features(nodes: Sequence[Node], height: int) -> dict[int, int]:
    """The index of the encoder's last node at each output stride."""
    return {height // node.spec.output_size[0]: index for index, node in enumerate(nodes) if index}


def append_decoder(nodes: list[Node], encoder: dict[int, int], height: int, decoder: int, num_classes: int) -> None:
    """Add decoder, head and probability behind the last node, which has `decoder` channels at one of the encoder's strides."""
    width = height * nodes[-1].spec.output_size[1] // nodes[-1].spec.output_size[0]
    for stride in DECODER_STRIDES:
        deep, size = len(nodes) - 1, (height // stride, width // stride)
        if nodes[deep].spec.output_size[0] >= size[0]:
            continue
        lateral = OpSpec("conv", nodes[encoder[stride]].spec.out_channels, decoder, *size)
        add = OpSpec("upsample_add", decoder, decoder, *nodes[deep].spec.output_size, scale=2)
        nodes.append(Node(lateral, (encoder[stride],)))
        nodes.append(Node(add, (deep, len(nodes) - 1)))
        nodes.append(Node(OpSpec("dwsep", decoder, decoder, *size, kernel_size=3), (len(nodes) - 1,)))
    head = OpSpec("head", decoder, num_classes, height // 4, width // 4, scale=4)
    nodes.append(Node(head, (len(nodes) - 1,)))
    nodes.append(Node(OpSpec("probability", num_classes, num_classes, height, width), (len(nodes) - 1,)))


def with_output_stride(blocks: Sequence[OpSpec], height: int, output_stride: int) -> list[OpSpec]:
    """The blocks, with no halving beyond the output stride of an image of this height.

    As in DeepLabv3, a stride that would go further becomes 1, and later blocks are dilated by it if their kind can be
    (`Kind.dilates`: `mbconv`, `lite_mbconv` and `dilconv`; `sepconv` and `shuffle` keep their kernels).
    """
    held, dilation = list[OpSpec](), 1
    size = (blocks[0].height, blocks[0].width) if blocks else (0, 0)
    for spec in blocks:
        stride, own = spec.stride, spec.dilation * (dilation if kind_of(spec.kind).dilates else 1)
        if stride > 1 and height // size[0] >= output_stride:
            stride, dilation = 1, dilation * stride
        held.append(replace(spec, height=size[0], width=size[1], stride=stride, dilation=own))
        size = held[-1].output_size
    return held
