"""`--import`, an option of every command, names packages with their own spaces, operators, strategies or formats."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer

from latlas.commands.parsing.help_text import GroupedCommand
from latlas.errors import UsageError
from latlas.registry import import_requested, request_imports

IMPORT_VARIABLE = "LATLAS_IMPORT"
"""The environment variable of `--import`."""


def _request(context: typer.Context, names: list[str] | None) -> None:
    if not context.resilient_parsing:
        request_imports((name.strip() for text in names or () for name in text.split(",")), from_here=True)


def _prototype(
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            envvar=IMPORT_VARIABLE,
            is_eager=True,
            expose_value=False,
            callback=_request,
            metavar="PACKAGE",
            help="Package with spaces, operators, strategies or formats. May be repeated.",
        ),
    ] = None,
) -> None:
    """A command with only this option; the others take it from here."""


@cache
def _option() -> Any:
    app = typer.Typer(add_completion=False)
    app.command()(_prototype)
    return next(parameter for parameter in typer.main.get_command(app).params if "--import" in parameter.opts)


class ImportingCommand(GroupedCommand):
    """A command that also has `--import`, and imports these packages before it runs."""

    def __init__(self, *arguments: Any, params: list[Any] | None = None, **settings: Any) -> None:
        super().__init__(*arguments, params=[*(params or ()), _option()], **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command's function.

        Before that, raises `UsageError` if its settings in `latlas.toml` are wrong, or if a package cannot be imported.
        """
        if ctx.obj is not None:
            ctx.obj.require(tuple(ctx.command_path.split()[1:]))
        import_requested()
        return super().invoke(ctx)


def imports_of(sections: dict[str, Any], where: str) -> list[str]:
    """Take `import = ["my_package"]` out of the sections of `latlas.toml`; raises `UsageError` if it is no list of names."""
    names = sections.pop("import", [])
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UsageError(f'{where}: import is {names!r:.80}; it must be a list of packages, such as ["my_package"]')
    return names
