"""The message for a command line that cannot be parsed: one line with the value, and what was probably meant."""

from __future__ import annotations

import re

import typer

from latlas.choices import did_you_mean

_RENAMED = {"--device": "--cpu"}
"""Options of earlier versions, and what they are called now where a command has that: the CPU of a table was its device."""


def usage_error(error: typer.TyperException) -> str:
    """The message for a mistake in a command line, in one line.

    It adds what typer leaves out: a value outside its range, and the nearest option, command or choice.
    """
    context = getattr(error, "ctx", None)
    see = f"see `{context.command_path if context else 'latlas'} --help`"
    message, meant = _message(error, context)
    return f"error: {message}{meant} {see[0].upper()}{see[1:]}" if meant else f"error: {message}; {see}"


def _message(error: typer.TyperException, context: typer.Context | None) -> tuple[str, str]:
    """What is wrong, without a full stop, and what was probably meant."""
    message = error.format_message().rstrip(".")
    option, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if option is not None and near is not None:
        renamed = _RENAMED.get(option)
        meant = f"; did you mean {renamed}?" if renamed in _options_of(context) else did_you_mean(option, near)
        return f"no such option: {option}", meant
    if found := re.match(r"No such command '(.*?)'\.", error.format_message()):
        return f"no such command {found[1]!r}", did_you_mean(
            found[1], getattr(getattr(context, "command", None), "commands", ())
        )
    message = message.replace("Value error, ", "", 1)  # pydantic's words
    errors = getattr(error.__cause__, "errors", None)
    value = errors()[0]["input"] if errors else None
    choices = getattr(getattr(getattr(error, "param", None), "type_descriptor", None), "choices", None)
    if choices:
        return message, did_you_mean(value, [str(getattr(one, "value", one)) for one in choices])
    return f"{message}{f', not {value!r}' if errors else ''}", ""


def _options_of(context: typer.Context | None) -> set[str]:
    """The names of the options of the command that the context is of."""
    command = getattr(context, "command", None)
    return {name for parameter in getattr(command, "params", ()) for name in parameter.opts}
