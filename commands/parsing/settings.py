"""Reads options from `latlas.toml` and environment variables, and finds mistakes in them.

A mistake in the file stops only the command that it concerns. Other commands and the help say it in one line and go on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latlas.choices import did_you_mean, nearest
from latlas.commands.parsing.importing import IMPORT_VARIABLE, imports_of
from latlas.errors import UsageError
from latlas.registry import request_imports

FILE = Path("latlas.toml")
PREFIX = "LATLAS"
OTHER_VARIABLES = ("LATLAS_CACHE",)
"""Variables that do not set an option."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in the file, and the words of the command that it concerns; None if it may concern any."""

    message: str
    command: tuple[str, ...] | None = None


@dataclass(slots=True)
class Settings:
    """The defaults of the commands from the file, and the file's mistakes."""

    defaults: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def require(self, command: tuple[str, ...]) -> None:
        """Raises `UsageError` for the first mistake that concerns a command, given by its words, such as `("tables", "list")`."""
        for problem in self.problems:
            if problem.command in (None, command):
                self.problems.clear()
                raise UsageError(problem.message)

    def warning(self) -> str | None:
        """A line about the mistakes that stopped nothing; None if there are none."""
        if not self.problems:
            return None
        first, *others = self.problems
        return f"warning: {first.message}{f' (and {len(others)} more)' if others else ''}"


def read_settings(command: Any, path: Path = FILE) -> Settings:
    """The settings of a file for the commands of `command`. The file need not exist; nothing is raised."""
    if not path.is_file():
        return Settings()
    import tomllib

    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Settings(problems=[Problem(f"{path} cannot be read: {error}")])
    settings = Settings()
    try:
        # Only installed packages: a stranger's folder with a latlas.toml must not run the code beside it.
        request_imports(imports_of(sections, str(path)))
    except UsageError as error:
        settings.problems.append(Problem(str(error)))
    settings.defaults = _defaults(sections, command, str(path), (), settings.problems)
    return settings


def _defaults(
    section: Mapping[str, Any], command: Any, where: str, words: tuple[str, ...], problems: list[Problem]
) -> dict[str, Any]:
    """The section's values by the names of the command's parameters; any other name becomes a mistake."""
    group = hasattr(command, "commands")
    known = command.commands if group else {one.name: one for one in command.params if one.expose_value}
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = key.replace("_", "-") if group else key.replace("-", "_")
        if name in known and isinstance(value, dict) == group:
            path = (*words, name) if group else words
            found[name] = _defaults(value, known[name], f"{where}, [{name}]", path, problems) if group else value
            continue
        meant = did_you_mean(name, known) if name not in known else ""
        listed = f"; {'commands' if group else 'options'} are {', '.join(known)}"
        near = name if name in known else nearest(name, known)
        concerned = words if not group else (*words, near) if near is not None else None
        problems.append(Problem(f"{where}: {key!r} is not known there{meant or listed}", concerned))
    return found


def variable_warnings(command: Any, variables: Mapping[str, str] | None = None) -> list[str]:
    """A line for each unknown variable that begins like ours; it names our nearest one."""
    set_here = os.environ if variables is None else variables
    ours = [name for name in set_here if name.startswith(f"{PREFIX}_")]
    if not ours:
        return []
    own = {*OTHER_VARIABLES, IMPORT_VARIABLE}
    if unknown := set(ours) - own - set(_variables_of(command, PREFIX, ours)):
        known = sorted(own | set(_variables_of(command, PREFIX)))
        return [
            f"warning: the environment variable {name} is not known and does nothing{did_you_mean(name, known)}"
            for name in ours
            if name in unknown
        ]
    return []


def _variables_of(command: Any, prefix: str, among: Collection[str] | None = None) -> Iterator[str]:
    """The environment variables of the options of a command and of its subcommands.

    With `among`, only of commands that one of these variables may belong to; the others are not loaded.
    """
    for parameter in command.params:
        if getattr(parameter, "allow_from_autoenv", False):
            yield f"{prefix}_{parameter.name.upper()}"
    commands = getattr(command, "commands", {})
    for name in commands:
        below = f"{prefix}_{name.upper().replace('-', '_')}"
        if among is None or any(one.startswith(f"{below}_") for one in among):
            yield from _variables_of(commands[name], below, among)
