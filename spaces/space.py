"""Search spaces and architectures: which networks there are, and the graph of each."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from latlas.arrays import IntArray
from latlas.choices import did_you_mean
from latlas.errors import UnknownOperatorError, UsageError
from latlas.spaces.codes import Template, check_codes, probe_template
from latlas.spaces.graph import Graph, check_graph, distinct_specs, graph_hash, graph_macs, graph_params
from latlas.spaces.operators.spec import OpSpec

if TYPE_CHECKING:
    from latlas.spaces.cell import Branch, CellPart, CellPlace

T = TypeVar("T", covariant=True)


class Solver(Protocol[T]):
    """What `SearchSpace.limits` is asked with: how each way of putting networks together is solved."""

    def of_columns(self, space: SearchSpace) -> T:
        """Networks that are a choice a column of `space.choices`."""
        ...

    def of_cell(self, space: SearchSpace, cell: CellPart) -> T:
        """Networks that are a fixed backbone and a cell."""
        ...

    def of_columns_and_cell(self, space: SearchSpace, cell: CellPart) -> T:
        """Networks that are a choice a column, and a cell behind the last of them."""
        ...


@dataclass(frozen=True)
class SearchSpace(abc.ABC):
    """A set of architectures with a common macro; a frozen dataclass whose fields are its configuration.

    An architecture is one operator name for each searchable layer, or the name of a baseline, a fixed network in the
    same macro. Node i of every architecture's graph is the same place, so that (i, operator) names shared weights.
    """

    name: ClassVar[str]
    short_names: ClassVar[dict[str, str]]
    """Operator name to its short code in an architecture's text."""
    variants: ClassVar[dict[str, str]] = {}
    """Settings in the text that make it a space of another class, which has such a field, and that class: `package:Class`."""
    widened_by: ClassVar[tuple[str, ...]] = ("height", "width")
    """Settings that make its networks slower, and better, when they are raised."""

    @property
    @abc.abstractmethod
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """Operator names of each searchable layer, in order."""

    @property
    def stages(self) -> tuple[int, ...]:
        """How many searchable layers each stage has, one stage where a space does not say it; the text form groups by it."""
        return (len(self.choices),)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Baselines that are profiled and compared with by default; none where a space does not say it."""
        return ()

    def is_baseline(self, name: str) -> bool:
        """Whether a baseline of this name can be built; those of `baselines` can."""
        return name in self.baselines

    @property
    def default_baseline(self) -> str:
        """The baseline that a search is compared with where none is named; "" where the space has none."""
        return next(iter(self.baselines), "")

    @abc.abstractmethod
    def graph(self, operators: tuple[str, ...]) -> Graph:
        """The graph of these operators, already checked to be of the space."""

    def write(self, operators: tuple[str, ...]) -> str:
        """These operators as text, without the space: short names by `-`, stages by `/`."""
        names = [self.short_names[name] for name in operators]
        return "/".join("-".join(names[stage]) for stage in self.stage_slices())

    def read(self, body: str) -> tuple[str, ...]:
        """The operators of a text that `write` made, not yet checked to be of the space."""
        names = {code: name for name, code in self.short_names.items()}
        return tuple(names.get(part, part) for part in body.replace("/", "-").split("-"))

    def recognises(self, text: str) -> bool:
        """Whether a text that names no space can only be of this one, at its defaults."""
        return False

    @cached_property
    def _template(self) -> Template:
        return probe_template(self.graph, self.choices)

    def template(self) -> Template:
        """The graphs of all architectures at once; `encode` gives the codes it takes.

        Made once, by changing one choice at a time. Raises `UsageError` for a space where the operator of a node
        depends on several choices, or a choice changes what feeds a node; such a space writes its own.
        """
        return self._template

    def searchable_nodes(self) -> list[int | None]:
        """Which column of `choices` each node's operator is of, None for a fixed one; a node has one index in all graphs."""
        return [slot.column for slot in self.template().slots]

    def encode(self, architectures: Sequence[Architecture]) -> IntArray:
        """`(len(architectures), len(choices))`: which of its layer's options each operator is, from 0.

        Raises `UsageError` for baselines and architectures of another space.
        """
        index = [{name: code for code, name in enumerate(options)} for options in self.choices]
        for architecture in architectures:
            if architecture.is_baseline or (architecture.space is not self and architecture.space != self):
                raise UsageError(f"{architecture} has no codes in {self.text}; only its searchable architectures have")
        rows = [[of[name] for of, name in zip(index, a.operators, strict=True)] for a in architectures]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(index))

    def decode(self, codes: npt.ArrayLike) -> list[Architecture]:
        """The architectures of `encode`'s codes; raises `UsageError` for what are none."""
        rows = check_codes(codes, [len(options) for options in self.choices])
        return [
            self.architecture([options[code] for options, code in zip(self.choices, row, strict=True)])
            for row in rows.tolist()
        ]

    @property
    def size(self) -> int:
        """How many architectures there are, baselines not counted."""
        total = 1
        for options in self.choices:
            total *= len(options)
        return total

    @property
    def text(self) -> str:
        """The space's name, and what differs from its defaults: `portrait:height=192,widths=16.24.40.80`."""
        changed = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                changed.append(f"{field.name}={'.'.join(map(str, value)) if isinstance(value, tuple) else value}")
        return self.name + (":" + ",".join(changed) if changed else "")

    def architecture(self, operators: Sequence[str]) -> Architecture:
        """The architecture of these operators; raises `UsageError` or `UnknownOperatorError` where it is not one."""
        return Architecture(self, tuple(operators))

    def baseline(self, name: str) -> Architecture:
        """The baseline of that name."""
        return Architecture(self, (name,))

    @property
    def cell_part(self) -> CellPart | None:
        """The cell that is searched, behind the other layers; None where all layers are columns of a template."""
        return None

    def cell_of(self, operators: tuple[str, ...]) -> tuple[tuple[Branch, ...], CellPlace] | None:
        """The branches of the cell of these operators and where it is, to be drawn; None where there is none."""
        return None

    def limits(self, solver: Solver[T]) -> T:
        """What a solver finds of the sum that a network's latency is in this space.

        A network is a choice a column, with a cell behind them or nothing but a cell. A space that is put together in another
        way calls what it has of the solver.
        """
        part = self.cell_part
        if part is None:
            return solver.of_columns(self)
        return solver.of_columns_and_cell(self, part) if part.layers else solver.of_cell(self, part)

    def canonical(self, architecture: Architecture) -> Architecture:
        """The one architecture that stands for all that are the same network but for the order of weights; itself here."""
        return architecture

    def random(self, rng: np.random.Generator) -> Architecture:
        """An architecture drawn uniformly."""
        return self.architecture([options[rng.integers(len(options))] for options in self.choices])

    def random_by_stage(self, rng: np.random.Generator) -> Architecture:
        """An architecture with one operator throughout each stage, as `fill_stage` draws it."""
        return self.architecture([name for stage in self.stage_slices() for name in self.fill_stage(stage, rng)])

    def stage_slices(self) -> list[slice]:
        """Where in `choices` each stage's layers are."""
        ends = list(itertools.accumulate(self.stages))
        return [slice(end - depth, end) for end, depth in zip(ends, self.stages, strict=True)]

    def fill_stage(self, stage: slice, rng: np.random.Generator) -> list[str]:
        """One operator, drawn uniformly, for all layers of a stage; where a layer lacks it, any other."""
        layers = self.choices[stage]
        names = sorted({name for options in layers for name in options})
        chosen = names[rng.integers(len(names))]
        return [chosen if chosen in options else options[rng.integers(len(options))] for options in layers]

    def sample(self, count: int, rng: np.random.Generator) -> list[Architecture]:
        """`count` different architectures drawn uniformly, all of them where the space has no more."""
        if count < 1:
            raise UsageError(f"count is {count}; it must be at least 1")
        count = min(count, self.size)
        found: dict[Architecture, None] = {}
        while len(found) < count:
            found[self.random(rng)] = None
        return list(found)

    def cover(self) -> list[Architecture]:
        """Few architectures that have every operator of every layer between them."""
        rounds = max(len(options) for options in self.choices)
        return [self.architecture([options[k % len(options)] for options in self.choices]) for k in range(rounds)]

    def specs(self) -> list[OpSpec]:
        """Every distinct operator of the space and its baselines, fixed parts included: the rows of its table."""
        graphs = [architecture.graph() for architecture in self.cover()]
        graphs += [self.baseline(name).graph() for name in self.baselines]
        return distinct_specs(graphs)

    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the image."""
        return check_graph(self.cover()[0].graph())


@dataclass(frozen=True)
class Architecture:
    """One choice in a search space; `graph()` is its single description."""

    space: SearchSpace
    operators: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.is_baseline:
            return
        choices = self.space.choices
        if len(self.operators) != len(choices):
            raise UsageError(
                f"architecture {'-'.join(self.operators)!r} has {len(self.operators)} operators; "
                f"{self.space.text} has {len(choices)} searchable layers"
            )
        for layer, (operator, options) in enumerate(zip(self.operators, choices, strict=True)):
            if operator not in options:
                raise UnknownOperatorError(
                    f"layer {layer} of {self.space.text} has no operator {operator!r:.80}; it has {', '.join(options)}"
                    + did_you_mean(operator[:80], options)
                )

    @property
    def is_baseline(self) -> bool:
        """Whether this is a fixed network of the macro."""
        return len(self.operators) == 1 and self.space.is_baseline(self.operators[0])

    def canonical(self) -> Architecture:
        """What stands for all architectures that are the same network; see `SearchSpace.canonical`."""
        return self.space.canonical(self)

    def graph(self) -> Graph:
        """Its operators and what feeds them, in topological order."""
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        return self.space.graph(self.operators)

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference."""
        return graph_macs(self.graph())

    @property
    def params(self) -> int:
        """Parameters."""
        return graph_params(self.graph())

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of its graph, the same everywhere."""
        return graph_hash(self.graph())

    def __str__(self) -> str:
        """Compact text: `portrait/m3-s5/d3-d3-sh-m5/...`, or `portrait/mobilenetv3_large`."""
        if self.is_baseline:
            return f"{self.space.text}/{self.operators[0]}"
        return f"{self.space.text}/{self.space.write(self.operators)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Architecture, (self.space, self.operators))

    def to_record(self) -> dict[str, Any]:
        """A record that `architecture_from_record` reads; text, hash, MACs and parameters are for its readers."""
        return {
            "space": self.space.text,
            "operators": list(self.operators),
            "text": str(self),
            "hash": self.hash,
            "macs": self.macs,
            "params": self.params,
        }


def enumerate_space(space: SearchSpace) -> Iterator[Architecture]:
    """Every architecture, in lexicographic order of the choices; for small spaces."""
    for operators in itertools.product(*space.choices):
        yield space.architecture(operators)
