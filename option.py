"""Options as fields of frozen dataclasses: written once, for the library's callers and for the command line.

    @dataclass(frozen=True, kw_only=True)
    class Drawing:
        count: int = option(10, "Networks to draw.", at_least=1)
        seed: int = option(0, "Seed of the draws.", at_least=0, group="Reproducibility")

        def __post_init__(self) -> None:
            check_options(self)

A field's name is also the option's: `draw_count` is `--draw-count`. `latlas.commands.parsing` makes the options of a command from
such classes. This module knows nothing of it, so that a class costs a library's user next to nothing to import.
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
    """What is said of an option beside its name, type and default.

    Attributes:
        help: One or two sentences. The first says what the value is.
        group: The panel of `--help-all` that it stands in; "" for a common option, which `--help` explains.
        at_least, above, at_most, below: Bounds of a number, inclusive and exclusive.
        choices: The texts that it may be; none for any.
        several: Whether it may be several of the choices, parted by commas.
        metavar: What stands for the value in the help: `MS`, `FOLDER`.
        read: Makes the field's value from the command line's text, where the field is of no type that a text can be read as.
        shown: The default as text, for such a field; it is also how the help writes any other default.
        name: The option's name on the command line without dashes, where it is not the field's.
        before: Looks at the value before any work is done, when all options are read: a path that cannot be written, a file that
            is not there. It raises `UsageError`; None is not looked at.
        negated: Whether there is a `--no-...` beside it; a flag that is true by default has it anyway.
        offered: What a shell completes, where `choices` do not say it: others may bring more of them.
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
    """A dataclass field that is an option; `more` are the other attributes of `Option`."""
    value: T = field(default=default, metadata={_KEY: Option(help, **more)})
    return value


def options_of(kind: type) -> dict[str, Option]:
    """The options of a dataclass by the names of their fields, in order; fields that are no options are left out."""
    return {one.name: one.metadata[_KEY] for one in fields(kind) if _KEY in one.metadata}


def check_options(instance: Any) -> None:
    """Raises `UsageError` for the first value out of its bounds or not among its choices, naming field, value and bound."""
    for name, about in options_of(type(instance)).items():
        if problem := about.problem(name, getattr(instance, name)):
            raise UsageError(problem)


def look_before(instance: Any) -> None:
    """Look at each value whose option has a `before`; raises what that raises."""
    for name, about in options_of(type(instance)).items():
        value = getattr(instance, name)
        if about.before is not None and value is not None:
            about.before(value)
