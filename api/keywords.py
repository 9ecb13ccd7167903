"""Gives functions the fields of a frozen dataclass as keywords, so that an option is written only once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Concatenate, ParamSpec, TypeVar

from latlas.option import look_before, options_of

Subject = TypeVar("Subject")
Options = TypeVar("Options")
Result = TypeVar("Result")
Fields = ParamSpec("Fields")


def with_fields(
    options: Callable[Fields, Options],
) -> Callable[[Callable[[Subject, Options], Result]], Callable[Concatenate[Subject, Fields], Result]]:
    """A decorator: a function `verb(it, options)` can then be called as `verb(it, field=value)`.

    Its docstring gets a section with the fields, each with its default and help. Editors and mypy see the type of each field.
    """

    def decorate(function: Callable[[Subject, Options], Result]) -> Callable[Concatenate[Subject, Fields], Result]:
        @functools.wraps(function)
        def called(subject: Subject, /, *given: Fields.args, **named: Fields.kwargs) -> Result:
            asked = options(*given, **named)
            look_before(asked)
            return function(subject, asked)

        first, _ = inspect.signature(function).parameters.values()
        own = inspect.signature(options).parameters.values()
        called.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
        called.__doc__ = _documented(inspect.getdoc(function) or "", options)
        return called

    return decorate


def keywords(options: Any) -> dict[str, Any]:
    """The fields of a dataclass as keywords for a function made by `with_fields`."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.init}


def _documented(text: str, options: Any) -> str:
    """The docstring with a section of the options in front of its example."""
    lines = [f"    {name}: {about.help}" for name, about in options_of(options).items()]
    before, example, after = text.partition("Example:\n")
    return f"{before.rstrip()}\n\nOptions:\n" + "\n".join(lines) + (f"\n\n{example}{after}" if example else "")
