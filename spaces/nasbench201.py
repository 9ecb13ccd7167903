"""The `nasbench201` space (Dong and Yang 2020): a cell of six edges, each one of five operators, stacked in three stages.

    image -> conv 3x3 -> cells at 16 channels -> basic block, stride 2 -> cells at 32 -> basic block -> cells at 64 -> classifier

A cell has four nodes. Node j is the sum of the outputs of the operators at the edges (i, j) with i < j. All cells of a network
are equal. The space is for latency: networks are built, measured and predicted, but not trained as a supernet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from latlas.errors import UnknownOperatorError, UsageError
from latlas.spaces.graph import INPUT, Graph, Node, check_graph
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.settings import sizes_that_work
from latlas.spaces.space import SearchSpace

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""`(from, to)` of each edge of a cell, in the order of an architecture's text."""
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
_MAX_TEXT = 400
_EDGE = re.compile(r"([a-z0-9_]{1,40})~(\d{1,4})")


@dataclass(frozen=True)
class NasBench201(SearchSpace):
    """A space of 15,625 networks. The first stage has `channels`, each reduction doubles them; each stage has `cells` cells.

    An architecture is written as in the benchmark: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
    """

    name: ClassVar[str] = "nasbench201"
    widened_by: ClassVar[tuple[str, ...]] = ("height", "width", "channels", "cells")
    short_names: ClassVar[dict[str, str]] = {name: name for name in OPERATORS}

    height: int = 32
    width: int = 32
    channels: int = 16
    cells: int = 5
    num_classes: int = 10

    def __post_init__(self) -> None:
        for field, least, most in (("channels", 1, 2048), ("cells", 1, 64), ("num_classes", 1, 100_000)):
            if not least <= getattr(self, field) <= most:
                raise UsageError(f"{field} is {getattr(self, field)}; it must be {least} to {most}")
        for field in ("height", "width"):
            value = getattr(self, field)
            if not 4 <= value <= 8192 or value % 4:
                fitting = sizes_that_work(min(self.height, 8192), min(self.width, 8192), 4)
                raise UsageError(
                    f"{field} is {value}; nasbench201 needs a multiple of 4 up to 8192, for two halvings; {fitting}"
                )

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        return (OPERATORS,) * len(EDGES)

    @property
    def stages(self) -> tuple[int, ...]:
        return (1, 2, 3)

    def write(self, operators: tuple[str, ...]) -> str:
        labelled = [f"{name}~{source}" for name, (source, _) in zip(operators, EDGES, strict=True)]
        return "+".join(f"|{'|'.join(labelled[stage])}|" for stage in self.stage_slices())

    def read(self, body: str) -> tuple[str, ...]:
        what = f"architecture {body[:120]!r}"
        if "|" not in body or len(body) > _MAX_TEXT:
            raise UsageError(f"{what} is not of {self.text}; it is written such as {EXAMPLE}")
        nodes = body.strip().split("+")
        if len(nodes) != 3:
            raise UsageError(f"{what} has {len(nodes)} nodes, parted by +; {self.text} has 3, such as {EXAMPLE}")
        found: list[str] = []
        for number, node in enumerate(nodes, 1):
            node = node.strip()
            edges = node[1:-1].split("|")
            if not (len(node) > 1 and node[0] == node[-1] == "|") or len(edges) != number:
                raise UsageError(
                    f"{what}: node {number} is {node[:80]!r}; it must have {number} operators, each after a |, "
                    f"and a | at the end"
                )
            for source, edge in enumerate(edges):
                match = _EDGE.fullmatch(edge)
                if match is None or int(match[2]) != source:
                    raise UsageError(
                        f"{what}: {edge[:60]!r} of node {number} must be operator~{source}, which reads node {source}"
                    )
                if match[1] not in OPERATORS:
                    raise UnknownOperatorError(f"{what} has no operator {match[1]!r}; it has {', '.join(OPERATORS)}")
                found.append(match[1])
        return tuple(found)

    def recognises(self, text: str) -> bool:
        return text.startswith("|")

    def graph(self, operators: tuple[str, ...]) -> Graph:
        nodes = [Node(OpSpec("conv", 3, self.channels, self.height, self.width, kernel_size=3), (INPUT,))]
        channels, height, width = self.channels, self.height, self.width
        for stage in range(3):
            if stage:
                block = OpSpec("basic_block", channels, 2 * channels, height, width, stride=2)
                nodes.append(Node(block, (len(nodes) - 1,)))
                channels, height, width = 2 * channels, height // 2, width // 2
            for _ in range(self.cells):
                _append_cell(nodes, operators, (channels, channels, height, width))
        head = OpSpec("classifier", channels, self.num_classes, height, width, stride=max(height, width))
        nodes.append(Node(head, (len(nodes) - 1,)))
        graph = tuple(nodes)
        check_graph(graph)
        return graph


def _append_cell(nodes: list[Node], operators: tuple[str, ...], place: tuple[int, int, int, int]) -> None:
    """Add a cell that reads the last node; the cell's sum is then the last node."""
    values = [len(nodes) - 1]
    for target in (1, 2, 3):
        total: int | None = None
        for name, (source, to) in zip(operators, EDGES, strict=True):
            if to == target:
                nodes.append(Node(_operator(name, place), (values[source],)))
                if total is not None:
                    nodes.append(Node(OpSpec("add", *place), (total, len(nodes) - 1)))
                total = len(nodes) - 1
        assert total is not None
        values.append(total)


def _operator(name: str, place: tuple[int, int, int, int]) -> OpSpec:
    match name:
        case "none":
            return OpSpec("zeroize", *place)
        case "skip_connect":
            return OpSpec("skip", *place)
        case "nor_conv_1x1":
            return OpSpec("relu_conv", *place, kernel_size=1)
        case "nor_conv_3x3":
            return OpSpec("relu_conv", *place, kernel_size=3)
        case _:
            return OpSpec("avg_pool", *place, kernel_size=3)
