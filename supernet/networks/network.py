"""Architectures as torch networks: the standalone subnet, and the supernet, whose weights all architectures share."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from latlas.errors import UsageError
from latlas.spaces.graph import INPUT, Graph, Node
from latlas.spaces.operators.spec import SPEC_FIELDS, OpSpec
from latlas.spaces.space import Architecture, SearchSpace
from latlas.supernet.operators.build import build_operator


def run_graph(graph: Sequence[Node], modules: Callable[[int], Callable[..., Tensor]], image: Tensor) -> Tensor:
    """The last node's output for an image `(N, C, H, W)`. `modules(i)` is the module of node i, or replaces it."""
    outputs: list[Tensor] = []
    for index, node in enumerate(graph):
        inputs = [image if source == INPUT else outputs[source] for source in node.inputs]
        outputs.append(modules(index)(*inputs))
    return outputs[-1]


def logits_graph(graph: Graph) -> Graph:
    """The graph without a `probability` at its end: its output are the logits that a loss takes."""
    return graph[:-1] if graph[-1].spec.kind == "probability" else graph


class Subnet(nn.Module):
    """A standalone network of an architecture's graph.

    `forward` gives probabilities `(N, classes, H, W)`; it is what gets exported and timed. `logits` is for a loss.
    """

    def __init__(self, graph: Graph, modules: Sequence[nn.Module] | None = None) -> None:
        super().__init__()
        self.graph = graph
        self.nodes = nn.ModuleList(modules if modules is not None else [build_operator(node.spec) for node in graph])

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities `(N, classes, H, W)` of an image `(N, 3, H, W)` in 0..1."""
        return run_graph(self.graph, self.nodes.__getitem__, image)

    def logits(self, image: Tensor) -> Tensor:
        """Logits `(N, classes, H, W)` of an image `(N, 3, H, W)` in 0..1."""
        return run_graph(logits_graph(self.graph), self.nodes.__getitem__, image)


class Supernet(nn.Module):
    """All architectures of a space with shared weights. A call runs only the path of its architecture.

    There is no active architecture: it is an argument of each call. Architectures share weights where they have the same
    operator at the same node. A node may have variants of an operator (two input widths, several dilation rates, two
    expansions); then each variant has its own weights.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.operators = nn.ModuleDict()
        places = dict.fromkeys((i, node.spec) for one in space.cover() for i, node in enumerate(one.graph()))
        variants: dict[tuple[int, str], list[OpSpec]] = defaultdict(list)
        for index, spec in places:
            variants[index, spec.name].append(spec)
        self._told_apart = {place: _differing(specs) for place, specs in variants.items() if len(specs) > 1}
        for index, spec in places:
            key = self._key(index, spec)
            assert key not in self.operators, f"{spec} of node {index} would share the weights called {key}"
            self.operators[key] = build_operator(spec)

    def operator(self, index: int, spec: OpSpec) -> nn.Module:
        """The module with the shared weights of an operator at node `index` of every graph of the space."""
        return self.operators[self._key(index, spec)]

    def _key(self, index: int, spec: OpSpec) -> str:
        """The name of an operator's weights. Variants are told apart by input channels, label, expansion and other fields."""
        if (index, spec.name) not in self._told_apart:
            return f"{index:02d}_{spec.name}"
        label = spec.label.replace(".", ",")  # a dot has a meaning in a module's name
        hidden = f"_h{spec.hidden_channels}" if spec.hidden_channels else ""
        others = "".join(f"_{name}{getattr(spec, name)}" for name in self._told_apart[index, spec.name])
        return f"{index:02d}_{spec.name}_{spec.in_channels}_{label}{hidden}{others}"

    def _module_of(self, architecture: Architecture) -> Callable[[int], nn.Module]:
        if architecture.space != self.space:
            raise UsageError(f"{architecture} is not of the supernet's space {self.space.text}")
        if architecture.is_baseline:
            raise UsageError(f"{architecture} is a baseline; the supernet of {self.space.text} has no weights for it")
        graph = architecture.graph()
        return lambda index: self.operators[self._key(index, graph[index].spec)]

    def forward(self, image: Tensor, architecture: Architecture) -> Tensor:
        """Probabilities `(N, classes, H, W)` of an image `(N, 3, H, W)` in 0..1 along one architecture's path."""
        return run_graph(architecture.graph(), self._module_of(architecture), image)

    def logits(self, image: Tensor, architecture: Architecture) -> Tensor:
        """Logits `(N, classes, H, W)` along one architecture's path."""
        return run_graph(logits_graph(architecture.graph()), self._module_of(architecture), image)

    def extract(self, architecture: Architecture) -> Subnet:
        """A standalone copy of one architecture, with the shared weights as they are now."""
        module_of, graph = self._module_of(architecture), architecture.graph()
        modules = [copy.deepcopy(module_of(index)) for index in range(len(graph))]
        subnet = Subnet(graph, cast(Sequence[nn.Module], modules))
        return subnet.train(self.training)


def _differing(specs: Sequence[OpSpec]) -> list[str]:
    """The fields that tell variants of an operator apart when input channels, label and expansion do not suffice."""
    said = ("in_channels", "label", "hidden_channels")
    if len({tuple(getattr(spec, name) for name in said) for spec in specs}) == len(specs):
        return []
    return [name for name in SPEC_FIELDS if name not in said and len({getattr(spec, name) for spec in specs}) > 1]
