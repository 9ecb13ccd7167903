"""Which operators change rank from one table to another: another precision, number of threads, batch or machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import OpSpec


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where operators stand for each other: the same shapes in and out."""

    height: int
    width: int
    in_channels: int
    out_channels: int
    stride: int
    scale: int

    @classmethod
    def of(cls, spec: OpSpec) -> Place:
        """The place of an operator."""
        return cls(spec.height, spec.width, spec.in_channels, spec.out_channels, spec.stride, spec.scale)

    def __str__(self) -> str:
        stride = f" s{self.stride}" if self.stride != 1 else ""
        scale = f" x{self.scale}" if self.scale != 1 else ""
        return f"{self.in_channels}->{self.out_channels}{stride}{scale} at {self.height}x{self.width}"


@dataclass(frozen=True, slots=True)
class Flip:
    """Two operators of a place that change order beyond all four intervals: `first` is the faster before, the slower after.

    `before` and `after` are the latency of `second` over that of `first`: above 1, then below.
    """

    first: OpSpec
    second: OpSpec
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class PlaceRanks:
    """A place in two tables: the fastest operator of each, and the pairs that change order, the clearest first.

    `fastest_before` and `fastest_after` are by the estimates alone; intervals may overlap.
    """

    place: Place
    operators: int
    fastest_before: OpSpec
    fastest_after: OpSpec
    flips: tuple[Flip, ...]

    def to_record(self) -> dict[str, object]:
        """Plain values, as JSON has them."""
        flips = [
            {"first": str(f.first), "second": str(f.second), "before": f.before, "after": f.after} for f in self.flips
        ]
        return {
            "place": str(self.place),
            "operators": self.operators,
            "fastest_before": str(self.fastest_before),
            "fastest_after": str(self.fastest_after),
            "flips": flips,
        }


def rank_changes(a: Table, b: Table) -> list[PlaceRanks]:
    """Every place at which both tables have the same two operators or more, from the largest input to the smallest.

    Isolated latencies are compared within each table, so that the tables may be of different environments. An operator that
    failed in one, or whose interval is not known (imported ones), is left out. A place where nothing changed is in
    the list with no `flips`.
    """
    found = []
    for place, rows in sorted(_places(a, b).items(), reverse=True):
        if len(rows) > 1:
            flips = sorted(_flips(rows), key=lambda flip: (flip.after / flip.before, flip.first, flip.second))
            before, after = _fastest(row for row, _ in rows), _fastest(row for _, row in rows)
            found.append(PlaceRanks(place, len(rows), before, after, tuple(flips)))
    return found


def _places(a: Table, b: Table) -> dict[Place, list[tuple[Row, Row]]]:
    places: dict[Place, list[tuple[Row, Row]]] = {}
    for row in a:
        if row.spec in a and row.spec in b and _known(row) and _known(b[row.spec]):
            places.setdefault(Place.of(row.spec), []).append((row, b[row.spec]))
    return places


def _flips(rows: list[tuple[Row, Row]]) -> Iterable[Flip]:
    for (x, x_after), (y, y_after) in permutations(rows, 2):
        if _below(x, y) and _below(y_after, x_after):
            yield Flip(x.spec, y.spec, _middle(y) / _middle(x), _middle(y_after) / _middle(x_after))


def _fastest(rows: Iterable[Row]) -> OpSpec:
    return min(rows, key=lambda row: (_middle(row), row.spec)).spec


def _known(row: Row) -> bool:
    return None not in (row.latency_ms, row.lower_ms, row.upper_ms)


def _below(x: Row, y: Row) -> bool:
    assert x.upper_ms is not None and y.lower_ms is not None
    return x.upper_ms < y.lower_ms


def _middle(row: Row) -> float:
    assert row.latency_ms is not None
    return row.latency_ms
