"""What the CPU plugin made of a network: the execution graph's nodes, their kernels' precision, and what stands at the borders.

The graph is read from a compiled model; nothing here imports OpenVINO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

INT8 = ("i8", "u8")
CONVERSIONS = ("Reorder", "Convert", "FakeQuantize")
"""Layers that change only how numbers are laid out or written."""


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """A node of the execution graph: its layer (`Convolution`), its kernel's precision (`f32`), the names of the operations
    that were fused into it, and the names of the nodes that feed it, constants left out."""

    name: str
    layer: str
    precision: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]


def execution_graph(compiled: Any) -> list[ExecutedNode]:
    """The nodes of an `openvino.CompiledModel`, in topological order; constants and what is made of them are left out."""
    nodes: list[ExecutedNode] = []
    constant: set[str] = set()
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        name, layer = op.get_friendly_name(), _text(info, "layerType")
        sources = [op.input_value(index).get_node().get_friendly_name() for index in range(op.get_input_size())]
        if layer == "Const" or (sources and constant.issuperset(sources)):
            constant.add(name)
            continue
        nodes.append(
            ExecutedNode(
                name=name,
                layer=layer,
                precision=_text(info, "runtimePrecision").lower(),
                operations=tuple(filter(None, _text(info, "originalLayersNames").split(","))),
                inputs=tuple(source for source in sources if source not in constant),
            )
        )
    return nodes


def int8_share(nodes: Sequence[ExecutedNode], quantisers: frozenset[str] = frozenset()) -> float:
    """The share, from 0 to 1, of the layers proper (conversions left out) whose kernel is of eight-bit integers."""
    others = ("Input", "Output", "Reshape")
    layers = [node for node in nodes if node.layer not in others and not _is_conversion(node, quantisers)]
    return sum(node.precision in INT8 for node in layers) / len(layers) if layers else 0.0


def border_nodes(nodes: Sequence[ExecutedNode], quantisers: frozenset[str] = frozenset()) -> set[str]:
    """Names of the conversions between the network's inputs and its first layers, and its last layers and outputs.

    A conversion in the middle is the network's own. `quantisers` are the names of its `FakeQuantize` operations, which the
    plugin may run as a `Subgraph`.
    """
    inputs, outputs = ({node.name for node in nodes if node.layer == layer} for layer in ("Input", "Output"))
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for source in node.inputs:
            readers.setdefault(source, set()).add(node.name)
    conversions = [node for node in nodes if _is_conversion(node, quantisers)]
    before, after = set(inputs), set(outputs)
    for node in conversions:
        if before.issuperset(node.inputs):
            before.add(node.name)
    for node in reversed(conversions):
        if readers.get(node.name) and after.issuperset(readers[node.name]):
            after.add(node.name)
    return (before - inputs) | (after - outputs)


def _is_conversion(node: ExecutedNode, quantisers: frozenset[str]) -> bool:
    fused = node.layer == "Subgraph" and node.operations and quantisers.issuperset(node.operations)
    return node.layer in CONVERSIONS or bool(fused)


def _text(info: Mapping[str, Any], key: str) -> str:
    value = info[key]
    return str(getattr(value, "value", value))
