"""The `portrait` space with a Dense Prediction Cell in place of ASPP; cell and chain are searched together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from latlas.errors import UsageError
from latlas.spaces.cell import (
    MAX_BRANCHES,
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
from latlas.spaces.graph import Graph
from latlas.spaces.macro import encoder_features
from latlas.spaces.portrait import SPACE_OPERATORS, PortraitMacro
from latlas.spaces.space import Architecture


@dataclass(frozen=True)
class PortraitCellSpace(PortraitMacro):
    """The chain of `PortraitSpace`, and in place of ASPP a cell of `cell` branches with `aspp_channels` channels each.

    Its text is `portrait:cell=5`. Baselines keep ASPP.
    """

    cell: int = 0
    operators: tuple[str, ...] = SPACE_OPERATORS

    def __post_init__(self) -> None:
        self._check(self.operators)
        if not 1 <= self.cell <= MAX_BRANCHES:
            raise UsageError(f"cell is {self.cell}; it must be 1 to {MAX_BRANCHES} branches; leave cell out for ASPP")

    @property
    def layers(self) -> int:
        """The number of the chain's columns in `choices`; the cell's columns follow."""
        return sum(self.depths)

    @property
    def stages(self) -> tuple[int, ...]:
        return (*self.depths, *(2,) * self.cell)

    @cached_property
    def choices(self) -> tuple[tuple[str, ...], ...]:  # made once, as a cell has many
        return (*self._chain_choices(self.operators), *cell_choices(self.cell, cell_operators()))

    @property
    def cell_place(self) -> CellPlace:
        """The cell's feature and its channels."""
        return CellPlace(
            self.widths[-1], self.aspp_channels, self.decoder_channels, self.height // 32, self.width // 32, 32
        )

    @property
    def cell_part(self) -> CellPart:
        return CellPart(self.cell_place, self.cell, self.choices[-1], self.layers + 1, self.layers)

    def branches_of(self, operators: tuple[str, ...]) -> tuple[Branch, ...]:
        """The cell's branches of an architecture's operators."""
        return branches_of(operators[self.layers :])

    def cell_of(self, operators: tuple[str, ...]) -> tuple[tuple[Branch, ...], CellPlace] | None:
        return None if len(operators) == 1 else (self.branches_of(operators), self.cell_place)

    def graph(self, operators: tuple[str, ...]) -> Graph:
        nodes = self._encoded(operators)
        if len(operators) == 1:
            return self._with_aspp(nodes)
        encoder = encoder_features(nodes, self.height)
        self.cell_place.append(nodes, self.branches_of(operators), len(nodes) - 1)
        return self._decoded(nodes, encoder)

    def write(self, operators: tuple[str, ...]) -> str:
        codes = [self.short_names[name] for name in operators[: self.layers]]
        chain = ("-".join(codes[stage]) for stage in self.stage_slices()[: len(self.depths)])
        return "/".join([*chain, write_cell(self.branches_of(operators))])

    def read(self, body: str) -> tuple[str, ...]:
        chain, separator, cell = body.partition("/F:")
        return (*super().read(chain), *(names_of(read_cell(f"F:{cell}")) if separator else ()))

    def canonical(self, architecture: Architecture) -> Architecture:
        if architecture.is_baseline:
            return architecture
        own = architecture.operators
        return self.architecture((*own[: self.layers], *names_of(canonical(self.branches_of(own)))))

    def template(self) -> Template:
        raise no_template(self.text)

    def searchable_nodes(self) -> list[int | None]:
        nodes = len(self.architecture([options[0] for options in self.choices]).graph())
        cell = {1 + self.layers + branch: self.layers + 2 * branch + 1 for branch in range(self.cell)}
        return [index - 1 if 0 < index <= self.layers else cell.get(index) for index in range(nodes)]

    def random_by_stage(self, rng: np.random.Generator) -> Architecture:
        drawn = super().random_by_stage(rng)
        cell = spread_cell(self.cell, self.choices[-1], rng)
        return self.architecture((*drawn.operators[: self.layers], *names_of(cell)))

    def cover(self) -> list[Architecture]:
        chain = self.choices[: self.layers]
        return [
            self.architecture((*(options[k % len(options)] for options in chain), *names_of(cell)))
            for k, cell in enumerate(cover_cells(self.cell, self.choices[-1]))
        ]
