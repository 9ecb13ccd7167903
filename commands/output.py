"""Printing for all commands: results go to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from json import dumps
from typing import Any

import typer

from latlas.errors import without_passwords


def note(text: str) -> None:
    """Print a line to standard error."""
    print(without_passwords(text), file=sys.stderr, flush=True)


def shown(value: float | None, times: float, digits: int) -> str:
    """The number times `times` as text, or `unknown`."""
    return "unknown" if value is None else f"{times * value:.{digits}f}"


def repeats_text(record: Mapping[str, Any]) -> str:
    """What a file's networks with several lines say about its noise, to go at the end of a line; empty if there are none."""
    if not record.get("repeated"):
        return ""
    return (
        f"; {record['repeated']} of {record['networks']} networks stand several times, and two of their latencies differ by "
        f"{shown(record['noise_floor'], 100, 2)} % (noise floor)"
    )


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """The lines of a text table; rows are equally long. Columns in `left` are aligned to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def print_result(record: Any, as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Print the record as JSON, or its lines."""
    typer.echo(without_passwords(dumps(record, indent=1, allow_nan=False) if as_json else "\n".join(lines())))


def trouble_lines(troubles: Sequence[str]) -> list[str]:
    """The first lines of a result that was measured on a disturbed machine."""
    return [f"not to be trusted: {trouble}" for trouble in troubles]


def print_marked(record: Any, as_json: bool, lines: Callable[[], list[tuple[str, str]]]) -> None:
    """Print the record as JSON, or its lines, each with a style of rich; plain if it is no terminal."""
    from rich.console import Console
    from rich.text import Text

    if as_json or not (console := Console(file=sys.stdout)).is_terminal:
        print_result(record, as_json, lambda: [text for text, _ in lines()])
        return
    for text, style in lines():
        console.print(Text(text, style=style))


def time_left_text(seconds: float | None) -> str:
    """The time left as text: `42 s left`, `7 min left`, `2 h 5 min left`; at least 1 s, and empty if it is not known."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{max(1, math.ceil(seconds))} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min left"


_whole: ContextVar[Callable[[str, int, int, float | None], float | None] | None] = ContextVar("whole", default=None)


@contextmanager
def part_of_a_whole(time_left: Callable[[str, int, int, float | None], float | None]) -> Iterator[None]:
    """Make the bars in this block show the time left of a longer job.

    `time_left(phase, done, total, seconds)` gets the position of each bar and its own seconds left, and returns the seconds left
    of the whole job.
    """
    token = _whole.set(time_left)
    try:
        yield
    finally:
        _whole.reset(token)


def _told(phase: str, done: int, total: int, seconds: float | None) -> str:
    whole = _whole.get()
    if whole is None:
        return time_left_text(seconds)
    text = time_left_text(whole(phase, done, total, seconds))
    return f"{text} of all" if text else ""


@contextmanager
def bar_of(title: str) -> Iterator[Callable[..., None]]:
    """Progress on standard error: a bar on a terminal, otherwise a line every ten seconds.

    It yields a function to call with `(done, total, what, seconds_left, phase)`. A `phase` replaces the title; what is counted
    may change only together with it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        spoken = [time.monotonic()]

        def speak(done: int, total: int, what: str = "", eta_s: float | None = None, phase: str = "") -> None:
            left = _told(phase or title, done, total, eta_s)
            if time.monotonic() - spoken[0] >= 10:
                spoken[0] = time.monotonic()
                note(f"{phase or title}: {done} of {total}{left and ', '}{left}  {what}")

        yield speak
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[more]}"))
    # Notes and log lines appear above the bar, as rich takes over standard error.
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None, more="")

        def show(done: int, total: int, what: str = "", eta_s: float | None = None, phase: str = "") -> None:
            left = _told(phase or title, done, total, eta_s)
            more = " ".join(filter(None, (f"{done}/{total}", left, what)))[:100]
            progress.update(task, description=phase or title, completed=done, total=total, more=more)

        yield show


class NoteHandler(logging.Handler):
    """Writes log records as `note` does: to the present standard error, above a visible bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line."""
        note(self.format(record))
