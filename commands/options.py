"""Option types that the commands share, and functions that read their texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.choices import unknown
from latlas.commands.output import note
from latlas.errors import UsageError
from latlas.latency.precisions import PRECISIONS

if TYPE_CHECKING:
    from latlas.latency.measuring.profile import Setting
    from latlas.spaces.space import Architecture, SearchSpace
    from latlas.supernet.data.dataset import Dataset


_MASK_VALUE = re.compile(r"(?:person|void|background)=[-#\w,]+")


def listed(text: str) -> list[str]:
    """The distinct values of a comma-separated text."""
    return list(dict.fromkeys(value.strip() for value in text.split(",")))


def join_mask_values(arguments: Sequence[str]) -> list[str]:
    """The arguments, with `--mask-values person=1 void=255`, typed without quotes, joined to one value."""
    found: list[str] = []
    for argument in arguments:
        after_option = found[-2:-1] == ["--mask-values"] or (found and found[-1].startswith("--mask-values="))
        if after_option and _MASK_VALUE.fullmatch(argument):
            found[-1] += f",{argument}"
        else:
            found.append(argument)
    return found


def _lock_at_most(context: typer.Context, seconds: float | None) -> float | None:
    """Set the option's value for the whole command, whichever part of it waits for the lock."""
    from latlas.files.lock import waiting_at_most

    context.with_resource(waiting_at_most(seconds))
    return seconds


def spaces() -> tuple[str, ...]:
    """The names of the search spaces, for a shell to complete; no space is loaded."""
    from latlas.spaces.text import SPACES

    return SPACES.names()


def _precision(value: str) -> str:
    if value not in PRECISIONS:
        raise UsageError(unknown("precision", value, PRECISIONS))
    return value


SpaceOption = Annotated[
    str,
    typer.Option(
        "--space",
        help="Search space, such as portrait or portrait:decoder_channels=24.",
        autocompletion=lambda: list(spaces()),
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help="f32, bf16 or int8; always set, never left to OpenVINO.",
        callback=_precision,
        autocompletion=lambda: list(PRECISIONS),
    ),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Inference threads.")]
BatchOption = Annotated[int, typer.Option("--batch", min=1, max=4096, help="Images an inference.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything that chance decides.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Begin anew: replace what is there.")]
ErrorOption = Annotated[
    float, typer.Option("--relative-error", help="Half width of the 95 % interval that is asked for.")
]
LockOption = Annotated[
    float | None,
    typer.Option(
        "--lock-timeout",
        min=0,
        callback=_lock_at_most,
        help="Seconds to wait for another run on this host; 0 does not wait. Default: for ever.",
    ),
]


def setting_of(
    precision: str, threads: int, relative_error: float = 0.01, seed: int = 0, batch: int = 1, any_threads: bool = False
) -> Setting:
    """The measurement setting of these options."""
    from latlas.api import setting

    return setting.setting_of(precision, threads, relative_error, seed, batch, any_threads)


def space_of(text: str, resolution: str) -> SearchSpace:
    """The search space of a text, at this resolution."""
    from latlas.api.spaces import space

    return space(text, resolution)


def architecture_of(text: str, space: SearchSpace | None) -> Architecture:
    """The architecture of a text, a JSON file or an exported model file; notes if a baseline is taken as one of `space`."""
    from latlas.api.spaces import architecture

    return architecture(text, space, on_note=note)


def data_of(
    data: str,
    split: str,
    height: int,
    width: int,
    images: int,
    seed: int,
    keep_native: bool = False,
    mask_values: str = "",
    sheet: Path | None = None,
) -> Dataset:
    """The images of a split, read or drawn; a sheet of them is written to `sheet` if the masks look wrong."""
    from latlas.api.data import load_data

    loaded = load_data(data, images=images, mask_values=mask_values, seed=seed)
    return loaded.split(split, height, width, keep_native=keep_native, sheet=sheet, on_note=note)


def size_of(text: str, default: tuple[int, int]) -> tuple[int, int]:
    """Height and width from `N` or `HxW`."""
    if not text:
        return default
    height, _, width = text.partition("x")
    return int(number_of(height, "--train-resolution")), int(number_of(width or height, "--train-resolution"))


def number_of(text: str, option: str) -> float:
    """The positive number of a text; the error names the option."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} is {text!r}; it must be a positive number")
    return value


def require_writable(folder: Path) -> None:
    """Make the folder; raises `UsageError` if nothing can be written in it, `StorageError` if the disk is full."""
    from latlas.files.write import cannot_write

    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".latlas-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from None
