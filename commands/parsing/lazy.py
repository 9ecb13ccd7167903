"""Groups that list commands by name and summary, and import a command's module only when it runs."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from latlas.commands.parsing.importing import ImportingCommand


@dataclass(frozen=True, slots=True)
class Listed:
    """A command as it appears in lists.

    Attributes:
        name: The word to type.
        function: The function in `latlas.commands`, such as `tables.tables_list`.
        summary: The first paragraph of the function's docstring.
        example: A complete command line, for the end of the help.
    """

    name: str
    function: str
    summary: str
    example: str

    def stub(self) -> TyperCommand:
        """A command with only a name and help, for lists."""
        return TyperCommand(self.name, help=self.summary)

    def load(self) -> Any:
        """The command itself; imports its module."""
        module, _, function = self.function.rpartition(".")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name, cls=ImportingCommand, epilog=f"Example: {self.example}")(
            getattr(import_module(f"latlas.commands.{module}"), function)
        )
        return typer.main.get_command(app)


class LoadedCommands(UserDict[str, Any]):
    """Commands by name, in order; a listed command is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        """The command of this name."""
        found = self.data[name]
        if isinstance(found, Listed):
            found = self.data[name] = found.load()
        return found

    def stub(self, name: str) -> Any:
        """The command of this name, or its stub if it is not loaded; None if there is no such command."""
        found = self.data.get(name)
        return found.stub() if isinstance(found, Listed) else found


class LazyGroup(TyperGroup):
    """A group of listed commands and loaded ones."""

    listed: tuple[Listed, ...] = ()

    def __init__(self, *, commands: dict[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._commands = LoadedCommands({one.name: one for one in self.listed} | (commands or {}))
        self.commands = self._commands

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in order."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command for a list, with at least name and help; None if there is none of this name."""
        return self._commands.stub(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The loaded command that the words begin with, and the words after it; raises typer's usage error if there is none."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if name is None or found is None else self.commands[name], rest


def lazy_group(commands: Iterable[Listed]) -> type[LazyGroup]:
    """A group class with these commands, for typer."""
    return type("LazyGroup", (LazyGroup,), {"listed": tuple(commands)})
