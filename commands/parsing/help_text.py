"""The help of a command: its common options explained on one screen, the names of the others below in groups.

`--help-all` explains them all, a panel a group.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HELP_ALL = "help_all"
COMMON = "Options"
_META = "latlas.help_all"
Parameter = TyperOption | TyperArgument


def show_all(context: typer.Context, asked: bool) -> None:
    """Print the help with every option explained, and leave, where it was asked for."""
    if asked and not context.resilient_parsing:
        context.meta[_META] = True
        typer.echo(context.get_help())
        raise typer.Exit


class GroupedCommand(TyperCommand):
    """A command whose help explains the options that stand in no group, and names the others."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Usage, description, options and example."""
        from rich.console import Console

        whole = _META in ctx.meta
        groups: dict[str, list[Parameter]] = {COMMON: []}
        for parameter in self.get_params(ctx):
            named_below = parameter.name == HELP_ALL and not whole  # by the title of the panel that it opens
            if isinstance(parameter, Parameter) and not parameter.hidden and not named_below:
                groups.setdefault(parameter.rich_help_panel or COMMON, []).append(parameter)
        console = Console(highlight=False)
        with console.capture() as captured:
            self._print(console, ctx, groups, whole)
        formatter.write(captured.get())

    def _print(self, console: Console, ctx: Any, groups: dict[str, list[Parameter]], whole: bool) -> None:
        from rich.panel import Panel
        from rich.text import Text

        console.print(Text(f"Usage: {ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}", style="bold"))
        console.print(Text(_paragraphs(self.help or "", whole)))
        shown = groups if whole else {COMMON: groups.pop(COMMON)}
        for name, options in shown.items():
            console.print(Panel(_explained(options), title=name, title_align="left", border_style="dim"))
        if groups and not whole:
            console.print(
                Panel(_named(groups), title="More options (--help-all)", title_align="left", border_style="dim")
            )
        section = ".".join(ctx.command_path.split()[1:])
        variable = f"{ctx.auto_envvar_prefix}_<OPTION>"
        console.print(Text(f"Each option is also read from {variable}, and from [{section}] in latlas.toml."))
        if self.epilog:
            console.print(Text(self.epilog), soft_wrap=True)


def _paragraphs(text: str, whole: bool) -> str:
    """A docstring's paragraphs as lines, the first of them or all."""
    paragraphs = [one.replace("\n", " ") for one in inspect.cleandoc(text).split("\n\n")]
    return "\n".join(paragraphs if whole else paragraphs[:1])


def _grid() -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, style="bold cyan")
    return grid


def _explained(options: list[Parameter]) -> Table:
    """Rows of name, kind of value, and help with the default."""
    from rich.text import Text

    grid = _grid()
    grid.add_column(no_wrap=True, style="yellow")
    grid.add_column(ratio=1)
    for one in options:
        help_text = Text(one.help or "")
        if one.envvar:
            help_text.append(f" [{one.envvar}]", style="dim")
        if default := _default(one):
            help_text.append(f" [{default}]", style="dim")
        grid.add_row(_names(one), _kind(one), help_text)
    return grid


def _named(groups: dict[str, list[Parameter]]) -> Table:
    """Rows of a group and the names of its options."""
    from rich.text import Text

    grid = _grid()
    grid.columns[0].style = ""
    grid.add_column(ratio=1)
    for name, options in groups.items():
        grid.add_row(name, Text(" ".join(_names(one) for one in options), style="bold cyan"))
    return grid


def _names(option: Parameter) -> str:
    """All names of an option, the short ones first; an argument's as the usage line has it."""
    if isinstance(option, TyperArgument):
        return option.display_name_raw + ("" if option.nargs == 1 else "...")
    return "/".join([*sorted(option.opts, key=len), *option.secondary_opts])


def _kind(option: Parameter) -> str:
    """What stands for an option's value; nothing for a flag and for an argument."""
    if isinstance(option, TyperArgument) or option.is_flag:
        return ""
    return option.metavar or {"str": "TEXT"}.get(option.bare_type(), option.bare_type().upper())


def _default(option: Parameter) -> str:
    """A default as the help shows it; nothing for a flag, an argument, None and an empty text."""
    if isinstance(option, TyperArgument) or option.is_flag:
        return ""
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if option.show_default and option.default is not None else ""
