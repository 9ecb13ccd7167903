"""The command line: it parses, calls, prints. A command is loaded when it is asked for, so `--help` answers at once."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from latlas.commands.options import join_mask_values
from latlas.commands.output import NoteHandler, note
from latlas.commands.parsing.catalog import COMMANDS, PREDICTOR, TABLES
from latlas.commands.parsing.lazy import lazy_group
from latlas.commands.parsing.settings import read_settings, variable_warnings
from latlas.commands.parsing.usage import usage_error
from latlas.distribution import latlas_version, missing_package
from latlas.errors import InterruptedRunError, LatlasError, StorageError, UsageError
from latlas.files.home import home_folder
from latlas.files.signals import raise_on_signals
from latlas.registry import forget_requests

EPILOG = (
    "Exit codes: 0 ok; 1 not achieved; 2 usage; 3 incompatible or invalid file; 4 interrupted, resumable. "
    "Every option may be set by an environment variable, LATLAS_<COMMAND>_<OPTION>, "
    "or in latlas.toml, \\[command] option = value; packages to import by LATLAS_IMPORT, or import = [...] at its top."
)
app = typer.Typer(
    cls=lazy_group(COMMANDS),
    help="Latlas: a latency atlas for neural architecture search on CPUs.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "LATLAS"},
)
SIGINT_CODE = 130
"""Typer's exit code for Ctrl-C."""
COMPLETING = "_LATLAS_COMPLETE"
"""A shell sets this variable to ask for completions."""


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"latlas {latlas_version()}")
        raise typer.Exit


@app.callback()
def _latlas(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


app.add_typer(
    typer.Typer(
        cls=lazy_group(TABLES),
        help="List, show, check, compare, join and share latency tables.",
        no_args_is_help=True,
    ),
    name="tables",
)
app.add_typer(
    typer.Typer(
        cls=lazy_group(PREDICTOR),
        help="Show predictors, and adapt them to other environments.",
        no_args_is_help=True,
    ),
    name="predictor",
)


def command_line() -> Any:
    """The command line as one click command, with all its subcommands."""
    command = typer.main.get_command(app)
    for parameter in command.params:  # --version is not a setting: LATLAS_VERSION would end every command
        parameter.allow_from_autoenv = False  # type: ignore[attr-defined]
    return command


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and return its documented exit code; an error is one line on standard error."""
    forget_requests()
    command = command_line()
    if COMPLETING in os.environ:  # a shell asks what may come next; any other output would spoil its answer
        command(args=[], prog_name="latlas")
    settings = read_settings(command)
    for line in variable_warnings(command):
        note(line)
    try:
        code = command(
            args=join_mask_values(arguments),
            prog_name="latlas",
            default_map=settings.defaults,
            obj=settings,
            standalone_mode=False,
        )
    except LatlasError as error:
        note(f"error: {error}")
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        note(f"error: {missing}")
        return missing.exit_code
    except OSError as error:  # a full disk, a deleted file: the message of the operating system says it
        from latlas.files.write import disk_is_full

        note(f"error: {error}")
        return StorageError.exit_code if disk_is_full(error) else UsageError.exit_code
    except typer.TyperException as error:
        if error.format_message():  # a command without arguments has printed its help already
            note(usage_error(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = SIGINT_CODE
    finally:
        if said := settings.warning():
            note(said)
    if code == SIGINT_CODE:
        note("interrupted")
        return InterruptedRunError.exit_code
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line and leave with its documented exit code."""
    # This must be set before torch is imported. Otherwise its threads spin while they wait. With other work on the cores a
    # training step then took ten times longer (2.9-9.4 s instead of 0.3 s), and spinning disturbs a later measurement.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    raise_on_signals()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", handlers=[NoteHandler()])
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its cache, and whether it may
    with home_folder():
        code = run(sys.argv[1:])
    sys.exit(code)


if __name__ == "__main__":
    main()
