"""LightGBM on the logarithm of the latency: for many samples, and for features that nothing smooth follows from."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.latency.samples.regressors import MAX_FEATURES, check_samples, read_number, read_numbers

MAX_MODEL_FEATURES, MAX_TREES, MAX_LEAVES = 20_000, 20_000, 4096
_HEADER = {
    "version": r"v4",
    "num_class": r"1",
    "num_tree_per_iteration": r"1",
    "label_index": r"0",
    "max_feature_idx": r"\d{1,6}",
    "objective": r"regression",
    "feature_names": r"[A-Za-z0-9_]+( [A-Za-z0-9_]+)*",
    "feature_infos": r"(none|\[[-+.0-9e:]+\])( (none|\[[-+.0-9e:]+\]))*",
    "tree_sizes": r"\d{1,9}( \d{1,9})*",
}
# Of each field of a tree, whether it has one value a leaf or one a split, and what a value is.
_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_INNER = ("internal_value", "internal_weight", "internal_count")
_WHOLE = {"split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count"}
_SINGLE = {"num_leaves": r"\d{1,5}", "num_cat": r"0", "is_linear": r"0", "shrinkage": r"[0-9.e+-]{1,30}"}
_INTEGER, _NUMBER = re.compile(r"-?\d{1,10}"), re.compile(r"-?\d{1,25}(\.\d{1,40})?(e[-+]?\d{1,3})?")
_PARAMETERS = re.compile(
    r"\nparameters:\n(\[[a-z0-9_]+: [^\[\]\n]*\]\n)*\nend of parameters\n\n?(pandas_categorical:(null|\[\])\n?)?"
)
_IMPORTANCES = re.compile(r"\nfeature_importances:\n([A-Za-z0-9_]+=\d+\n)*")


def check_model_text(text: str, what: str) -> None:
    """Raises `FileFormatError` that begins with `what` unless the text is a model as LightGBM writes it."""

    def refuse(reason: str) -> FileFormatError:
        return FileFormatError(f"{what}: no LightGBM model that can be trusted: {one_line(reason, 120)}")

    if not text.isascii():
        raise refuse("it is not plain text")
    head, parted, rest = text.partition("\n\n")
    first, *lines = head.split("\n")
    fields = dict(line.partition("=")[::2] for line in lines)
    if first != "tree" or not parted or set(fields) != set(_HEADER) or len(lines) != len(_HEADER):
        raise refuse("its header has other fields")
    for name, pattern in _HEADER.items():
        if not re.fullmatch(pattern, fields[name]):
            raise refuse(f"{name} is {fields[name][:40]!r}")
    features = int(fields["max_feature_idx"]) + 1
    sizes = [int(size) for size in fields["tree_sizes"].split(" ")]
    counts = {len(fields[name].split(" ")) for name in ("feature_names", "feature_infos")}
    if counts != {features} or features > MAX_MODEL_FEATURES or len(sizes) > MAX_TREES:
        raise refuse(f"it has {features} features and {len(sizes)} trees, and names of {sorted(counts)}")
    start = 0
    for number, size in enumerate(sizes):
        _check_tree(rest[start : start + size], number, features, refuse)
        start += size
    tail = rest[start:]
    if not tail.startswith("end of trees\n"):
        raise refuse("it does not end after its trees")
    tail = tail.removeprefix("end of trees\n")
    importances = _IMPORTANCES.match(tail)
    tail = tail[importances.end() :] if importances else tail
    if not _PARAMETERS.fullmatch(tail):
        raise refuse("what follows its trees is not its parameters")


def _check_tree(block: str, number: int, features: int, refuse: Callable[[str], FileFormatError]) -> None:
    """Raises what `refuse` makes unless the block is the tree of that number."""
    lines = block.rstrip("\n").split("\n")
    fields = dict(line.partition("=")[::2] for line in lines)
    wanted = {"Tree", *_SPLITS, *_LEAVES, *_INNER, *_SINGLE}
    if lines[0] != f"Tree={number}" or set(fields) != wanted or len(lines) != len(wanted) or not block.endswith("\n"):
        raise refuse(f"tree {number} has other fields")
    for name, pattern in _SINGLE.items():
        if not re.fullmatch(pattern, fields[name]):
            raise refuse(f"tree {number}: {name} is {fields[name][:40]!r}")
    leaves = int(fields["num_leaves"])
    if not 1 <= leaves <= MAX_LEAVES:
        raise refuse(f"tree {number} has {leaves} leaves")
    values = {name: _values(fields[name]) for name in (*_SPLITS, *_LEAVES, *_INNER)}
    for name, found in values.items():
        # A tree that is one leaf alone gives neither its weight nor its count.
        lengths = {leaves} if name in _LEAVES else {leaves - 1}
        lengths |= {0} if leaves == 1 else set()
        kind = _INTEGER if name in _WHOLE else _NUMBER
        if len(found) not in lengths or not all(kind.fullmatch(value) for value in found):
            raise refuse(f"tree {number}: {name} has {len(found)} values, or one that is no number")
        if not all(math.isfinite(float(value)) for value in found):
            raise refuse(f"tree {number}: {name} is not finite")
    if len(values["leaf_value"]) != leaves:
        raise refuse(f"tree {number} has no value of a leaf")
    if not all(0 <= int(value) < features for value in values["split_feature"]):
        raise refuse(f"tree {number} splits a feature that is not there")
    if not all(0 <= int(value) < 16 and int(value) % 2 == 0 for value in values["decision_type"]):
        raise refuse(f"tree {number} has another kind of split")
    # Children come after their parent, and each node but the first has one parent: this is a tree, and ends.
    seen: set[int] = set()
    for node, both in enumerate(zip(values["left_child"], values["right_child"], strict=True)):
        for child in map(int, both):
            if child in seen or not (node < child < leaves - 1 or -leaves <= child < 0):
                raise refuse(f"tree {number}: node {node} leads to {child}")
            seen.add(child)


def _values(text: str) -> list[str]:
    return text.split(" ") if text else []


MIN_SAMPLES = 10
FOLDS = 10
MAX_TEXT = 16 * 2**20
PARAMETERS = {
    "objective": "regression",
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "learning_rate": 0.05,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 0.1,
    "num_threads": 1,
    "deterministic": True,
    "verbosity": -1,
}
ROUNDS = 400


class LightGBMRegressor:
    """Regressor of any number of samples; left-out predictions are of ten-fold cross-validation.

    It knows no spread of its own: that is the same everywhere, the median of the left-out relative errors.
    """

    name: ClassVar[str] = "lightgbm"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, errors: npt.ArrayLike | None = None) -> Self:
        """Learn from `(n, features)` and `(n,)` milliseconds; raises `UsageError` for impossible samples."""
        matrix, latencies, spread = check_samples(X, y, errors, MIN_SAMPLES)
        logarithm = np.log(latencies)
        # A sample whose own error is that of a usual one counts half.
        weight = 1 / (1 + (spread / max(float(np.median(spread)), 1e-3)) ** 2) if spread.any() else np.ones_like(spread)
        order = np.random.default_rng(self.seed).permutation(len(latencies))
        out = np.empty_like(logarithm)
        for fold in np.array_split(order, FOLDS):
            rest = np.setdiff1d(order, fold)
            out[fold] = self._train(matrix[rest], logarithm[rest], weight[rest]).predict(matrix[fold], num_threads=1)
        self._booster = self._train(matrix, logarithm, weight)
        self.left_out_: FloatArray = np.exp(out)
        self._spread = max(float(np.median(np.abs(self.left_out_ / latencies - 1))) / 0.6745, 1e-6)
        self.left_out_spread_: FloatArray = np.full_like(latencies, self._spread)
        return self

    def _train(self, X: FloatArray, logarithm: FloatArray, weight: FloatArray) -> Any:
        import lightgbm

        data = lightgbm.Dataset(X, logarithm, weight=weight, free_raw_data=True)
        return lightgbm.train(PARAMETERS | {"seed": self.seed}, data, num_boost_round=ROUNDS)

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """`(m,)` milliseconds of `(m, features)`."""
        return np.exp(np.clip(self._booster.predict(self._checked(X), num_threads=1), -100, 100))

    def spread(self, X: npt.ArrayLike) -> FloatArray:
        """`(m,)` relative standard deviations, all the same."""
        return np.full(len(self._checked(X)), self._spread)

    def _checked(self, X: npt.ArrayLike) -> FloatArray:
        matrix, wanted = np.asarray(X, dtype=float), self._booster.num_feature()
        if matrix.ndim != 2 or matrix.shape[1] != wanted or not np.isfinite(matrix).all():
            raise UsageError(f"features of shape {matrix.shape}; finite ones, (m, {wanted}), are needed")
        return matrix

    def to_record(self) -> dict[str, Any]:
        """LightGBM's text, and what cross-validation left."""
        return {
            "name": self.name,
            "lightgbm": self._booster.model_to_string(),
            "spread": self._spread,
            "left_out": self.left_out_.tolist(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The fitted regressor of `to_record`; raises `FileFormatError` where it is none."""
        import lightgbm

        text = record.get("lightgbm")
        if not isinstance(text, str) or len(text) > MAX_TEXT or not text.startswith("tree\n"):
            raise FileFormatError("the predictor's lightgbm: no text of a LightGBM model")
        check_model_text(text, "the predictor's lightgbm")
        regressor = cls()
        try:
            regressor._booster = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise FileFormatError(f"the predictor's lightgbm: {error!s:.200}") from None
        if not 1 <= regressor._booster.num_feature() <= MAX_FEATURES:
            raise FileFormatError("the predictor's lightgbm: an impossible number of features")
        regressor._spread = read_number(record, "spread", 1e-9, 1e6)
        regressor.left_out_ = read_numbers(record, "left_out", (None,))
        regressor.left_out_spread_ = np.full_like(regressor.left_out_, regressor._spread)
        return regressor
