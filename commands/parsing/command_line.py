"""Makes a command's options from frozen dataclasses, and calls the command with the filled dataclasses.

    @with_options
    def draw(drawing: Drawing, networks: Annotated[list[str], typer.Argument()]) -> None: ...

Each field made by `latlas.option` becomes an option; other parameters stay as they are. Classes may share an option, such as
`seed`: it is then one option, and each class gets its value.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Annotated, Any, get_type_hints

import typer

from latlas.commands.parsing.help_text import HELP_ALL, show_all
from latlas.errors import UsageError
from latlas.option import Option, look_before, options_of


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function with a parameter for each option of its dataclasses, as typer expects it.

    The texts of the options are turned into the fields' values here. The classes are filled, and have checked their values,
    before the function is called. Raises `TypeError` if two classes have different options of one name.
    """
    hints = get_type_hints(function, include_extras=True)
    classes: dict[str, type] = {}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if is_dataclass(kind) and isinstance(kind, type):
            classes[name] = kind
            for one in _parameters_of(kind):
                if parameters.setdefault(one.name, one) != one:
                    raise TypeError(
                        f"two classes have an option {one.name!r}, and they differ: {parameters[one.name]}, {one}"
                    )
        else:
            parameters[name] = parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY)
    if any(about.group for kind in classes.values() for about in options_of(kind).values()):
        parameters[HELP_ALL] = _parameter(HELP_ALL, Annotated[bool, _HELP_ALL], False)

    @functools.wraps(function)
    def command(**values: Any) -> None:
        values.pop(HELP_ALL, None)
        filled = {name: _filled(kind, values) for name, kind in classes.items()}
        for instance in filled.values():
            look_before(instance)
        taken = {_key(name, about) for kind in classes.values() for name, about in options_of(kind).items()}
        function(**filled, **{name: value for name, value in values.items() if name not in taken})

    command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: one.annotation for name, one in parameters.items()}
    return command


_HELP_ALL = typer.Option("--help-all", is_eager=True, callback=show_all, help="Show all options and exit.")


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _key(name: str, about: Option) -> str:
    """Typer's name for the option of a field, as in environment variables and in `latlas.toml`."""
    return (about.name or name).replace("-", "_")


def _parameters_of(kind: type) -> list[inspect.Parameter]:
    """A parameter for each option of a dataclass."""
    options = options_of(kind)
    types = _types_of(kind, options)
    defaults = {one.name: one.default for one in fields(kind)}
    return [
        _parameter(
            _key(name, about),
            Annotated[str if about.read else types[name], _typer_option(_key(name, about), about, defaults[name])],
            (about.shown or "") if about.read else defaults[name],
        )
        for name, about in options.items()
    ]


def _types_of(kind: type, names: Iterable[str]) -> dict[str, Any]:
    """The types of these fields. Other fields are not looked up, as only type checkers may know their types."""
    found: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        own = {name: hint for name, hint in vars(owner).get("__annotations__", {}).items() if name in names}
        found |= get_type_hints(SimpleNamespace(__annotations__=own), vars(sys.modules[owner.__module__]))
    return found


@functools.cache
def _checking(name: str, about: Option) -> Callable[[Any], Any]:
    """A typer callback that refuses values outside the option's bounds and choices."""

    def check(value: Any) -> Any:
        if about.read and value is not None:
            about.read(value)  # this raises before any work; the class gets the value when it is filled
        elif problem := about.problem(name, value):
            raise UsageError(problem)
        return value

    return check


@functools.cache
def _typer_option(key: str, about: Option, default: object) -> Any:
    """The option in typer's form; equal for the same field of two classes."""
    name = f"--{key.replace('_', '-')}"
    return typer.Option(
        f"{name}/--no-{name[2:]}" if default is True or about.negated else name,
        help=about.help,
        metavar=about.metavar or None,
        rich_help_panel=about.group or None,
        show_default=about.shown if about.shown is not None and not about.read else True,
        show_envvar=False,
        callback=_checking(name, about),
        autocompletion=(lambda: list(about.offered() if about.offered else about.choices)),
    )


def _filled(kind: type, values: Mapping[str, Any]) -> Any:
    """An instance of the class with the values of its options."""
    given = {}
    for name, about in options_of(kind).items():
        value = values[_key(name, about)]
        given[name] = about.read(value) if about.read else value
    return kind(**given)
