"""Networks of a space as whole numbers. A `Template` gives the graphs and executed nodes of many networks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latlas.arrays import IntArray
from latlas.errors import UsageError
from latlas.spaces.graph import INPUT, Graph, Node, check_dead_branches
from latlas.spaces.operators.spec import Kind, OpSpec, kind_of

BoolArray = npt.NDArray[np.bool_]
ZEROS = -2
"""Stands for zeros where `INPUT` stands for the network's input."""
_PROBES = 16


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a node: its options, the slots that feed it, and the code column that chooses (None for one option)."""

    options: tuple[OpSpec, ...]
    inputs: tuple[int, ...]
    column: int | None


@dataclass(frozen=True, slots=True)
class Template:
    """All graphs of a space: slots in topological order, and the number of options in each column of the codes.

    Codes are `(n, len(sizes))` whole numbers from 0. Slot i is node i of every graph.
    """

    slots: tuple[Slot, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        for index, slot in enumerate(self.slots):
            options = 1 if slot.column is None else self.sizes[slot.column]
            if len(slot.options) != options:
                raise UsageError(f"slot {index} has {len(slot.options)} options; its column has {options}")
            if any(not (source == INPUT or 0 <= source < index) for source in slot.inputs):
                raise UsageError(f"slot {index} reads {slot.inputs}; a slot reads only earlier ones")

    def graph(self, codes: Sequence[int] | IntArray) -> Graph:
        """The graph of one row of codes."""
        (row,) = check_codes(np.asarray(codes)[None], self.sizes).tolist()
        return tuple(
            Node(slot.options[0 if slot.column is None else row[slot.column]], slot.inputs) for slot in self.slots
        )

    def live(self, codes: npt.ArrayLike, dead_branches: str = "dropped") -> BoolArray:
        """`(n, slots)`: whether the runtime executes each node, as `latlas.spaces.graph.executed_inputs` says of one graph."""
        return self.executed(codes, dead_branches)[0]

    def executed(self, codes: npt.ArrayLike, dead_branches: str = "dropped") -> tuple[BoolArray, list[IntArray]]:
        """Which slots are executed, `(n, slots)`, and for each slot its sources, `(n, inputs)`.

        A source is an executed slot, `INPUT`, or `ZEROS` for an operand that the compiler removed.
        """
        rows = check_codes(codes, self.sizes)
        count = len(rows)
        if check_dead_branches(dead_branches) == "executed":
            fed = [np.tile(np.array(slot.inputs, dtype=np.int64), (count, 1)) for slot in self.slots]
            return np.ones((count, len(self.slots)), dtype=bool), fed
        if dead_branches == "unread_dropped":
            return self._read_by_the_last(rows)
        stands_for = np.empty((count, len(self.slots)), dtype=np.int64)
        sources = []
        for index, slot in enumerate(self.slots):
            fed_by = [np.full(count, INPUT) if source == INPUT else stands_for[:, source] for source in slot.inputs]
            given = np.stack(fed_by, axis=1)
            sources.append(given)
            left = (given != ZEROS).sum(axis=1)
            result = np.full(count, index)
            if len(slot.inputs) > 1:
                # INPUT is -1 and ZEROS is -2, so the largest is the operand that remains.
                alone = _told(slot, rows, lambda kind: kind.adds) & (left == 1)
                result = np.where(alone, given.max(axis=1), result)
            zeros = _told(slot, rows, lambda kind: kind.gives_zeros) | (left == 0)
            stands_for[:, index] = np.where(zeros, ZEROS, result)
        # The last column takes the marks of sources that are no slot.
        wanted = np.zeros((count, len(self.slots) + 2), dtype=bool)
        every = np.arange(count)
        wanted[every, stands_for[:, -1]] = True
        for index in range(len(self.slots) - 1, -1, -1):
            for given in sources[index].T:
                wanted[every, given] |= wanted[:, index]
        return wanted[:, : len(self.slots)], sources

    def _read_by_the_last(self, rows: IntArray) -> tuple[BoolArray, list[IntArray]]:
        """As `executed`, if zeros read nothing and all other slots that the last one depends on are executed."""
        count = len(rows)
        # The last column takes the marks of the input.
        wanted = np.zeros((count, len(self.slots) + 1), dtype=bool)
        wanted[:, len(self.slots) - 1] = True
        sources: list[IntArray] = []
        for index in range(len(self.slots) - 1, -1, -1):
            slot = self.slots[index]
            reads = ~_told(slot, rows, lambda kind: kind.gives_zeros)
            sources.append(np.where(reads[:, None], np.array(slot.inputs, dtype=np.int64), ZEROS))
            for source in slot.inputs:
                wanted[:, source] |= wanted[:, index] & reads
        return wanted[:, : len(self.slots)], sources[::-1]


def _told(slot: Slot, rows: IntArray, tell: Callable[[Kind], bool]) -> BoolArray:
    """`(n,)`: a property of the kind that each row of codes has in a slot."""
    of_option = np.array([tell(kind_of(spec.kind)) for spec in slot.options])
    return of_option[np.zeros(len(rows), dtype=np.int64) if slot.column is None else rows[:, slot.column]]


def check_codes(codes: npt.ArrayLike, sizes: Sequence[int]) -> IntArray:
    """The codes as `(n, len(sizes))` whole numbers; raises `UsageError` if they are not, or if one is not below its size."""
    array = np.asarray(codes)
    if array.ndim != 2 or array.shape[1] != len(sizes) or (array.size and array.dtype.kind not in "iu"):
        raise UsageError(
            f"codes are {array.dtype} of shape {array.shape}; they must be whole numbers, (n, {len(sizes)})"
        )
    rows = array.astype(np.int64, copy=False)
    wrong = (rows < 0) | (rows >= np.array(sizes, dtype=np.int64))
    if wrong.any():
        row, column = (int(value) for value in np.argwhere(wrong)[0])
        raise UsageError(f"code {rows[row, column]} of row {row}, column {column}; it must be 0 to {sizes[column] - 1}")
    return rows


def probe_template(graph_of: Callable[[tuple[str, ...]], Graph], choices: Sequence[Sequence[str]]) -> Template:
    """The template of the graphs that `graph_of` gives for one name from each of `choices`.

    It changes each choice by itself, then compares random draws of all, with a fixed seed. Raises `UsageError` if a node depends
    on several choices, or if a choice changes what feeds a node.
    """
    first = tuple(options[0] for options in choices)
    base = graph_of(first)
    column_of: dict[int, int] = {}
    options_of: dict[int, list[OpSpec]] = {}
    for column, options in enumerate(choices):
        probes = [base, *(graph_of((*first[:column], name, *first[column + 1 :])) for name in options[1:])]
        for probe in probes:
            _require_same_edges(base, probe)
        for index in range(len(base)):
            specs = [probe[index].spec for probe in probes]
            if any(spec != specs[0] for spec in specs):
                if index in column_of:
                    raise UsageError(
                        f"node {index} depends on choices {column_of[index]} and {column}; write a template"
                    )
                column_of[index], options_of[index] = column, specs
    slots = tuple(
        Slot(tuple(options_of.get(index, [node.spec])), node.inputs, column_of.get(index))
        for index, node in enumerate(base)
    )
    template = Template(slots, tuple(len(options) for options in choices))
    rng = np.random.default_rng(0)
    for _ in range(_PROBES):
        codes = [int(rng.integers(size)) for size in template.sizes]
        drawn = graph_of(tuple(options[code] for options, code in zip(choices, codes, strict=True)))
        _require_same_edges(base, drawn)
        if template.graph(codes) != drawn:
            raise UsageError("a node depends on several choices at once; this space must write a template of its own")
    return template


def _require_same_edges(base: Graph, other: Graph) -> None:
    if [node.inputs for node in base] != [node.inputs for node in other]:
        raise UsageError("a choice changes what feeds a node; this space must write a template of its own")
