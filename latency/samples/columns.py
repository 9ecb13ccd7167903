"""Turns columns of a table of samples into numbers: the features of a network that has no graph."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line

MAX_CATEGORIES = 64
MAX_COLUMNS = 256
MAX_TEXT = 500
_LARGEST = 1e100
_NUMBER = re.compile(r"[+-]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)


def numeric(cell: str) -> float | None:
    """The number in a cell, or None; `nan`, `inf` and anything beyond 1e100 count as no number."""
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if abs(value) <= _LARGEST else None


@dataclass(frozen=True, slots=True)
class Column:
    """A named column. It holds numbers if `categories` is None; else these texts, each of which is a feature of 0 or 1."""

    name: str
    categories: tuple[str, ...] | None

    def __post_init__(self) -> None:
        texts = (self.name, *(self.categories or ()))
        if not all(isinstance(text, str) and 0 < len(text) <= MAX_TEXT for text in texts):
            raise UsageError(f"column {self.name!r:.80}: a name or category is empty or above {MAX_TEXT} characters")
        if self.categories is not None:
            known = len(self.categories)
            if not 1 <= known <= MAX_CATEGORIES or len(set(self.categories)) != known:
                raise UsageError(
                    f"column {self.name!r:.80} has {known} categories; different ones, 1 to {MAX_CATEGORIES}"
                )

    @property
    def width(self) -> int:
        """How many features the column makes."""
        return 1 if self.categories is None else len(self.categories)

    def values(self, cell: str) -> list[float]:
        """The `width` numbers of a cell; raises `UsageError` if it is no number, or an unknown category."""
        if self.categories is None:
            value = numeric(cell)
            if value is None:
                raise UsageError(f"{one_line(self.name, 80)} is {one_line(repr(cell), 80)}; it must be a number")
            return [value]
        if cell not in self.categories:
            known = one_line(", ".join(self.categories), 200)
            raise UsageError(f"{one_line(self.name, 80)} is {one_line(repr(cell), 80)}; learnt from were {known}")
        return [float(cell == category) for category in self.categories]


@dataclass(frozen=True, slots=True)
class TabularFeatures:
    """The features of named columns. Each column is one group of a regressor, so it has a scale of its own."""

    kind: ClassVar[str] = "tabular"
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not 1 <= len(names) <= MAX_COLUMNS or len(set(names)) != len(names):
            raise UsageError(f"{len(names)} feature columns; they must be different, 1 to {MAX_COLUMNS}")

    @property
    def groups(self) -> tuple[int, ...]:
        """The group of each feature."""
        return tuple(index for index, column in enumerate(self.columns) for _ in range(column.width))

    def matrix(self, rows: Sequence[Mapping[str, str]]) -> FloatArray:
        """The features `(n, features)` of rows, which map column names to cells; raises `UsageError` for unreadable cells."""
        missing = [column.name for column in self.columns if rows and column.name not in rows[0]]
        if missing:
            raise UsageError(f"no column {one_line(repr(missing[0]), 80)}; the predictor was learnt from it")
        values = [[value for c in self.columns for value in c.values(row[c.name].strip())] for row in rows]
        return np.array(values, dtype=float).reshape(len(rows), len(self.groups))

    def to_record(self) -> dict[str, Any]:
        """A JSON record that `from_record` reads."""
        columns = [
            {"name": c.name, "categories": None if c.categories is None else list(c.categories)} for c in self.columns
        ]
        return {"kind": self.kind, "columns": columns}

    @classmethod
    def from_record(cls, record: object) -> TabularFeatures:
        """The features of a record; raises `FileFormatError` if it is broken."""
        columns = record.get("columns") if isinstance(record, dict) else None
        if not isinstance(columns, list) or len(columns) > MAX_COLUMNS:
            raise FileFormatError("the predictor's features: no list of columns")
        found = []
        for column in columns:
            categories = column.get("categories") if isinstance(column, dict) else 0
            if not isinstance(column, dict) or set(column) != {"name", "categories"}:
                raise FileFormatError("the predictor's features: a column is not a name with its categories")
            if not isinstance(categories, list | None) or not isinstance(column["name"], str):
                raise FileFormatError("the predictor's features: a column is not a name with its categories")
            try:
                found.append(Column(column["name"], None if categories is None else tuple(categories)))
            except (UsageError, TypeError) as error:
                raise FileFormatError(f"the predictor's features: {one_line(str(error), 200)}") from None
        try:
            return cls(tuple(found))
        except UsageError as error:
            raise FileFormatError(f"the predictor's features: {error}") from None


def finite(value: object) -> bool:
    """Whether a JSON value is a finite number that is not too large."""
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= _LARGEST  # type: ignore[arg-type]
