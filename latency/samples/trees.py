"""Boosted trees as arrays of numbers: the part of a fitted LightGBM model that predicting needs.

Each number of a file is checked, and numpy predicts, so no text from a stranger reaches LightGBM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latlas.arrays import FloatArray, IntArray
from latlas.errors import FileFormatError
from latlas.latency.samples.regressors import MAX_FEATURES, read_number, read_numbers

MAX_NODES, MAX_TREES, MAX_DEPTH = 400_000, 20_000, 64
"""The most that a file may have: several times more than LightGBM is ever asked for here."""
_AT_ONCE = 500_000
"""How many pairs of row and tree are predicted at once."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees whose values are summed. The nodes `(n,)` of all trees are numbered together, and so are the leaves `(m,)`.

    At a node, a row goes `left` if its `feature` is at most the `threshold`, else `right`. A child of 0 or more is a node, which
    comes after its parent; `-1 - k` is leaf k. `roots` `(trees,)` use the same numbers. `features` is a row's number of features.
    """

    features: int
    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    leaves: FloatArray
    roots: IntArray

    @classmethod
    def of(cls, booster: Any) -> Trees:
        """The trees of a fitted `lightgbm.Booster` without categories."""
        feature: list[int] = []
        threshold: list[float] = []
        left: list[int] = []
        right: list[int] = []
        leaves: list[float] = []

        def add(node: Mapping[str, Any]) -> int:
            if "split_feature" not in node:
                leaves.append(float(node["leaf_value"]))
                return -len(leaves)
            assert node["decision_type"] == "<=" and node["missing_type"] != "Zero"
            index = len(feature)
            feature.append(int(node["split_feature"]))
            threshold.append(float(node["threshold"]))
            left.append(0)
            right.append(0)
            left[index], right[index] = add(node["left_child"]), add(node["right_child"])
            return index

        roots = [add(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
        whole = (np.array(one, dtype=np.int64) for one in (feature, left, right, roots))
        first, lefts, rights, starts = whole
        return cls(booster.num_feature(), first, np.array(threshold), lefts, rights, np.array(leaves), starts)

    def predict(self, X: FloatArray) -> FloatArray:
        """The sums over the trees, `(m,)`, of rows `(m, features)` of finite numbers."""
        parts = [self._predict(part) for part in self._parts(X)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _parts(self, X: FloatArray) -> Iterator[FloatArray]:
        size = max(1, _AT_ONCE // max(1, len(self.roots)))
        return (X[start : start + size] for start in range(0, len(X), size))

    def _predict(self, X: FloatArray) -> FloatArray:
        at = np.tile(self.roots, (len(X), 1))
        row, tree = np.nonzero(at >= 0)
        while len(row):
            node = at[row, tree]
            goes_left = X[row, self.feature[node]] <= self.threshold[node]
            child = np.where(goes_left, self.left[node], self.right[node])
            at[row, tree] = child
            inner = child >= 0
            row, tree = row[inner], tree[inner]
        values = self.leaves[-1 - at]
        # The trees are added in order, as LightGBM does.
        return np.asarray(np.add.accumulate(values, axis=1)[:, -1])

    def to_record(self) -> dict[str, Any]:
        """The trees as lists of numbers."""
        return {
            "features": self.features,
            "feature": self.feature.tolist(),
            "threshold": self.threshold.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "leaves": self.leaves.tolist(),
            "roots": self.roots.tolist(),
        }

    @classmethod
    def from_record(cls, record: object) -> Trees:
        """The trees of a record from `to_record`; raises `FileFormatError` for numbers that are no trees, or too many."""
        if not isinstance(record, Mapping):
            raise FileFormatError("the predictor's trees: no record")
        features = int(read_number(record, "features", 1, MAX_FEATURES))
        threshold = read_numbers(record, "threshold", (None,))
        leaves, nodes = read_numbers(record, "leaves", (None,)), len(threshold)
        if nodes > MAX_NODES or not 1 <= len(leaves) <= MAX_NODES:
            raise FileFormatError(f"the predictor's trees: {nodes} nodes and {len(leaves)} leaves are no model")
        feature = _whole(record, "feature", (nodes,), 0, features - 1)
        left, right = (_whole(record, name, (nodes,), -len(leaves), nodes - 1) for name in ("left", "right"))
        roots = _whole(record, "roots", (None,), -len(leaves), nodes - 1)
        if not 1 <= len(roots) <= MAX_TREES:
            raise FileFormatError(f"the predictor's trees: {len(roots)} of them; 1 to {MAX_TREES} are read")
        own = np.arange(nodes)
        for name, child in (("left", left), ("right", right)):
            wrong = np.flatnonzero((child >= 0) & (child <= own))
            if len(wrong):
                raise FileFormatError(
                    f"the predictor's trees: {name} of node {wrong[0]} leads back to {child[wrong[0]]}"
                )
        _check_depth(left, right)
        return cls(features, feature, threshold, left, right, leaves, roots)


def _whole(record: Mapping[str, Any], name: str, shape: tuple[int | None, ...], least: int, most: int) -> IntArray:
    numbers = read_numbers(record, name, shape)
    if len(numbers) and not (np.all(numbers == np.floor(numbers)) and least <= numbers.min() <= numbers.max() <= most):
        raise FileFormatError(f"the predictor's trees: {name} has other than whole numbers of {least} to {most}")
    return numbers.astype(np.int64)


def _check_depth(left: IntArray, right: IntArray) -> None:
    """Raises `FileFormatError` for a path of more than `MAX_DEPTH` nodes: a prediction along it would take long."""
    depth = [1] * len(left)
    for node, children in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        for child in children:
            if child >= 0 and depth[child] <= depth[node]:
                depth[child] = depth[node] + 1
    if max(depth, default=0) > MAX_DEPTH:
        raise FileFormatError(f"the predictor's trees: one is {max(depth)} deep; at most {MAX_DEPTH} are read")
