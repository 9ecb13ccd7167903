"""Search spaces and architectures. A space says which networks there are, and gives the graph of each."""

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
    """A solver for `SearchSpace.limits`, with one method for each way of putting networks together."""

    def of_columns(self, space: SearchSpace) -> T:
        """Solves spaces with one choice for each column of `space.choices`."""
        ...

    def of_cell(self, space: SearchSpace, cell: CellPart) -> T:
        """Solves spaces with a fixed backbone and a cell."""
        ...

    def of_columns_and_cell(self, space: SearchSpace, cell: CellPart) -> T:
        """Solves spaces with one choice for each column, and a cell behind the last one."""
        ...


@dataclass(frozen=True)
class SearchSpace(abc.ABC):
    """A set of architectures with the same macro: a frozen dataclass whose fields are its configuration.

    An architecture is one operator name for each searchable layer, or the name of a baseline, which is a fixed network in the
    same macro. Node i is the same place in every architecture's graph, so (i, operator) names shared weights.
    """

    name: ClassVar[str]
    short_names: ClassVar[dict[str, str]]
    """The short code of each operator in an architecture's text."""
    variants: ClassVar[dict[str, str]] = {}
    """Settings that select another class, as `package:Class`, which has a field of that name."""
    widened_by: ClassVar[tuple[str, ...]] = ("height", "width")
    """Settings that make the networks slower and better when they are raised."""

    @property
    @abc.abstractmethod
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """Operator names of each searchable layer, in order."""

    @property
    def stages(self) -> tuple[int, ...]:
        """The number of searchable layers in each stage, which the text form groups; by default all are in one stage."""
        return (len(self.choices),)

    @property
    def baselines(self) -> tuple[str, ...]:
        """The names of baselines that are profiled, and compared with, by default; none unless a space overrides this."""
        return ()

    def is_baseline(self, name: str) -> bool:
        """Whether a baseline of this name can be built, as all of `baselines` can."""
        return name in self.baselines

    @property
    def default_baseline(self) -> str:
        """The baseline that a search uses if none is named; "" if the space has none."""
        return next(iter(self.baselines), "")

    @abc.abstractmethod
    def graph(self, operators: tuple[str, ...]) -> Graph:
        """The graph of these operators, which have been checked."""

    def write(self, operators: tuple[str, ...]) -> str:
        """These operators as text, without the space: short names by `-`, stages by `/`."""
        names = [self.short_names[name] for name in operators]
        return "/".join("-".join(names[stage]) for stage in self.stage_slices())

    def read(self, body: str) -> tuple[str, ...]:
        """The operators of a text from `write`; they are checked later."""
        names = {code: name for name, code in self.short_names.items()}
        return tuple(names.get(part, part) for part in body.replace("/", "-").split("-"))

    def recognises(self, text: str) -> bool:
        """Whether a text without a space's name can only belong to this space, at its defaults."""
        return False

    @cached_property
    def _template(self) -> Template:
        return probe_template(self.graph, self.choices)

    def template(self) -> Template:
        """The graphs of all architectures at once; it takes the codes that `encode` gives.

        It is made once, by changing one choice at a time. Raises `UsageError` if the operator of a node depends on several
        choices, or if a choice changes what feeds a node; such a space must override this.
        """
        return self._template

    def searchable_nodes(self) -> list[int | None]:
        """The column of `choices` that chooses each node's operator; None for a fixed node. All graphs share the indices."""
        return [slot.column for slot in self.template().slots]

    def encode(self, architectures: Sequence[Architecture]) -> IntArray:
        """`(len(architectures), len(choices))`: the index of each operator among its layer's options, from 0.

        Raises `UsageError` for baselines and architectures of another space.
        """
        index = [{name: code for code, name in enumerate(options)} for options in self.choices]
        for architecture in architectures:
            if architecture.is_baseline or (architecture.space is not self and architecture.space != self):
                raise UsageError(f"{architecture} has no codes in {self.text}; only its searchable architectures have")
        rows = [[of[name] for of, name in zip(index, a.operators, strict=True)] for a in architectures]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(index))

    def decode(self, codes: npt.ArrayLike) -> list[Architecture]:
        """The architectures of codes from `encode`; raises `UsageError` for codes that the space does not have."""
        rows = check_codes(codes, [len(options) for options in self.choices])
        return [
            self.architecture([options[code] for options, code in zip(self.choices, row, strict=True)])
            for row in rows.tolist()
        ]

    @property
    def size(self) -> int:
        """The number of architectures, without baselines."""
        total = 1
        for options in self.choices:
            total *= len(options)
        return total

    @property
    def text(self) -> str:
        """The space's name and the fields that differ from their defaults: `portrait:height=192,widths=16.24.40.80`."""
        changed = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                changed.append(f"{field.name}={'.'.join(map(str, value)) if isinstance(value, tuple) else value}")
        return self.name + (":" + ",".join(changed) if changed else "")

    def architecture(self, operators: Sequence[str]) -> Architecture:
        """The architecture of these operators; raises `UsageError` or `UnknownOperatorError` if the space has none."""
        return Architecture(self, tuple(operators))

    def baseline(self, name: str) -> Architecture:
        """The baseline with this name."""
        return Architecture(self, (name,))

    @property
    def cell_part(self) -> CellPart | None:
        """The searched cell behind the other layers; None if all layers are columns of a template."""
        return None

    def cell_of(self, operators: tuple[str, ...]) -> tuple[tuple[Branch, ...], CellPlace] | None:
        """The branches of these operators' cell and its place, for a drawing; None if there is no cell."""
        return None

    def limits(self, solver: Solver[T]) -> T:
        """A solver's answer for this space, in which a network's latency is a sum.

        By default a network is one choice for each column, possibly with a cell behind them, or a cell alone. A space that is put
        together in another way calls another method of the solver.
        """
        part = self.cell_part
        if part is None:
            return solver.of_columns(self)
        return solver.of_columns_and_cell(self, part) if part.layers else solver.of_cell(self, part)

    def canonical(self, architecture: Architecture) -> Architecture:
        """The same architecture for all that differ only in the order of their weights; by default the architecture itself."""
        return architecture

    def random(self, rng: np.random.Generator) -> Architecture:
        """An architecture drawn uniformly."""
        return self.architecture([options[rng.integers(len(options))] for options in self.choices])

    def random_by_stage(self, rng: np.random.Generator) -> Architecture:
        """A random architecture with one operator throughout each stage, as `fill_stage` draws it."""
        return self.architecture([name for stage in self.stage_slices() for name in self.fill_stage(stage, rng)])

    def stage_slices(self) -> list[slice]:
        """The slice of `choices` with each stage's layers."""
        ends = list(itertools.accumulate(self.stages))
        return [slice(end - depth, end) for end, depth in zip(ends, self.stages, strict=True)]

    def fill_stage(self, stage: slice, rng: np.random.Generator) -> list[str]:
        """One operator, drawn uniformly, for all layers of a stage; a layer that lacks it gets any other."""
        layers = self.choices[stage]
        names = sorted({name for options in layers for name in options})
        chosen = names[rng.integers(len(names))]
        return [chosen if chosen in options else options[rng.integers(len(options))] for options in layers]

    def sample(self, count: int, rng: np.random.Generator) -> list[Architecture]:
        """`count` different architectures, drawn uniformly; all of them if the space has no more."""
        if count < 1:
            raise UsageError(f"count is {count}; it must be at least 1")
        count = min(count, self.size)
        found: dict[Architecture, None] = {}
        while len(found) < count:
            found[self.random(rng)] = None
        return list(found)

    def cover(self) -> list[Architecture]:
        """A few architectures that together have every operator of every layer."""
        rounds = max(len(options) for options in self.choices)
        return [self.architecture([options[k % len(options)] for options in self.choices]) for k in range(rounds)]

    def specs(self) -> list[OpSpec]:
        """Every distinct operator of the space and its baselines, with the fixed parts: the rows of its table."""
        graphs = [architecture.graph() for architecture in self.cover()]
        graphs += [self.baseline(name).graph() for name in self.baselines]
        return distinct_specs(graphs)

    def input_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the image."""
        return check_graph(self.cover()[0].graph())


@dataclass(frozen=True)
class Architecture:
    """One network of a search space; `graph()` describes it."""

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
        """Whether this is a baseline, a fixed network in the same macro."""
        return len(self.operators) == 1 and self.space.is_baseline(self.operators[0])

    def canonical(self) -> Architecture:
        """The same architecture for all that are the same network; see `SearchSpace.canonical`."""
        return self.space.canonical(self)

    def graph(self) -> Graph:
        """The operators and what feeds each, in topological order."""
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
        """The hash of the graph: sixteen hexadecimal digits, the same everywhere."""
        return graph_hash(self.graph())

    def __str__(self) -> str:
        """Compact text: `portrait/m3-s5/d3-d3-sh-m5/...`, or `portrait/mobilenetv3_large`."""
        if self.is_baseline:
            return f"{self.space.text}/{self.operators[0]}"
        return f"{self.space.text}/{self.space.write(self.operators)}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Architecture, (self.space, self.operators))

    def to_record(self) -> dict[str, Any]:
        """A record that `architecture_from_record` reads; text, hash, MACs and parameters are for people."""
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
