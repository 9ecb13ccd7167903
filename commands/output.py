"""What the commands share on their way out: results to standard output, all else to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from typing import Any

import typer


def note(text: str) -> None:
    """A line to standard error."""
    print(text, file=sys.stderr, flush=True)


def shown(value: float | None, times: float, digits: int) -> str:
    """A number times something, or unknown."""
    return "unknown" if value is None else f"{times * value:.{digits}f}"


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Lines of a text table of rows equally long, two blanks between columns: `left` to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def print_result(record: Any, as_json: bool, lines: Callable[[], list[str]]) -> None:
    """The record as JSON, or its lines."""
    typer.echo(dumps(record, indent=1, allow_nan=False) if as_json else "\n".join(lines()))


def print_marked(record: Any, as_json: bool, lines: Callable[[], list[tuple[str, str]]]) -> None:
    """The record as JSON, or its lines, each with a style of rich's; coloured on a terminal, else plain."""
    from rich.console import Console
    from rich.text import Text

    if as_json or not (console := Console(file=sys.stdout)).is_terminal:
        print_result(record, as_json, lambda: [text for text, _ in lines()])
        return
    for text, style in lines():
        console.print(Text(text, style=style))


@contextmanager
def bar_of(title: str) -> Iterator[Callable[..., None]]:
    """A progress line on standard error: a bar on a terminal, else a line every ten seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        spoken = [time.monotonic()]

        def speak(done: int, total: int, what: str = "", eta_s: float | None = None) -> None:
            if time.monotonic() - spoken[0] >= 10:
                spoken[0] = time.monotonic()
                left = f", {eta_s:.0f} s left" if eta_s else ""
                note(f"{title}: {done} of {total}{left}  {what}")

        yield speak
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[more]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None, more="")

        def show(done: int, total: int, what: str = "", eta_s: float | None = None) -> None:
            left = f"{eta_s:.0f} s left " if eta_s else ""
            progress.update(task, completed=done, total=total, more=(left + what)[:100])

        yield show
