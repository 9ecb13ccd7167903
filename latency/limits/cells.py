"""Exact limits of cells: the fastest and the slowest by the predictor, and how many cells take how long.

A branch reads one thing, so a cell is a tree with the feature at its root. A linear predictor is then a sum over branches
and what each of them reads. The best cell with a given operator at the root of a subtree follows from the best smaller cells
(dynamic programming over trees: Bertelè and Brioschi, *Nonserial Dynamic Programming*, 1972). Counting works the same way,
with a histogram instead of the best value. If the tree with the first of k branches has j branches, there are
C(k - 1, j - 1) ways to choose its others, so each encoding is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import comb

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.latency.limits.additive import Additive, Counted, Histogram, extreme
from latlas.latency.predictor.compiled import CompiledPredictor
from latlas.latency.predictor.features import edge_features, node_features, unit_cost
from latlas.latency.predictor.predictor import CONSTANT, LatencyPredictor
from latlas.spaces.cell import FEATURE, Branch, CellPart, CellPlace, names_of
from latlas.spaces.codes import probe_template
from latlas.spaces.graph import INPUT
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.space import Architecture, SearchSpace

BINS = 20_000


@dataclass(frozen=True)
class CellTerms:
    """The milliseconds of cells: `constant`, and for each branch one term.

    A branch that reads the feature adds `root` `(operators,)` of its operator. Any other adds `inner` `(operators, operators)` of
    the operator that it reads and its own. `names` are the operators.
    """

    constant: float
    branches: int
    names: tuple[str, ...]
    root: FloatArray
    inner: FloatArray

    def value(self, cell: tuple[Branch, ...]) -> float:
        """The milliseconds of a cell."""
        index = {name: code for code, name in enumerate(self.names)}
        total = self.constant
        for fed, name in cell:
            own = index[name]
            total += self.root[own] if fed == FEATURE else self.inner[index[cell[int(fed[1:])][1]], own]
        return float(total)

    @cached_property
    def _groups(self) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """What a branch may read, as groups: `(groups, operators)` milliseconds, the feature first; each operator's group."""
        rows, group = np.unique(self.inner, axis=0, return_inverse=True)
        return np.concatenate([self.root[None], rows]), group.ravel() + 1

    def extreme(self, sign: int = 1) -> tuple[Branch, ...]:
        """The cell with the fewest milliseconds (`sign` 1) or the most (-1)."""
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
        # If all cells take equally long, any width will do.
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


class _Costs:
    """The milliseconds of a node and of an edge by a linear predictor."""

    def __init__(self, predictor: LatencyPredictor) -> None:
        self._coefficients = dict(zip([*predictor.names_, CONSTANT], predictor.model_.coef_.tolist(), strict=True))
        self._cost_of = predictor.cost_of or unit_cost
        self.constant: float = self._coefficients[CONSTANT]

    def node(self, spec: OpSpec) -> float:
        return self._total(node_features(spec, self._cost_of(spec)))

    def edge(self, producer: OpSpec, consumer: OpSpec) -> float:
        return self._total(edge_features(producer, consumer))

    def _total(self, found: dict[str, float]) -> float:
        return float(sum(value * self._coefficients.get(name, 0.0) for name, value in found.items()))

    def cell(self, place: CellPlace, names: tuple[str, ...], branches: int, feature: OpSpec) -> CellTerms:
        """The terms of a cell's branches, without a constant; `feature` is the operator that makes the cell's feature."""
        joined = place.joined(branches)
        roots, inner = ([place.operator(name, is_root) for name in names] for is_root in (True, False))
        own = np.array([self.node(spec) + self.edge(spec, joined) for spec in inner])
        return CellTerms(
            0.0,
            branches,
            names,
            np.array([self.node(spec) + self.edge(spec, joined) + self.edge(feature, spec) for spec in roots]),
            # The cost of an edge does not depend on what its producer reads.
            np.array([[self.edge(a, b) for b in inner] for a in inner]) + own,
        )


