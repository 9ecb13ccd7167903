"""Places in a network, and the operators that are a choice there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from latlas.spaces.operators.spec import OpSpec, kind_of


class Place(NamedTuple):
    """Operators at the same place can replace each other: the size of the input, the channels, the stride."""

    height: int
    width: int
    in_channels: int
    out_channels: int
    stride: int

    def __str__(self) -> str:
        stride = f" s{self.stride}" if self.stride != 1 else ""
        return f"{self.in_channels}->{self.out_channels}{stride} at {self.height}x{self.width}"


def place_of(spec: OpSpec) -> Place:
    """The place of an operator."""
    return Place(spec.height, spec.width, spec.in_channels, spec.out_channels, spec.stride)


def choices(specs: Iterable[OpSpec]) -> dict[Place, tuple[OpSpec, ...]]:
    """The operators of each place with a choice, in a network's order: large sizes first, then few channels first.

    Fixed operators are left out, and so are places with only one operator.
    """
    found: dict[Place, list[OpSpec]] = defaultdict(list)
    for spec in sorted(specs):
        if not kind_of(spec.kind).fixed:
            found[place_of(spec)].append(spec)
    order = sorted(found, key=lambda place: (-place.height * place.width, place[2:], place))
    return {place: tuple(found[place]) for place in order if len(found[place]) > 1}
