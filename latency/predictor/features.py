"""The features that a predictor sees of a network: numbers of its live nodes and of the edges between them.

Every feature is a sum over nodes or edges, so a linear model of them is a cost for each node and each edge. With a table,
node features are in milliseconds. The operator's isolated latency counts four times: in the total, in its kind, in its kind
at its resolution, and by itself. Without a table, a rough estimate from multiply-adds and memory traffic takes its place.
An edge has two features: which operators meet, in elements passed on, and which meet at which resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod

from latlas.errors import MissingEntryError
from latlas.spaces.graph import INPUT, Node, executed_inputs
from latlas.spaces.operators.spec import OpSpec

CostOf = Callable[[OpSpec], float]

GROUPS = {"base": 0.1, "kind": 0.1, "place": 0.1, "spec": 0.05, "pair": 0.3, "meeting": 0.3}
"""Feature groups by the first word of their names, with the prior spread of their coefficients before learning."""
TOTAL = "base cost"
"""The feature whose coefficient is expected to be near one: the sum of the operators' isolated latencies."""


class CostList:
    """Looks up the isolated milliseconds of operators; a missing operator is an error that names it."""

    def __init__(self, costs: Mapping[OpSpec, float]) -> None:
        self.costs = dict(costs)

    def __call__(self, spec: OpSpec) -> float:
        try:
            return self.costs[spec]
        except KeyError:
            raise MissingEntryError(
                f"the predictor has no latency of {spec}; measure it with `latlas profile-ops --update` and fit again"
            ) from None


@lru_cache(maxsize=65536)
def unit_cost(spec: OpSpec) -> float:
    """Rough milliseconds of an operator without a table: 20 multiply-adds or 2 moved elements take a nanosecond."""
    return spec.macs / 20e6 + moved(spec) / 2e6 + 1e-3


def moved(spec: OpSpec) -> int:
    """Elements that an operator reads and writes at its borders."""
    return sum(prod(shape) for shape in spec.input_shapes) + prod(spec.output_shape)


@lru_cache(maxsize=65536)
def _names(spec: OpSpec) -> tuple[str, str, str]:
    return f"kind {spec.name}", f"place {spec.name} {spec.height}x{spec.width}", f"spec {spec}"


@lru_cache(maxsize=65536)
def node_features(spec: OpSpec, cost: float) -> dict[str, float]:
    """What one node with a cost of `cost` milliseconds adds to the network's features."""
    base = {TOTAL: cost, "base macs": spec.macs / 1e8, "base moved": moved(spec) / 1e7, "base nodes": 0.01}
    return base | dict.fromkeys(_names(spec), cost)


EDGE_VALUE = 0.05
"""How many milliseconds an edge counts as, so that its coefficients are as large as the others."""
EDGE_ELEMENTS = 1e5
"""How many passed-on elements count as one edge."""


def edge_name(producer: OpSpec, consumer: OpSpec) -> str:
    """Which operators meet at which resolution."""
    return f"meeting {producer.name} {consumer.name} {consumer.height}x{consumer.width}"


@lru_cache(maxsize=65536)
def edge_features(producer: OpSpec, consumer: OpSpec) -> dict[str, float]:
    """The two features of an edge: which operators meet, weighted by the elements passed on, and at which resolution."""
    return {
        f"pair {producer.name} {consumer.name}": EDGE_VALUE * prod(producer.output_shape) / EDGE_ELEMENTS,
        edge_name(producer, consumer): EDGE_VALUE,
    }


def features(graph: Sequence[Node], cost_of: CostOf) -> dict[str, float]:
    """All features of a network by name, without the nodes that the runtime does not execute (`executed_inputs`)."""
    total: dict[str, float] = {}
    for index, sources in executed_inputs(graph).items():
        spec = graph[index].spec
        for name, value in node_features(spec, cost_of(spec)).items():
            total[name] = total.get(name, 0.0) + value
        for source in sources:
            if source != INPUT:
                for name, value in edge_features(graph[source].spec, spec).items():
                    total[name] = total.get(name, 0.0) + value
    return total
