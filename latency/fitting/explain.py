"""`predict --explain`: an architecture's predicted milliseconds by layer, and how much each layer's fastest operator saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.latency.predictor.explain import CONSTANT, grouped, grouped_se, node_parts, shapley
from latlas.latency.predictor.features import unit_cost
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.spaces.graph import Graph, live_nodes
from latlas.spaces.space import Architecture

LAYER = "layer "
"""The name of a part that a choice decides; the layer's number, from 1, follows."""
DRAWN = 64
"""How many networks a layer's share is compared with if the predictor is not linear."""


@dataclass(frozen=True, slots=True)
class Part:
    """A layer or a fixed part: its operator, its milliseconds, its share of the whole, and the layer's fastest operator.

    `stage` is the stride of its output, for example `S8`. `se_ms` is None if it is not known. `fastest` and `saves_ms` are None
    for a part that no choice decides; `fastest` is the operator itself if none is faster.
    """

    part: str
    stage: str
    operator: str
    latency_ms: float
    share: float
    se_ms: float | None
    fastest: str | None = None
    saves_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of a prediction, which sum to `latency_ms`; `method` is `linear` or `shapley`.

    `fixed_ms` is the sum of all parts that no choice decides, with the constant. Every network has all of them, so their sum is
    known far better than each part. `fixed_se_ms` is the standard error of the sum, if it is known.
    """

    architecture: str
    latency_ms: float
    method: str
    parts: tuple[Part, ...]
    fixed_ms: float
    fixed_se_ms: float | None

    def to_record(self) -> dict[str, Any]:
        """A record of plain numbers and texts."""
        return asdict(self)


def explain(
    predictor: LatencyPredictor, architecture: Architecture, seed: int = 0, alternatives: bool = True
) -> Explanation:
    """Milliseconds of each layer and fixed part; they sum to the prediction. `seed` draws the networks for Shapley values.

    Without `alternatives`, the fastest operators and the standard errors are left out, which takes much less time.
    """
    graph = architecture.graph()
    total = float(predictor.latency_ms([graph])[0])
    groups = _groups(architecture)
    members = [list(nodes) for _, nodes, _ in groups]
    found = node_parts(predictor, graph, covariances=alternatives)
    se: FloatArray | None = None
    if found is not None:
        method, constant = "linear", float(found.latency_ms[-1])
        latency_ms = grouped(found.latency_ms, members)
        if found.covariance_ms2 is not None:
            se = grouped_se(found.covariance_ms2, [*members, [len(graph)]])
    else:
        method, constant = "shapley", 0.0
        latency_ms, se = _sampled(predictor, architecture, members, seed)
    options = {} if architecture.is_baseline or not alternatives else _options(predictor, architecture)
    rows = []
    for index, (name, nodes, layer) in enumerate(groups):
        choice = options.get(layer) if layer is not None else None
        fastest = min(choice, key=lambda operator: choice[operator]) if choice else None
        rows.append(
            Part(
                name,
                _stage(graph, nodes),
                architecture.operators[layer] if layer is not None else ", ".join(_kinds(graph, nodes)),
                float(latency_ms[index]),
                float(latency_ms[index]) / total,
                None if se is None else float(se[index]),
                fastest,
                None
                if choice is None or fastest is None
                else choice[architecture.operators[layer or 0]] - choice[fastest],
            )
        )
    if method == "linear":
        rows.append(Part(CONSTANT, "", "", constant, constant / total, None if se is None else float(se[-1])))
    fixed_ms = sum(row.latency_ms for row in rows if not row.part.startswith(LAYER))
    fixed_se = None
    if found is not None and found.covariance_ms2 is not None:
        both = [node for _, nodes, layer in groups if layer is None for node in nodes] + [len(graph)]
        fixed_se = float(grouped_se(found.covariance_ms2, [both])[0])
    return Explanation(str(architecture), total, method, tuple(rows), fixed_ms, fixed_se)


def _groups(architecture: Architecture) -> list[tuple[str, list[int], int | None]]:
    """`(name, nodes, layer or None)` of each part, in the order of the graph."""
    graph = architecture.graph()
    layer_of: list[int | None] = (
        [None] * len(graph) if architecture.is_baseline else architecture.space.searchable_nodes()
    )
    chosen = [index for index, layer in enumerate(layer_of) if layer is not None]
    found: dict[tuple[str, int | None], list[int]] = {}
    for index, layer in enumerate(layer_of):
        name = f"{LAYER}{layer + 1}" if layer is not None else _fixed_name(graph, index, chosen)
        found.setdefault((name, layer), []).append(index)
    return [(name, nodes, layer) for (name, layer), nodes in found.items()]


def _fixed_name(graph: Graph, index: int, chosen: Sequence[int]) -> str:
    """The name of a fixed node: its kind, or its place in the network."""
    kinds = [node.spec.kind for node in graph]
    if kinds[index] in ("aspp", "head"):
        return kinds[index]
    if kinds[index] == "probability":
        return "head"
    # The part behind the backbone ends with ASPP, or with a cell's concatenation and its 1x1 convolution.
    ends = [kinds.index(kind) + more for kind, more in (("aspp", 0), ("concat", 1)) if kind in kinds]
    if ends and index > ends[0]:
        return f"decoder {_stage(graph, [index])}"
    if "concat" in kinds and index >= kinds.index("concat"):
        return "cell output"
    if index == 0:
        return "stem"
    if chosen and index < chosen[0]:
        return "backbone"
    return f"node {index}" if not chosen else "fixed"


def _stage(graph: Graph, nodes: Sequence[int]) -> str:
    """The stride of the last node's output, relative to the image."""
    height = graph[nodes[-1]].spec.output_size[0]
    return f"S{max(1, round(graph[0].spec.height / height))}"


