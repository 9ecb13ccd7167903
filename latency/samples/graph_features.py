"""Features of many networks of a space at once, from their codes alone: without a table or any measurement.

There are these blocks of features, each a group with a scale of its own in a Gaussian process:

    operators   how often each operator at each resolution is executed, and how many additions: the parts that cost time
    totals      multiply-adds, elements moved, nodes, longest path in nodes and in rough milliseconds, branches
    pairs       which operator feeds which, which are added up, which read one tensor
    place i     which operator is executed where column i of the codes chooses
    zeros       operators that the output depends on, but computed from zeros alone
    unread      operators that the output does not depend on

A runtime that drops dead branches leaves out the operators of the last two blocks, or some of them. If the runtime executes
all, these two blocks are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray, IntArray
from latlas.errors import FileFormatError
from latlas.files.records import one_line
from latlas.latency.predictor.features import moved, unit_cost
from latlas.spaces.codes import ZEROS, BoolArray, Template, check_codes
from latlas.spaces.graph import DEAD_BRANCHES, check_dead_branches
from latlas.spaces.operators.spec import OpSpec, kind_of

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class GraphFeatures:
    """Features of a space's networks. `space` is its text; `dead_branches` says what the runtime does with idle nodes."""

    kind: ClassVar[str] = "graph"
    space: str
    dead_branches: str

    def __post_init__(self) -> None:
        check_dead_branches(self.dead_branches)

    def to_record(self) -> dict[str, Any]:
        """A JSON record that `from_record` reads."""
        return {"kind": self.kind, "space": self.space, "dead_branches": self.dead_branches}

    @classmethod
    def from_record(cls, record: object) -> GraphFeatures:
        """The features of a record; raises `FileFormatError` if it is broken."""
        space = record.get("space") if isinstance(record, dict) else None
        dead_branches = record.get("dead_branches") if isinstance(record, dict) else None
        if not isinstance(space, str) or len(space) > 500 or dead_branches not in DEAD_BRANCHES:
            shown = one_line(repr((space, dead_branches)), 80)
            raise FileFormatError(f"the predictor's features: {shown} are no space and what is done with dead branches")
        return cls(space, dead_branches)

    def blocks(self, template: Template, codes: npt.ArrayLike) -> dict[str, FloatArray]:
        """The blocks that the module's docstring lists, each `(n, features)`."""
        rows = check_codes(codes, template.sizes)
        walk = _Walk(template)
        parts = [walk.blocks(rows[i : i + _CHUNK], self.dead_branches) for i in range(0, max(1, len(rows)), _CHUNK)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Walk:
    """The parts of a template that do not depend on codes, and the walk along its slots."""

    def __init__(self, template: Template) -> None:
        self.template = template
        specs = list(dict.fromkeys(spec for slot in template.slots for spec in slot.options))
        # Operators that stand for the same work count as one, whatever their place.
        self.operators = _numbered(
            specs, lambda spec: f"{spec.name} {spec.in_channels} {spec.out_channels} {spec.output_size}"
        )
        self.names = _numbered(specs, lambda spec: spec.name)
        self.nothing = np.array([kind_of(spec.kind).gives_zeros for spec in specs])
        index = {spec: i for i, spec in enumerate(specs)}
        self.options = [np.array([index[spec] for spec in slot.options]) for slot in template.slots]
        self.adds = np.array([kind_of(slot.options[0].kind).adds for slot in template.slots])
        self.macs = np.array([spec.macs / 1e8 for spec in specs])
        self.moved = np.array([_moved(spec) for spec in specs])
        self.cost = np.array([unit_cost(spec) for spec in specs])

    def blocks(self, codes: IntArray, dead_branches: str) -> dict[str, FloatArray]:
        """The blocks of features of some rows of codes."""
        template, count = self.template, len(codes)
        live, sources = template.executed(codes, dead_branches)
        chosen = np.stack(
            [
                options[np.zeros(count, dtype=np.int64) if slot.column is None else codes[:, slot.column]]
                for slot, options in zip(template.slots, self.options, strict=True)
            ],
            axis=1,
        )
        found = {"operators": self._count(self.operators, chosen, live)}
        found["totals"] = self._totals(chosen, live, sources)
        found["pairs"] = self._pairs(chosen, live, sources)
        for column, size in enumerate(template.sizes):
            mine = [i for i, slot in enumerate(template.slots) if slot.column == column]
            runs = live[:, mine].any(axis=1)
            found[f"place {column}"] = (np.eye(size)[codes[:, column]].T * runs).T
        if dead_branches != "executed":
            written = ~self.nothing[chosen] & ~self.adds
            changes, reached = (template.live(codes, option) for option in ("dropped", "unread_dropped"))
            found["zeros"] = self._count(self.names, chosen, written & reached & ~changes)
            found["unread"] = self._count(self.names, chosen, written & ~reached)
        return found

    def _count(self, numbers: IntArray, chosen: IntArray, which: BoolArray) -> FloatArray:
        """How often each number occurs in the slots of `which`, `(n, numbers)`."""
        total = int(numbers.max()) + 1
        flat = np.arange(len(chosen))[:, None] * total + numbers[chosen]
        return np.bincount(flat[which], minlength=len(chosen) * total).reshape(len(chosen), total).astype(float)

    def _totals(self, chosen: IntArray, live: BoolArray, sources: list[IntArray]) -> FloatArray:
        count, slots = live.shape
        every = np.arange(count)
        # Two more columns for sources that are no slot: index -1 and -2.
        depth, path, readers = (np.zeros((count, slots + 2)) for _ in range(3))
        joined = np.zeros(count)
        for index in range(slots):
            runs = live[:, index]
            given = sources[index].T
            depth[:, index] = np.where(runs, np.max([depth[every, g] for g in given], axis=0) + 1, 0)
            cost = self.cost[chosen[:, index]]
            path[:, index] = np.where(runs, np.max([path[every, g] for g in given], axis=0) + cost, 0)
            for g in given:
                readers[every, g] += runs & (g != ZEROS)
            joined += runs & (np.sum([g != ZEROS for g in given], axis=0) > 1)
        return np.stack(
            [
                (self.macs[chosen] * live).sum(axis=1),
                (self.moved[chosen] * live).sum(axis=1),
                live.sum(axis=1),
                joined,
                depth[:, :slots].max(axis=1),
                path[:, :slots].max(axis=1),
                (readers[:, :slots] > 1).sum(axis=1),
                readers[:, :slots].max(axis=1),
            ],
            axis=1,
        ).astype(float)

    def _pairs(self, chosen: IntArray, live: BoolArray, sources: list[IntArray]) -> FloatArray:
        """Counts, by the operators' names, of pairs where one feeds the other, both are added up, or both read one tensor."""
        count, slots = live.shape
        names = int(self.names.max()) + 1
        named = self.names[chosen]
        every = np.arange(count)
        feeds, meets, shares = (np.zeros((count, names * names)) for _ in range(3))
        # By name: the operators whose sum each slot's output is, and the operators that read it.
        terms, readers = (np.zeros((count, slots + 2, names)) for _ in range(2))
        for index in range(slots):
            runs, given = live[:, index], sources[index].T
            if self.adds[index]:
                parts = [terms[every, g] for g in given]
                met = np.einsum("ni,nj->nij", parts[0], parts[1]) * runs[:, None, None]
                meets += (met + met.transpose(0, 2, 1)).reshape(count, -1)
                terms[:, index] = np.where(runs[:, None], sum(parts), 0)
                continue
            own = np.eye(names)[named[:, index]] * runs[:, None]
            terms[:, index] = own
            for g in given:
                fed = terms[every, g] * (g >= 0)[:, None]
                feeds += np.einsum("ni,nj->nij", fed, own).reshape(count, -1)
                others = readers[every, g] * (g != ZEROS)[:, None]
                both = np.einsum("ni,nj->nij", others, own)
                shares += (both + both.transpose(0, 2, 1)).reshape(count, -1)
                readers[every, g] += own
        return np.hstack([feeds, meets, shares])


def _numbered(specs: list[OpSpec], key: Callable[[OpSpec], str]) -> IntArray:
    """The number of each spec's key among the different keys."""
    keys = list(dict.fromkeys(key(spec) for spec in specs))
    return np.array([keys.index(key(spec)) for spec in specs], dtype=np.int64)


def _moved(spec: OpSpec) -> float:
    """How many million elements an operator reads and writes."""
    return moved(spec) / 1e6


def design(
    blocks: dict[str, FloatArray], like: npt.NDArray[np.int64] | None = None
) -> tuple[FloatArray, IntArray, IntArray]:
    """The matrix of all blocks, the group of each column, and which columns were kept: `like`, if it is given.

    Without `like`, a column is left out if it never differs, or if another column of its block is a multiple of it.
    """
    matrix = np.hstack(list(blocks.values()))
    group = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks.values()])
    if like is None:
        spread = matrix.std(axis=0)
        unit = (matrix - matrix.mean(axis=0)) / np.where(spread > 1e-12, spread, 1)
        used: list[int] = []
        seen: set[tuple[int, bytes]] = set()
        for column in range(matrix.shape[1]):
            key = (int(group[column]), np.round(unit[:, column], 9).tobytes())
            if spread[column] > 1e-12 and key not in seen:
                seen.add(key)
                used.append(column)
        like = np.array(used, dtype=np.int64)
    return matrix[:, like], group[like], like
