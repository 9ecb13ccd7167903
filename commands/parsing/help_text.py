"""The help of a command. It explains the common options on one screen, and lists the names of the others in groups.

`--help-all` explains all options, with a panel for each group.
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
    """If asked for, print the help with every option explained, and exit."""
    if asked and not context.resilient_parsing:
        context.meta[_META] = True
        typer.echo(context.get_help())
        raise typer.Exit


class GroupedCommand(TyperCommand):
    """A command whose help explains the options without a group, and names the others."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print usage, description, options and example."""
        from rich.console import Console

        whole = _META in ctx.meta
        groups: dict[str, list[Parameter]] = {COMMON: []}
        for parameter in self.get_params(ctx):
            named_below = parameter.name == HELP_ALL and not whole  # the title of its panel names it
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
    """The paragraphs of a docstring as lines, only the first or all."""
    paragraphs = [one.replace("\n", " ") for one in inspect.cleandoc(text).split("\n\n")]
    return "\n".join(paragraphs if whole else paragraphs[:1])


def _grid() -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True, style="bold cyan")
    return grid


def _explained(options: list[Parameter]) -> Table:
    """A row for each option: name, kind of value, and help with the default."""
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
    """A row for each group, with the names of its options."""
    from rich.text import Text

    grid = _grid()
    grid.columns[0].style = ""
    grid.add_column(ratio=1)
    for name, options in groups.items():
        grid.add_row(name, Text(" ".join(_names(one) for one in options), style="bold cyan"))
    return grid


def _names(option: Parameter) -> str:
    """All names of an option, the short ones first; the name of an argument is written as in the usage line."""
    if isinstance(option, TyperArgument):
        return option.display_name_raw + ("" if option.nargs == 1 else "...")
    return "/".join([*sorted(option.opts, key=len), *option.secondary_opts])


def _kind(option: Parameter) -> str:
    """The word for an option's value; empty for a flag and for an argument."""
    if isinstance(option, TyperArgument) or option.is_flag:
        return ""
    return option.metavar or {"str": "TEXT"}.get(option.bare_type(), option.bare_type().upper())


def _default(option: Parameter) -> str:
    """The default in the help; empty for a flag, an argument, None and an empty text."""
    if isinstance(option, TyperArgument) or option.is_flag:
        return ""
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if option.show_default and option.default is not None else ""
