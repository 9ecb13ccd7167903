"""What a predictor sees of a network: numbers of its live nodes and of the edges between them.

Every feature is a sum over nodes or edges, so a linear model of them is a cost a node and a cost an edge. Node features
are in milliseconds where there is a table: the operator's isolated latency, once in the total, once in its kind at its
resolution, once by itself. Without a table a crude unit of multiply-adds and memory traffic takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod

from latlas.latency.graph import INPUT, Node, executed_inputs
from latlas.latency.ops import OpSpec

CostOf = Callable[[OpSpec], float]
Features = dict[str, float]

GROUPS = ("base", "kind", "spec", "pair")
"""Feature groups by their name's first word; a model penalises each to its own degree."""


def unit_cost(spec: OpSpec) -> float:
    """A rough milliseconds of an operator without a table: 20 multiply-adds and 2 elements moved a nanosecond."""
    elements = sum(prod(shape) for shape in spec.input_shapes) + prod(spec.output_shape)
    return spec.macs / 20e6 + elements / 2e6 + 1e-3


@lru_cache(maxsize=65536)
def _names(spec: OpSpec) -> tuple[str, str]:
    return f"kind {spec.name} {spec.height}x{spec.width}", f"spec {spec}"


def node_features(spec: OpSpec, cost: float) -> Features:
    """Features of one node whose cost is `cost` milliseconds; the node's share of the network's features."""
    kind, own = _names(spec)
    return {"base cost": cost, "base macs": spec.macs / 1e8, "base nodes": 0.01, kind: cost, own: cost}


def edge_name(producer: OpSpec, consumer: OpSpec) -> str:
    """The feature of an edge: which operators meet at which resolution."""
    return f"pair {producer.name} {consumer.name} {consumer.height}x{consumer.width}"


EDGE_VALUE = 0.05
"""Milliseconds that an edge feature counts, so that its coefficient is of the size of the others'."""


def features(graph: Sequence[Node], cost_of: CostOf) -> Features:
    """All features of a network by name; what the runtime drops is left out."""
    total: Features = {}
    for index, sources in executed_inputs(graph).items():
        node = graph[index]
        for name, value in node_features(node.spec, cost_of(node.spec)).items():
            total[name] = total.get(name, 0.0) + value
        for source in sources:
            if source != INPUT:
                name = edge_name(graph[source].spec, node.spec)
                total[name] = total.get(name, 0.0) + EDGE_VALUE
    return total
