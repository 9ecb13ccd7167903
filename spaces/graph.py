"""The graph of an architecture: a small DAG of operator specs in topological order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latlas.errors import UsageError
from latlas.spaces.operators.spec import OpSpec, Shape, kind_of

INPUT = -1
"""The index of the network's own input."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operator and the indices of the nodes that feed it, in the order of its inputs; `INPUT` is the image."""

    spec: OpSpec
    inputs: tuple[int, ...]


Graph = tuple[Node, ...]

DEAD_BRANCHES = ("dropped", "unread_dropped", "executed")
"""What runtimes do with nodes that change no result: drop all of them, drop only unread ones, or run all."""


def check_graph(graph: Sequence[Node]) -> Shape:
    """The shape `(channels, height, width)` of the network's input.

    Raises `UsageError` if the graph is empty or not in topological order, if a shape does not fit, or if two nodes read the
    input in different shapes.
    """
    if not graph:
        raise UsageError("the graph has no nodes; an architecture needs at least one operator")
    image: Shape | None = None
    for index, node in enumerate(graph):
        wanted = node.spec.input_shapes
        if len(node.inputs) != len(wanted):
            raise UsageError(f"node {index} ({node.spec}) has {len(node.inputs)} inputs; it takes {len(wanted)}")
        for source, shape in zip(node.inputs, wanted, strict=True):
            if source == INPUT:
                if image not in (None, shape):
                    raise UsageError(
                        f"node {index} ({node.spec}) reads the image as {shape}, an earlier one as {image}"
                    )
                image = shape
            elif not 0 <= source < index:
                raise UsageError(f"node {index} ({node.spec}) reads node {source}; a node reads only earlier ones")
            elif graph[source].spec.output_shape != shape:
                given = graph[source].spec.output_shape
                raise UsageError(f"node {index} ({node.spec}) takes {shape}; node {source} gives {given}")
    if image is None:
        raise UsageError("no node reads the network's input")
    return image


def executed_inputs(graph: Sequence[Node], dead_branches: str = "dropped") -> dict[int, tuple[int, ...]]:
    """The nodes that the runtime executes, in the order of the graph, each with the executed nodes (or `INPUT`) that feed it.

    "dropped" (OpenVINO, TFLite, TensorRT, TF1): a node is executed if the last node depends on it and it is not computed from
    zeros alone, as a compiler folds zeros into a constant. An addition with one operand left disappears; its readers read that
    operand. "unread_dropped" (dead code is eliminated, constants are not folded): a node that reads nothing makes the zeros, and
    nodes computed from them are executed. Nodes that only zeros would have read are not. "executed" (PyTorch eager): every node
    is executed.
    """
    if check_dead_branches(dead_branches) == "executed":
        return {index: node.inputs for index, node in enumerate(graph)}
    if dead_branches == "unread_dropped":
        return _read_by_the_last(graph)
    # The source of each node's output: an executed node, the input, or None for zeros.
    stands_for: list[int | None] = []
    for index, node in enumerate(graph):
        known = kind_of(node.spec.kind)
        fed = [source if source == INPUT else stands_for[source] for source in node.inputs]
        given = [source for source in fed if source is not None]
        if known.gives_zeros or not given:
            stands_for.append(None)
        else:
            stands_for.append(given[0] if known.adds and len(given) == 1 else index)
    found: dict[int, tuple[int, ...]] = {}
    wanted = {stands_for[-1]} if graph else set()
    for index in range(len(graph) - 1, -1, -1):
        if index in wanted:
            fed = [source if source == INPUT else stands_for[source] for source in graph[index].inputs]
            found[index] = tuple(source for source in fed if source is not None)
            wanted.update(found[index])
    return dict(sorted(found.items()))


def _read_by_the_last(graph: Sequence[Node]) -> dict[int, tuple[int, ...]]:
    """The nodes that the last node depends on, if zeros depend on nothing, each with its sources."""
    found: dict[int, tuple[int, ...]] = {}
    wanted = {len(graph) - 1}
    for index in range(len(graph) - 1, -1, -1):
        if index in wanted:
            found[index] = () if kind_of(graph[index].spec.kind).gives_zeros else graph[index].inputs
            wanted.update(found[index])
    return dict(sorted(found.items()))


def live_nodes(graph: Sequence[Node], dead_branches: str = "dropped") -> list[int]:
    """Indices of the nodes that the runtime executes; see `executed_inputs`."""
    return list(executed_inputs(graph, dead_branches))


def check_dead_branches(value: str) -> str:
    """The value, if it is one of `DEAD_BRANCHES`; raises `UsageError`."""
    if value not in DEAD_BRANCHES:
        known = f"{', '.join(DEAD_BRANCHES[:-1])} or {DEAD_BRANCHES[-1]}"
        raise UsageError(f"dead_branches is {value!r:.40}; it must be {known}")
    return value


def graph_macs(graph: Iterable[Node]) -> int:
    """Multiply-adds of one inference at batch 1, by the convention of `latlas.spaces.operators.spec`."""
    return sum(node.spec.macs for node in graph)


def graph_params(graph: Iterable[Node]) -> int:
    """Parameters of the network; no two nodes share any."""
    return sum(node.spec.params for node in graph)


def distinct_specs(graphs: Iterable[Iterable[Node]]) -> list[OpSpec]:
    """Every operator in the graphs, once each, in the order of first occurrence."""
    return list(dict.fromkeys(node.spec for graph in graphs for node in graph))


def graph_hash(graph: Sequence[Node]) -> str:
    """A hash of the graph in sixteen hexadecimal digits, the same in every process and version of Python."""
    # Specs had no label when the first architectures were hashed.
    specs = [{k: v for k, v in node.spec.to_record().items() if (k, v) != ("label", "")} for node in graph]
    record = [[spec, list(node.inputs)] for spec, node in zip(specs, graph, strict=True)]
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
