"""What cells are predicted to take, exactly: the fastest and the slowest, and how many are within how many milliseconds.

A branch reads one thing, so a cell is a tree with the feature at its root, and what a linear predictor says of it is a sum over
branches and what each reads. The best cell with a given operator at the root of a subtree follows from the best smaller ones
(dynamic programming over trees: Bertelè and Brioschi, *Nonserial Dynamic Programming*, 1972). Counting is the same with a
histogram instead of the best value: the tree that has the first of k branches has j of them, which the others can be chosen for
in C(k - 1, j - 1) ways, so that each encoding is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
import numpy.typing as npt

from latlas.latency.features import Features, edge_features, node_features, unit_cost
from latlas.latency.graph import INPUT
from latlas.latency.ops import OpSpec
from latlas.latency.predictor import CONSTANT, LatencyPredictor
from latlas.search.histogram import Histogram
from latlas.supernet.dpc import DpcSpace
from latlas.supernet.dpc_cell import FEATURE, Branch

FloatArray = npt.NDArray[np.float64]
BINS = 20_000


@dataclass(frozen=True)
class CellTerms:
    """`constant` plus, of each branch, `root` of its operator where it reads the feature, else `inner` of what it reads and it.

    Milliseconds; `names` are the operators, `root` is `(operators,)` and `inner` `(operators, operators)`.
    """

    constant: float
    branches: int
    names: tuple[str, ...]
    root: FloatArray
    inner: FloatArray

    def value(self, cell: tuple[Branch, ...]) -> float:
        """Milliseconds of a cell."""
        index = {name: code for code, name in enumerate(self.names)}
        total = self.constant
        for fed, name in cell:
            own = index[name]
            total += self.root[own] if fed == FEATURE else self.inner[index[cell[int(fed[1:])][1]], own]
        return float(total)

    @cached_property
    def _groups(self) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """What is fed from: `(groups, operators)` milliseconds, the feature's first, and the group of each operator."""
        rows, group = np.unique(self.inner, axis=0, return_inverse=True)
        return np.concatenate([self.root[None], rows]), group.ravel() + 1

    def extreme(self, sign: int = 1) -> tuple[Branch, ...]:
        """The cell of least milliseconds (`sign` 1) or most (-1)."""
        added, group = self._groups
        added = sign * added
        # forest[k][g]: the best k branches below group g; split[k][g]: size and operator of its first tree.
        forest, split = [np.zeros(len(added))], [[(0, 0)] * len(added)]
        tree: list[FloatArray] = [np.zeros(0)]
        for k in range(1, self.branches + 1):
            tree.append(forest[k - 1][group])
            best, chosen = np.full(len(added), np.inf), [(0, 0)] * len(added)
            for j in range(1, k + 1):
                whole = added + tree[j][None] + forest[k - j][:, None]
                for g, code in enumerate(whole.argmin(axis=1)):
                    if whole[g, code] < best[g]:
                        best[g], chosen[g] = whole[g, code], (j, int(code))
            forest.append(best)
            split.append(chosen)
        cell: list[Branch] = []

        def grow(size: int, fed: str, g: int) -> None:
            while size:
                j, code = split[size][g]
                cell.append((fed, self.names[code]))
                grow(j - 1, f"b{len(cell) - 1}", int(group[code]))
                size -= j

        grow(self.branches, FEATURE, 0)
        return tuple(cell)

    def counted(self, bins: int = BINS) -> Histogram:
        """How many encodings take how long; each branch is rounded to whole bins."""
        added, group = self._groups
        least = float(added.min())
        # Where all take equally long any width will do.
        width = self.branches * float(np.ptp(added)) / bins or 1.0
        shifts = np.rint((added - least) / width).astype(int)
        length = bins + self.branches + 1
        size = 1 << (2 * length - 1).bit_length()
        start = np.zeros(length)
        start[0] = 1.0
        forest = [np.tile(start, (len(added), 1))]
        first: list[FloatArray] = []  # of k branches, one tree: (groups, bins)
        for k in range(1, self.branches + 1):
            tree = np.zeros_like(forest[0])
            for g, row in enumerate(shifts):
                for below in np.unique(group):
                    moves = np.bincount(row[group == below], minlength=length)[:length].astype(float)
                    tree[g] += _convolved(moves, forest[k - 1][below], size)
            first.append(tree)
            # Not a C(k - 1, j - 1) for one tree of all k: that has no others.
            total = np.zeros_like(tree)
            for j in range(1, k + 1):
                for g in range(len(added)):
                    total[g] += comb(k - 1, j - 1) * _convolved(first[j - 1][g], forest[k - j][g], size)
            forest.append(total)
        counts = forest[self.branches][0]
        limits = (self.value(self.extreme(1)), self.value(self.extreme(-1)))
        least_ms = self.constant + self.branches * least
        return Histogram(counts / counts.sum(), least_ms, width, limits, width * self.branches / 2)


def cell_terms(predictor: LatencyPredictor, space: DpcSpace) -> CellTerms:
    """A predictor's milliseconds of all cells of a space as a sum over branches."""
    coefficients = dict(zip([*predictor.names_, CONSTANT], predictor.model_.coef_.tolist(), strict=True))
    cost_of = predictor.cost_of or unit_cost

    def total(found: Features) -> float:
        return float(sum(value * coefficients.get(name, 0.0) for name, value in found.items()))

    def node(spec: OpSpec) -> float:
        return total(node_features(spec, cost_of(spec)))

    def edge(producer: OpSpec, consumer: OpSpec) -> float:
        return total(edge_features(producer, consumer))

    names, count = space.choices[1], space.branches
    graph = space.architecture([options[0] for options in space.choices]).graph()
    first = len(space.backbone_nodes)
    cell = range(first, first + count)
    constant = coefficients[CONSTANT] + sum(node(one.spec) for index, one in enumerate(graph) if index not in cell)
    constant += sum(
        edge(graph[source].spec, one.spec)
        for index, one in enumerate(graph)
        for source in one.inputs
        if source != INPUT and index not in cell and source not in cell
    )
    feature, joined = graph[first - 1].spec, graph[first + count].spec
    roots = [space.cell.operator(name, True) for name in names]
    inner = [space.cell.operator(name, False) for name in names]
    own = np.array([node(spec) + edge(spec, joined) for spec in inner])
    return CellTerms(
        constant,
        count,
        names,
        np.array([node(spec) + edge(spec, joined) + edge(feature, spec) for spec in roots]),
        # What is told of an edge does not depend on what its producer reads.
        np.array([[edge(a, b) for b in inner] for a in inner]) + own,
    )


def _convolved(one: FloatArray, other: FloatArray, size: int) -> FloatArray:
    """The sum's histogram of two histograms of one length, cut to that."""
    whole = np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)
    # Counts are at least 0; what is far below one count is the transform's rounding.
    return np.maximum(whole[: len(one)], 0.0)
