"""Options are fields of frozen dataclasses. Each is written once, for callers of the library and for the command line.

    @dataclass(frozen=True, kw_only=True)
    class Drawing:
        count: int = option(10, "Networks to draw.", at_least=1)
        seed: int = option(0, "Seed of the draws.", at_least=0, group="Reproducibility")

        def __post_init__(self) -> None:
            check_options(self)

A field's name is also the option's name: `draw_count` is `--draw-count`. `latlas.commands.parsing` makes a command's options from
these classes. This module does not import it, so a user of the library imports such a class at almost no cost.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from latlas.choices import unknown
from latlas.errors import UsageError

T = TypeVar("T")
_KEY = "latlas option"


@dataclass(frozen=True, slots=True)
class Option:
    """What an option has beside its name, type and default.

    Attributes:
        help: One or two sentences. The first says what the value is.
        group: The panel of `--help-all` that it stands in; "" for a common option, which `--help` explains.
        at_least, above, at_most, below: Bounds of a number, inclusive and exclusive.
        choices: The allowed texts; empty if all are allowed.
        several: Whether several of the choices may be given, separated by commas.
        metavar: A word for the value in the help: `MS`, `FOLDER`.
        read: Makes the field's value from the text on the command line, if typer cannot read the field's type.
        shown: The default as text, for such a field. For other fields, how the help writes the default.
        name: The option's name on the command line without dashes, if it differs from the field's name.
        before: Checks the value before any work is done: a path that cannot be written, a file that does not exist. It raises
            `UsageError`, and is not called for None.
        negated: Whether there is also a `--no-...`; a flag that is true by default always has one.
        offered: Gives the values that a shell completes, if `choices` is empty because other packages may add values.
    """

    help: str
    group: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    several: bool = False
    metavar: str = ""
    read: Callable[[str], Any] | None = None
    shown: str | None = None
    name: str = ""
    offered: Callable[[], Iterable[str]] | None = None
    before: Callable[[Any], None] | None = None
    negated: bool = False

    def problem(self, name: str, value: object) -> str | None:
        """A sentence that refuses a value of the option of this name; None for a good one."""
        if value is None:
            return None
        if self.choices:
            given = [one.strip() for one in value.split(",")] if self.several and isinstance(value, str) else [value]
            wrong = [one for one in given if one not in self.choices]
            return unknown(name.lstrip("-"), wrong[0], self.choices) if wrong else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        bounds = (
            ("at least", self.at_least, operator.ge),
            ("above", self.above, operator.gt),
            ("at most", self.at_most, operator.le),
            ("below", self.below, operator.lt),
        )
        for words, bound, holds in bounds:
            if bound is not None and not (holds(value, bound) and math.isfinite(value)):
                return f"{name} is {value!r:.40}; it must be {words} {bound:g}"
        return None


def option(default: T, help: str, **more: Any) -> T:
    """A dataclass field that is an option; `more` holds the other attributes of `Option`."""
    value: T = field(default=default, metadata={_KEY: Option(help, **more)})
    return value


def options_of(kind: type) -> dict[str, Option]:
    """The options of a dataclass by field name, in order; other fields are left out."""
    return {one.name: one.metadata[_KEY] for one in fields(kind) if _KEY in one.metadata}


def check_options(instance: Any) -> None:
    """Raises `UsageError` for the first value that is out of bounds or not allowed; it names field, value and bound."""
    for name, about in options_of(type(instance)).items():
        if problem := about.problem(name, getattr(instance, name)):
            raise UsageError(problem)


def look_before(instance: Any) -> None:
    """Call `before` of each option that has one with its value; raises the same errors."""
    for name, about in options_of(type(instance)).items():
        value = getattr(instance, name)
        if about.before is not None and value is not None:
            about.before(value)
