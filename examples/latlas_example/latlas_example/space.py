"""The `ribbon` space: a stem, a chain of layers that each halve the image, and Latlas' decoder."""

from dataclasses import dataclass
from typing import ClassVar

from latlas.spaces.graph import Graph, Node
from latlas.spaces.macro import append_decoder, encoder_features, encoder_nodes, portrait_stem
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.space import SearchSpace


@dataclass(frozen=True)
class RibbonSpace(SearchSpace):
    """One layer for each of `widths`, a ghost module or one of Latlas' operators. The baseline has plain convolutions."""

    name: ClassVar[str] = "ribbon"
    short_names: ClassVar[dict[str, str]] = {"ghost_k3": "g3", "ghost_k5": "g5", "dilconv_k3": "d3"}
    baselines: ClassVar[tuple[str, ...]] = ("plain",)

    height: int = 128
    width: int = 128
    widths: tuple[int, ...] = (16, 24, 40)

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        return (tuple(self.short_names),) * len(self.widths)

    def graph(self, operators: tuple[str, ...]) -> Graph:
        names = ["conv_k3"] * len(self.widths) if operators == ("plain",) else operators
        specs = [portrait_stem(self.height, self.width, self.widths[0])]
        for name, channels in zip(names, self.widths, strict=True):
            kind, _, kernel = name.partition("_k")
            specs.append(OpSpec(kind, specs[-1].out_channels, channels, *specs[-1].output_size, 2, int(kernel)))
        nodes = encoder_nodes(specs[0], specs[1:])
        nodes.append(Node(OpSpec("conv", self.widths[-1], 8, *specs[-1].output_size), (len(nodes) - 1,)))
        append_decoder(nodes, encoder_features(nodes[:-1], self.height), self.height, 8, 1)
        return tuple(nodes)
