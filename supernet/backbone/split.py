"""Networks split in two: a frozen backbone that all networks of a space share, and the head, which reads its features.

Dense Prediction Cells are compared on one trained backbone (Chen et al. 2018, arXiv 1809.04184, section 3.3): the features
at the split are the same for all cells, so they are computed once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from latlas.errors import UsageError
from latlas.spaces.graph import INPUT, Graph, Node, graph_hash
from latlas.spaces.space import SearchSpace
from latlas.supernet.networks.network import Subnet, logits_graph
from latlas.supernet.networks.recalibrate import renew_statistics
from latlas.supernet.operators.build import build_operator


@dataclass(frozen=True, slots=True)
class BackboneSplit:
    """Where networks are split. `prefix` are the nodes that all networks begin with; `taps` are the prefix's nodes that later
    nodes read, in order."""

    prefix: Graph
    taps: tuple[int, ...]

    def require(self, graph: Graph) -> None:
        """Raise `UsageError` if the graph does not begin with the prefix, or reads nodes of it other than the taps."""
        if graph[: len(self.prefix)] != self.prefix:
            raise UsageError(f"network {graph_hash(graph)} does not begin with the backbone {graph_hash(self.prefix)}")
        other = _read_of(graph, len(self.prefix)) - set(self.taps)
        if other:
            raise UsageError(
                f"network {graph_hash(graph)} reads nodes {sorted(other)} of the backbone, not of the split"
            )


def common_split(graphs: Iterable[Graph]) -> BackboneSplit:
    """The split after the longest run of first nodes that are equal in all graphs, in spec and inputs.

    Raises `UsageError` if the graphs have no first node in common, if a graph has nothing after the common nodes, or if a
    node after them reads the image itself.
    """
    graphs = list(graphs)
    if not graphs:
        raise UsageError("no graphs were given to split; at least one is needed")
    first, length = graphs[0], len(graphs[0])
    for graph in graphs:
        length = min(length, len(graph))
        length = next((i for i in range(length) if graph[i] != first[i]), length)
    if not length:
        raise UsageError("the networks have no first node in common; there is no backbone to freeze")
    if any(len(logits_graph(graph)) <= length for graph in graphs):
        raise UsageError("a network has nothing behind the nodes that all have in common; there is nothing to train")
    taps = set[int]().union(*(_read_of(graph, length) for graph in graphs))
    if INPUT in taps:
        raise UsageError("a node behind the common ones reads the image; its features alone do not feed the head")
    return BackboneSplit(first[:length], tuple(sorted(taps)))


def split_of(space: SearchSpace) -> BackboneSplit:
    """The split for all networks of a space, baselines included. Raises `UsageError` if they have no node in common."""
    return common_split(
        [*(one.graph() for one in space.cover()), *(space.baseline(n).graph() for n in space.baselines)]
    )


def _read_of(graph: Graph, length: int) -> set[int]:
    return {source for node in graph[length:] for source in node.inputs if source < length}


class Backbone(nn.Module):
    """The nodes before a split, with trained weights. It is frozen and always in inference mode.

    `forward` maps images `(N, 3, H, W)` in 0..1 to the features `(N, C, H, W)` at each tap of the split.
    """

    def __init__(self, split: BackboneSplit, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.split = split
        self.nodes = nn.ModuleList(modules)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        """Stay in inference mode, whatever `mode` is."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = list(_run(enumerate(self.split.prefix), self.nodes, {INPUT: images}))
        return tuple(outputs[tap] for tap in self.split.taps)

    def recalibrated(self, batches: Iterable[Tensor]) -> Backbone:
        """The same backbone with new batch statistics, for weights of a supernet or of another output stride."""

        def passes() -> Iterator[int]:
            for batch in batches:
                self(batch.contiguous(memory_format=torch.channels_last))
                yield batch.shape[0]

        renew_statistics(self, passes())
        return self

    def network(self, graph: Graph) -> Subnet:
        """A whole network, ready to be trained, that begins with a copy of these weights. The head is freshly initialised
        from torch's global generator. Raises `UsageError` for a graph that does not fit the split."""
        self.split.require(graph)
        backbone = [copy.deepcopy(module).requires_grad_(True) for module in self.nodes]
        return Subnet(graph, [*backbone, *(build_operator(node.spec) for node in graph[len(backbone) :])])


class NetworkHead(nn.Module):
    """The nodes after a split, freshly initialised from torch's global generator. `logits` takes the features at the taps."""

    def __init__(self, graph: Graph, split: BackboneSplit) -> None:
        super().__init__()
        split.require(graph)
        self.split, self.graph = split, graph
        first = len(split.prefix)
        self.nodes = nn.ModuleDict(
            {str(index): build_operator(node.spec) for index, node in enumerate(logits_graph(graph)) if index >= first}
        )

    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """Logits `(N, classes, H, W)` for the features `(N, C, H, W)` of each tap."""
        fed = dict(zip(self.split.taps, features, strict=True))
        behind = [(int(index), self.graph[int(index)]) for index in self.nodes]
        modules = {index: self.nodes[str(index)] for index, _ in behind}
        return list(_run(behind, modules, fed))[-1]


def _run(
    nodes: Iterable[tuple[int, Node]], modules: nn.ModuleList | dict[int, nn.Module], known: dict[int, Tensor]
) -> Iterator[Tensor]:
    """The outputs of the nodes, in order. Nodes read the `known` outputs and each other's."""
    outputs = dict(known)
    for index, node in nodes:
        outputs[index] = cast(Tensor, modules[index](*(outputs[source] for source in node.inputs)))
        yield outputs[index]
