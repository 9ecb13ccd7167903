"""The values of a mask that are person and void, as the user writes them: `person=15,void=255`."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from latlas.errors import UsageError

PERSON, VOID = 1, 255
"""The codes of person and void in a mask in memory; 0 is background. Void pixels count in neither loss nor score."""
LARGEST = 65535
EXAMPLE = "person=15,void=255"
_NAMES = ("person", "void", "background")
_NUMBERS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class MaskValues:
    """Named values as ranges, both ends included. A colour `0xRRGGBB` is a range of one value.

    An empty `background` means every value that is not named. `colours` is True if the values are colours.
    """

    person: tuple[tuple[int, int], ...]
    void: tuple[tuple[int, int], ...] = ()
    background: tuple[tuple[int, int], ...] = ()
    colours: bool = False

    @property
    def text(self) -> str:
        """The text that `parse_mask_values` reads."""

        def shown(first: int, last: int) -> str:
            return f"#{first:06x}" if self.colours else str(first) if first == last else f"{first}-{last}"

        return ",".join(f"{name}=" + ",".join(shown(*pair) for pair in getattr(self, name)) for name in self.named)

    @property
    def named(self) -> tuple[str, ...]:
        """The names that have values."""
        return tuple(name for name in _NAMES if getattr(self, name))

    @property
    def singles(self) -> dict[int, str]:
        """The name of each single value; empty where a range is given."""
        pairs = [(pair, name) for name in self.named for pair in getattr(self, name)]
        return {} if any(first != last for (first, last), _ in pairs) else {first: name for (first, _), name in pairs}


def parse_mask_values(text: str) -> MaskValues:
    """The values of a text such as `person=15,void=255`, `person=128-255` or `person=#c08080`.

    Blanks, commas and semicolons separate the values. A value without a name belongs to the name before it.

    Raises:
        UsageError: A name or value is not known, a value is given twice, or no value is named person.

    Example:
        >>> parse_mask_values("person=15,17 void=255").person
        ((15, 15), (17, 17))
    """
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in _NAMES}
    name, colours = "", set()
    for part in re.split(r"[\s,;]+", text.strip()):
        key, equals, value = part.partition("=")
        if equals:
            name = key.strip().lower()
        else:
            value = key
        if name not in _NAMES:
            raise UsageError(f"mask values: {part!r:.80} has no name of {', '.join(_NAMES)}; write {EXAMPLE}")
        colour, numbers = _COLOUR.fullmatch(value), _NUMBERS.fullmatch(value)
        if colour:
            found[name].append((int(colour[1], 16),) * 2)
        elif numbers:
            first, last = int(numbers[1]), int(numbers[2] or numbers[1])
            if not first <= last <= LARGEST:
                raise UsageError(f"mask values: {part!r} must go up, from 0 to at most {LARGEST}")
            found[name].append((first, last))
        else:
            raise UsageError(f"mask values: {part!r:.80} is no number, range or colour; write {EXAMPLE}")
        colours.add(bool(colour))
    if len(colours) > 1:
        raise UsageError(f"mask values {text!r:.80}: numbers and colours do not go together; give one kind")
    if not found["person"]:
        raise UsageError(f"mask values {text!r:.80} name no person; write {EXAMPLE}")
    pairs = sorted(pair for ranges in found.values() for pair in ranges)
    for before, after in itertools.pairwise(pairs):
        if after[0] <= before[1]:
            raise UsageError(f"mask values {text!r:.80}: {after[0]} is given twice; each value has one name")
    person, void, background = (tuple(found[name]) for name in _NAMES)
    return MaskValues(person, void, background, colours == {True})
