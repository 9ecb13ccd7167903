"""A Dense Prediction Cell as data: its branches, their operators, its nodes in a graph, its canonical form.

Chen et al. 2018 (arXiv 1809.04184). Each branch has an operator and one input: the backbone's feature `F`, or an earlier
branch `b0`, `b1` and so on. All branches are concatenated, so none is dead. A 1x1 convolution makes the output.

As each branch has one input, a cell is a tree with the feature at its root. Two cells that differ only in the order of their
branches are the same network with its weights in another order; `canonical` gives both one form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from latlas.errors import UsageError
from latlas.spaces.graph import Node
from latlas.spaces.operators.cell import pair_label
from latlas.spaces.operators.spec import OpSpec

FEATURE = "F"
RATES = (1, 3, 6, 9, 12, 15, 18, 21)
"""The rates of a 3x3 convolution along either axis, as published: for a feature at a sixteenth of the image."""
GRIDS = (1, 2, 4, 8)
"""The cells of a pooling grid along either axis."""
POINT = "conv_1x1"
PUBLISHED_STRIDE = 16
MAX_BRANCHES = 12

Branch = tuple[str, str]
"""A branch's input, `F` or `b0`..., and its operator, such as `atrous_6x21` or `pyramid_2x4`."""
NAMED: dict[str, tuple[Branch, ...]] = {
    # The cell found for Cityscapes, by its first author's figure and code.
    "dpc_cityscapes": (
        (FEATURE, "atrous_1x6"),
        ("b0", "atrous_18x15"),
        ("b1", "atrous_6x3"),
        ("b0", "atrous_1x1"),
        ("b0", "atrous_6x21"),
    ),
    # DeepLabv3's atrous spatial pyramid pooling: 1x1, three rates, the mean over the image.
    "aspp": (
        (FEATURE, POINT),
        (FEATURE, "atrous_6x6"),
        (FEATURE, "atrous_12x12"),
        (FEATURE, "atrous_18x18"),
        (FEATURE, "pyramid_1x1"),
    ),
}
_OPERATOR = re.compile(r"(?:atrous_|pyramid_)([1-9]\d{0,2})x([1-9]\d{0,2})|conv_1x1")
_CODE = re.compile(r"(?P<input>F|b\d{1,2}):(?:(?P<point>c1)|(?P<kind>[ap])(?P<pair>\d{1,3}x\d{1,3}))")
_KINDS = {"a": "atrous_", "p": "pyramid_"}


def cell_operators(rates: Sequence[int] = RATES, grids: Sequence[int] = GRIDS) -> tuple[str, ...]:
    """The operators that a branch may have: 1x1, all pairs of rates, all grids; 81 with the published rates and grids."""
    atrous = (f"atrous_{pair_label(*pair)}" for pair in product(rates, repeat=2))
    pools = (f"pyramid_{pair_label(*pair)}" for pair in product(grids, repeat=2))
    return (POINT, *atrous, *pools)


def branch_inputs(branch: int) -> tuple[str, ...]:
    """The possible inputs of a branch: the feature and all earlier branches."""
    return (FEATURE, *(f"b{earlier}" for earlier in range(branch)))