def cell_terms(predictor: LatencyPredictor, space: SearchSpace, part: CellPart) -> CellTerms:
    """A predictor's milliseconds as a sum over branches, for a space whose networks are a fixed backbone and a cell."""
    costs = _Costs(predictor)
    graph = space.architecture([options[0] for options in space.choices]).graph()
    cell = range(part.first, part.first + part.branches)
    constant = costs.constant + sum(costs.node(one.spec) for index, one in enumerate(graph) if index not in cell)
    constant += sum(
        costs.edge(graph[source].spec, one.spec)
        for index, one in enumerate(graph)
        for source in one.inputs
        if source != INPUT and index not in cell and source not in cell
    )
    terms = costs.cell(part.place, part.operators, part.branches, graph[part.first - 1].spec)
    return replace(terms, constant=constant)


def joint_terms(predictor: LatencyPredictor, space: SearchSpace, part: CellPart) -> tuple[Additive, list[CellTerms]]:
    """A chain and its cell as sums: the chain's terms, and the cell's terms for each operator of the chain's last layer.

    Chain and cell meet only there. Raises `UsageError` if the chain cannot be compiled.
    """
    chain, names = space.choices[: part.layers], part.operators
    fixed = ((FEATURE, names[0]),) * part.branches
    compiled = CompiledPredictor(
        predictor, probe_template(lambda operators: space.graph((*operators, *names_of(fixed))), chain)
    )
    costs, cells = _Costs(predictor), []
    unary = [column.copy() for column in compiled.unary]
    for code, name in enumerate(chain[-1]):
        operators = (*(options[0] for options in chain[:-1]), name, *names_of(fixed))
        feature = space.graph(operators)[part.first - 1].spec
        cells.append(costs.cell(part.place, names, part.branches, feature))
        unary[-1][code] -= cells[-1].value(fixed)
    return Additive(compiled.constant, unary, compiled.pairwise), cells


def joint_extreme(terms: Additive, cells: list[CellTerms], space: SearchSpace, sign: int = 1) -> Architecture:
    """The fastest (`sign` 1) or slowest (-1) network of `joint_terms`: each last operator of the chain gets its best cell."""
    best = [cell.extreme(sign) for cell in cells]
    added = np.array([cell.value(one) for cell, one in zip(cells, best, strict=True)])
    whole = Additive(terms.constant, [*terms.unary[:-1], terms.unary[-1] + added], terms.pairwise)
    codes = extreme(whole, sign).codes
    picked = [options[code] for options, code in zip(space.choices, codes, strict=False)]
    return space.architecture((*picked, *names_of(best[codes[-1]]))).canonical()


def joint_counted(terms: Additive, cells: list[CellTerms], limits_ms: tuple[float, float]) -> Histogram:
    """How many networks of `joint_terms` take how long; `limits_ms` are their fastest and slowest.

    Each last operator of the chain has equally many networks. For each, the chain's histogram and the cell's are convolved, in
    bins of the same width.
    """
    last, found = len(terms.unary) - 1, []
    for code, cell in enumerate(cells):
        unary = [*terms.unary[:-1], terms.unary[-1][[code]]]
        pairwise = {
            pair: table[[code]] if pair[0] == last else table[:, [code]] if pair[1] == last else table
            for pair, table in terms.pairwise.items()
        }
        found.append((Counted(Additive(terms.constant, unary, pairwise)), cell.counted()))
    width = max(part.width_ms for both in found for part in both)
    first = min(sum(part.least_ms for part in both) for both in found)
    folded = []
    for both in found:
        bins = [part.in_bins_of(width) for part in both]
        size = 1 << (len(bins[0]) + len(bins[1])).bit_length()
        shares = np.maximum(np.fft.irfft(np.fft.rfft(bins[0], size) * np.fft.rfft(bins[1], size), size), 0.0)
        folded.append((round((sum(part.least_ms for part in both) - first) / width), shares))
    total = np.zeros(max(shift + len(shares) for shift, shares in folded))
    for shift, shares in folded:
        total[shift : shift + len(shares)] += shares / len(folded)
    # Half a bin for each of the two histograms, and half a bin for where the operator's networks begin.
    error = max(both[0].error_ms + both[1].error_ms for both in found) + 1.5 * width
    return Histogram(total, first, width, limits_ms, error)


def _convolved(one: FloatArray, other: FloatArray, size: int) -> FloatArray:
    """The histogram of the sum of two quantities, from their histograms, cut to `size` bins."""
    whole = np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)
    # Counts are at least 0; what is far below one count is the transform's rounding.
    return np.maximum(whole[: len(one)], 0.0)
