"""The `dpc` space: Dense Prediction Cells (Chen et al. 2018, arXiv 1809.04184) on a fixed backbone, in place of ASPP.

    image -> backbone -> cell -> decoder that adds encoder features -> head

The backbone is a chain of `portrait` or one of its baselines; decoder and head are `portrait`'s. Only the cell is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from latlas.errors import UnknownOperatorError, UsageError
from latlas.spaces.cell import (
    FEATURE,
    GRIDS,
    MAX_BRANCHES,
    NAMED,
    RATES,
    Branch,
    CellPart,
    CellPlace,
    branches_of,
    canonical,
    cell_choices,
    cell_operators,
    cover_cells,
    names_of,
    no_template,
    read_cell,
    spread_cell,
    write_cell,
)
from latlas.spaces.codes import Template
from latlas.spaces.graph import Graph, Node, check_graph
from latlas.spaces.lite0 import NAME as LITE0
from latlas.spaces.lite0 import lite0_encoder
from latlas.spaces.macro import append_decoder, encoder_features, encoder_nodes, portrait_stem, with_output_stride
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.space import Architecture, SearchSpace

_SIZES = (1, 128)


@dataclass(frozen=True)
class DpcSpace(SearchSpace):
    """Cells of `branches` branches. Each branch reads the feature or an earlier branch through one of 81 operators.

    `backbone` is a baseline of `portrait`, `efficientnet_lite0`, or a chain's codes joined by `-`, as `m3-s5-d3-...`. A chain
    has these `stem_channels`, `widths`, `depths`, `expand_ratio` and `narrow_ratio`. With `output_stride` 16 the last stage keeps
    the size of the stage before it and is dilated as in DeepLabv3 (`macro.with_output_stride`); with 32 it is as in `portrait`.
    `rates` and `grids` are the published ones, for output stride 16; rates follow the stride. `filters` is the number of channels
    of a branch. The paper has 256, for servers. The default is 64, as in `portrait`'s ASPP, whose place the cell takes.
    """

    name: ClassVar[str] = "dpc"
    widened_by: ClassVar[tuple[str, ...]] = ("height", "width", "branches", "filters", "decoder_channels")
    short_names: ClassVar[dict[str, str]] = {}

    height: int = 256
    width: int = 256
    backbone: str = "mobilenetv3_large"
    output_stride: int = 16
    branches: int = 5
    filters: int = 64
    rates: tuple[int, ...] = RATES
    grids: tuple[int, ...] = GRIDS
    stem_channels: int = 16
    widths: tuple[int, ...] = (24, 40, 80, 160)
    depths: tuple[int, ...] = (2, 4, 4, 4)
    expand_ratio: int = 6
    decoder_channels: int = 32
    num_classes: int = 1
    narrow_ratio: int = 0

    def __post_init__(self) -> None:
        if self.output_stride not in (16, 32):
            raise UsageError(f"output_stride is {self.output_stride}; dpc has 16 and 32")
        if not 1 <= self.branches <= MAX_BRANCHES:
            raise UsageError(f"branches is {self.branches}; it must be 1 to {MAX_BRANCHES}")
        if not 1 <= self.filters <= 8192:
            raise UsageError(f"filters is {self.filters}; it must be 1 to 8192")
        for field in ("rates", "grids"):
            values = getattr(self, field)
            if not values or len(set(values)) != len(values) or not all(_SIZES[0] <= v <= _SIZES[1] for v in values):
                raise UsageError(f"{field} are {values}; they must be different, each {_SIZES[0]} to {_SIZES[1]}")
        _ = self.backbone_nodes

    @cached_property
    def backbone_nodes(self) -> tuple[Node, ...]:
        """The fixed chain, which are the first nodes of every graph; the last one gives the feature."""
        portrait = PortraitSpace(
            self.height,
            self.width,
            self.stem_channels,
            self.widths,
            self.depths,
            self.expand_ratio,
            decoder_channels=self.decoder_channels,
            num_classes=self.num_classes,
            narrow_ratio=self.narrow_ratio,
        )
        if self.backbone == LITE0:
            lite, lite_blocks = lite0_encoder(self.height, self.width)
            return tuple(encoder_nodes(lite, with_output_stride(lite_blocks, self.height, self.output_stride)))
        if set("/,=:") & set(self.backbone):
            raise UsageError(f"backbone is {self.backbone!r:.80}; write a chain with - throughout, as m3-s5-d3-...")
        try:
            names: tuple[str, ...] = (self.backbone,)
            if not portrait.is_baseline(self.backbone):
                names = portrait.architecture(portrait.read(self.backbone)).operators
            channels, blocks = portrait.encoder(names)
        except (UsageError, UnknownOperatorError) as error:
            raise UsageError(f"backbone {self.backbone!r:.80}: {error}") from None
        stem = portrait_stem(self.height, self.width, channels)
        return tuple(encoder_nodes(stem, with_output_stride(blocks, self.height, self.output_stride)))

    @cached_property
    def taps(self) -> tuple[int, ...]:
        """The backbone's nodes that later nodes read: the feature and the inputs of the decoder, in order.

        The cell, the decoder and the head are the nodes from `len(backbone_nodes)` on. They need only these outputs.
        """
        behind = len(self.backbone_nodes)
        graph = self.graph(("aspp",))
        return tuple(sorted({one for node in graph[behind:] for one in node.inputs if one < behind}))

    @cached_property
    def cell(self) -> CellPlace:
        """The cell's feature and its channels."""
        spec = self.backbone_nodes[-1].spec
        size = spec.output_size
        return CellPlace(spec.out_channels, self.filters, self.decoder_channels, *size, self.height // size[0])

    @cached_property
    def choices(self) -> tuple[tuple[str, ...], ...]:  # made once: it is long
        return cell_choices(self.branches, cell_operators(self.rates, self.grids))

    @property
    def cell_part(self) -> CellPart:
        return CellPart(self.cell, self.branches, self.choices[1], len(self.backbone_nodes), 0)

    def cell_of(self, operators: tuple[str, ...]) -> tuple[tuple[Branch, ...], CellPlace] | None:
        return self.branches_of(operators), self.cell

    @property
    def stages(self) -> tuple[int, ...]:
        return (2,) * self.branches

    @property
    def baselines(self) -> tuple[str, ...]:
        return tuple(NAMED)

    @property
    def default_baseline(self) -> str:
        return "aspp"

    def is_baseline(self, name: str) -> bool:
        return name in NAMED

    def branches_of(self, operators: tuple[str, ...]) -> tuple[Branch, ...]:
        """The branches of an architecture's operators, or of a named cell."""
        if len(operators) == 1 and self.is_baseline(operators[0]):
            return NAMED[operators[0]]
        return branches_of(operators)

    def of_branches(self, branches: tuple[Branch, ...]) -> Architecture:
        """The architecture of a cell; raises `UsageError` if the space does not have it."""
        return self.architecture(names_of(branches))

    def named(self, name: str) -> Architecture:
        """A named cell as a searchable architecture, which has codes; a baseline has none."""
        return self.of_branches(NAMED[name])

    def graph(self, operators: tuple[str, ...]) -> Graph:
        nodes = list(self.backbone_nodes)
        self.cell.append(nodes, self.branches_of(operators), len(nodes) - 1)
        encoder = encoder_features(self.backbone_nodes, self.height)
        append_decoder(nodes, encoder, self.height, self.decoder_channels, self.num_classes)
        graph = tuple(nodes)
        check_graph(graph)
        return graph

    def canonical(self, architecture: Architecture) -> Architecture:
        if architecture.is_baseline:
            return architecture
        return self.of_branches(canonical(branches_of(architecture.operators)))

    def write(self, operators: tuple[str, ...]) -> str:
        return write_cell(branches_of(operators))

    def read(self, body: str) -> tuple[str, ...]:
        return names_of(read_cell(body))

    def recognises(self, text: str) -> bool:
        return text.startswith(f"{FEATURE}:")

    def template(self) -> Template:
        raise no_template(self.text)

    def searchable_nodes(self) -> list[int | None]:
        first = len(self.backbone_nodes)
        nodes = len(self.architecture([options[0] for options in self.choices]).graph())
        return [2 * (i - first) + 1 if first <= i < first + self.branches else None for i in range(nodes)]

    def random_by_stage(self, rng: np.random.Generator) -> Architecture:
        """One operator in all branches, or a kind drawn for each branch; see `spread_cell`."""
        return self.of_branches(spread_cell(self.branches, self.choices[1], rng))

    def cover(self) -> list[Architecture]:
        """Two cells for each operator, as `cover_cells` makes them."""
        return [self.of_branches(cell) for cell in cover_cells(self.branches, self.choices[1])]