def _kinds(graph: Graph, nodes: Sequence[int]) -> list[str]:
    return list(dict.fromkeys(graph[index].spec.name for index in nodes))


def _options(predictor: LatencyPredictor, architecture: Architecture) -> dict[int, dict[str, float]]:
    """By layer, the network's milliseconds with each operator that the layer may have."""
    own = architecture.operators
    pairs = [(layer, name) for layer, options in enumerate(architecture.space.choices) for name in options]
    graphs = [architecture.space.architecture([*own[:i], name, *own[i + 1 :]]).graph() for i, name in pairs]
    found: dict[int, dict[str, float]] = {}
    for (layer, name), ms in zip(pairs, predictor.latency_ms(graphs), strict=True):
        found.setdefault(layer, {})[name] = float(ms)
    # The network's own operator comes first, so it wins a tie.
    return {layer: {own[layer]: ms.pop(own[layer]), **ms} for layer, ms in found.items()}


def _sampled(
    predictor: LatencyPredictor, architecture: Architecture, members: Sequence[Sequence[int]], seed: int
) -> tuple[FloatArray, FloatArray | None]:
    """Milliseconds of each part and their standard errors, from the mean network's operator costs and from Shapley values.

    A baseline has no layers to exchange: its milliseconds are divided in proportion to its operators' costs.
    """
    cost_of, space = predictor.cost_of or unit_cost, architecture.space

    def costs(graph: Graph) -> FloatArray:
        live = set(live_nodes(graph))
        per_node = np.array([cost_of(node.spec) if i in live else 0.0 for i, node in enumerate(graph)])
        return grouped(per_node, members)

    graph = architecture.graph()
    if architecture.is_baseline:
        share = costs(graph) / costs(graph).sum()
        return share * float(predictor.latency_ms([graph])[0]), None
    rng = np.random.default_rng(seed)
    drawn = [space.random(rng) for _ in range(DRAWN)]

    def predict(rows: npt.NDArray[np.int_]) -> FloatArray:
        return predictor.latency_ms([one.graph() for one in space.decode(rows)])

    found = shapley(predict, space.encode([architecture])[0].tolist(), space.encode(drawn), rng)
    mean_cost = np.mean([costs(one.graph()) for one in drawn], axis=0)
    latency_ms, se = found.base_ms * mean_cost / mean_cost.sum(), np.zeros(len(members))
    layer_of = space.searchable_nodes()
    for index, nodes in enumerate(members):
        layer = layer_of[nodes[0]]
        if layer is not None:
            latency_ms[index] += found.latency_ms[layer]
            se[index] = found.se_ms[layer]
    return latency_ms, se
