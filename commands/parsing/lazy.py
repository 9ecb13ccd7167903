"""Groups of commands that know a command's name and one line of help, and load its module when it is asked for."""

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
    """A command as a list of commands has it.

    Attributes:
        name: What is typed.
        function: Where it is in `latlas.commands`, such as `tables.tables_list`.
        summary: The first paragraph of the function's docstring.
        example: A command line that runs as it stands, for the end of the help.
    """

    name: str
    function: str
    summary: str
    example: str

    def stub(self) -> TyperCommand:
        """A command with name and help, for lists; it has no options."""
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
    """Commands by name, in order; a listed one is loaded when it is taken."""

    def __getitem__(self, name: str) -> Any:
        """The command of this name."""
        found = self.data[name]
        if isinstance(found, Listed):
            found = self.data[name] = found.load()
        return found

    def stub(self, name: str) -> Any:
        """The command of this name, or what stands for it as long as it is not loaded; None for no command."""
        found = self.data.get(name)
        return found.stub() if isinstance(found, Listed) else found


class LazyGroup(TyperGroup):
    """A group of listed commands, and of others that are there already."""

    listed: tuple[Listed, ...] = ()

    def __init__(self, *, commands: dict[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._commands = LoadedCommands({one.name: one for one in self.listed} | (commands or {}))
        self.commands = self._commands

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in order."""
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command for a list, which needs no more than name and help; None where there is none of that name."""
        return self._commands.stub(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the words begin with, loaded, and the words after it; raises typer's usage error for none."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, None if name is None or found is None else self.commands[name], rest


def lazy_group(commands: Iterable[Listed]) -> type[LazyGroup]:
    """A class of groups that has these commands, for typer to make a group of."""
    return type("LazyGroup", (LazyGroup,), {"listed": tuple(commands)})