def cell_choices(branches: int, operators: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Two columns for each branch: its possible inputs, and its possible operators."""
    return tuple(column for branch in range(branches) for column in (branch_inputs(branch), operators))


def branches_of(names: Sequence[str]) -> tuple[Branch, ...]:
    """The branches from a list of names, two for each branch, ordered as in `cell_choices`."""
    return tuple(zip(names[::2], names[1::2], strict=True))


def cover_cells(branches: int, operators: Sequence[str]) -> list[tuple[Branch, ...]]:
    """Two cells for each operator, which has it in all branches: one reads only the feature, one also earlier branches."""
    found = []
    for turn, name in enumerate(operators):
        fed = (FEATURE, *(f"b{turn % branch}" for branch in range(1, branches)))
        found += [((FEATURE, name),) * branches, tuple((one, name) for one in fed)]
    return found


def spread_cell(branches: int, operators: Sequence[str], rng: np.random.Generator) -> tuple[Branch, ...]:
    """A cell of a sort that uniform draws rarely give: of their operators four in five are atrous, one in 81 is the 1x1.

    Half of the cells have one operator in all branches. In the others each branch draws a kind first, all kinds being equally
    likely, then an operator of this kind. Inputs are drawn uniformly.
    """
    if rng.random() < 0.5:
        chosen = [operators[int(rng.integers(len(operators)))]] * branches
    else:
        kinds: dict[str, list[str]] = {}
        for name in operators:
            kinds.setdefault(name.partition("_")[0], []).append(name)
        drawn = [list(kinds.values())[rng.integers(len(kinds))] for _ in range(branches)]
        chosen = [names[rng.integers(len(names))] for names in drawn]
    inputs = [branch_inputs(branch) for branch in range(branches)]
    return tuple((fed[rng.integers(len(fed))], name) for fed, name in zip(inputs, chosen, strict=True))


def names_of(branches: Sequence[Branch]) -> tuple[str, ...]:
    """Two names for each branch, ordered as in `cell_choices`."""
    return tuple(name for branch in branches for name in branch)


def no_template(space: str) -> UsageError:
    """The error that says why a space of cells has no template."""
    return UsageError(
        f"in {space} a choice changes what feeds a node, so that no template holds its networks; gradient search and "
        "samples by graph need one, a predictor of measured subnets does not"
    )


def source_of(branch: Branch) -> int | None:
    """The number of the branch that is the input; None for the feature."""
    return None if branch[0] == FEATURE else int(branch[0][1:])


def write_cell(branches: Sequence[Branch]) -> str:
    """`F:a1x6-b0:a18x15-b0:p2x4-F:c1`: c is a 1x1, a an atrous convolution by its rates, p a pyramid by its grid."""
    codes = {POINT: "c1"}
    parts = ((fed, codes.get(name) or name.replace("atrous_", "a").replace("pyramid_", "p")) for fed, name in branches)
    return "-".join(f"{fed}:{code}" for fed, code in parts)


def read_cell(text: str) -> tuple[Branch, ...]:
    """The branches of a text from `write_cell`; it does not check that they make a cell. Raises `UsageError`."""
    found: list[Branch] = []
    for part in text.split("-"):
        match = _CODE.fullmatch(part)
        if match is None or len(found) == MAX_BRANCHES:
            raise UsageError(
                f"cell {text[:120]!r}: {part[:40]!r} is no branch, or one too many; up to {MAX_BRANCHES} are written such as "
                "F:c1-b0:a6x21-b1:p2x4"
            )
        found.append((match["input"], POINT if match["point"] else _KINDS[match["kind"]] + match["pair"]))
    return tuple(found)


def canonical(branches: Sequence[Branch]) -> tuple[Branch, ...]:
    """The same form for all cells that differ only in the order of their branches.

    A subtree is written as its operator and its sorted subtrees (Aho, Hopcroft and Ullman 1974, for isomorphism of trees);
    branches come in the order of a walk that takes the sorted subtrees from the root.
    """
    children: dict[int | None, list[int]] = {}
    for index, branch in enumerate(branches):
        children.setdefault(source_of(branch), []).append(index)
    keys: dict[int, tuple[object, ...]] = {}
    for index in reversed(range(len(branches))):
        keys[index] = (branches[index][1], *sorted(keys[child] for child in children.get(index, ())))
    found: list[Branch] = []

    def walk(node: int | None, name: str) -> None:
        for child in sorted(children.get(node, ()), key=lambda one: keys[one]):
            found.append((name, branches[child][1]))
            walk(child, f"b{len(found) - 1}")

    walk(None, FEATURE)
    return tuple(found)


def count_cells(branches: int, operators: int) -> int:
    """The number of different cells: it counts canonical forms, not encodings.

    A tree of k branches is an operator and a forest of k - 1. Forests are multisets of trees; Euler's transform counts them.
    """
    trees, forests = [0], [1]
    for k in range(1, branches + 1):
        trees.append(operators * forests[k - 1])
        weight = [sum(d * trees[d] for d in range(1, j + 1) if j % d == 0) for j in range(k + 1)]
        forests.append(sum(weight[j] * forests[k - j] for j in range(1, k + 1)) // k)
    return forests[branches]


def scaled_rate(rate: int, output_stride: int) -> int:
    """A published rate at an output stride. It spans as many pixels of the image; halves are rounded up; at least 1."""
    return max(1, (2 * rate * PUBLISHED_STRIDE + output_stride) // (2 * output_stride))


@dataclass(frozen=True, slots=True)
class CellPlace:
    """The place of a cell: the feature `(in_channels, height, width)`, its stride, the channels of branches and output.

    Rates follow the stride (`scaled_rate`). A rate may be as large as the feature; its outer taps then read zeros, and the
    operator is timed in this form. A grid that is finer than the feature becomes the size of the feature.
    """

    in_channels: int
    filters: int
    out_channels: int
    height: int
    width: int
    output_stride: int

    def operator(self, name: str, from_feature: bool) -> OpSpec:
        """The spec of a branch's operator; its input is the feature or another branch."""
        match = _OPERATOR.fullmatch(name)
        if match is None:
            raise UsageError(f"{name!r:.60} is no operator of a cell; such are conv_1x1, atrous_6x21 and pyramid_2x4")
        place = (self.in_channels if from_feature else self.filters, self.filters, self.height, self.width)
        if name == POINT:
            return OpSpec("conv", *place, activation="relu")
        pair = int(match[1]), int(match[2])
        if name.startswith("atrous_"):
            rates = (scaled_rate(rate, self.output_stride) for rate in pair)
            return OpSpec("atrous", *place, kernel_size=3, label=pair_label(*rates))
        return OpSpec("pyramid", *place, label=pair_label(min(pair[0], self.height), min(pair[1], self.width)))

    def joined(self, branches: int) -> OpSpec:
        """The concatenation of this many branches."""
        return OpSpec("concat", self.filters, self.filters * branches, self.height, self.width)

    def output(self, branches: int) -> OpSpec:
        """The 1x1 convolution behind the concatenation."""
        return OpSpec("conv", self.filters * branches, self.out_channels, self.height, self.width, activation="relu")

    def append(self, nodes: list[Node], branches: Sequence[Branch], feature: int) -> None:
        """Add the cell's nodes behind node `feature`: one for each branch, the concatenation and the output."""
        first = len(nodes)
        for branch in branches:
            source = source_of(branch)
            spec = self.operator(branch[1], source is None)
            nodes.append(Node(spec, (feature if source is None else first + source,)))
        nodes.append(Node(self.joined(len(branches)), tuple(range(first, first + len(branches)))))
        nodes.append(Node(self.output(len(branches)), (len(nodes) - 1,)))


@dataclass(frozen=True, slots=True)
class CellPart:
    """The searched cell of a space's networks, as plain data; the cell's latency is a sum over it.

    Attributes:
        place: The cell's feature and its channels.
        branches: The number of branches.
        operators: The possible operators of a branch.
        first: The node of the first branch, the same in all graphs; the node before it makes the feature.
        layers: The columns of the space's `choices` before the cell's; 0 if only the cell is searched.
    """

    place: CellPlace
    branches: int
    operators: tuple[str, ...]
    first: int
    layers: int
