"""What the commands share on their way in: option types, and what becomes of their texts."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.commands.output import note
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.measuring.profile import Setting
    from latlas.spaces.space import Architecture, SearchSpace
    from latlas.supernet.data.dataset import Dataset


_MASK_VALUE = re.compile(r"(?:person|void|background)=[-#\w,]+")


def listed(text: str) -> list[str]:
    """The different values of a text that parts them by commas."""
    return list(dict.fromkeys(value.strip() for value in text.split(",")))


def _whole_numbers(text: str) -> str:
    for value in listed(text):
        if not value.isdecimal() or not 1 <= int(value) < 2**31:
            raise typer.BadParameter(f"{text!r} is no whole number of at least 1, nor several parted by commas")
    return text


def _mask_values(text: str) -> str:
    if text:
        from latlas.supernet.data.mask_values import parse_mask_values

        parse_mask_values(text)
    return text


def join_mask_values(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--mask-values person=1 void=255`, as one writes it without quotes, joined to one value."""
    found: list[str] = []
    for argument in arguments:
        after_option = found[-2:-1] == ["--mask-values"] or (found and found[-1].startswith("--mask-values="))
        if after_option and _MASK_VALUE.fullmatch(argument):
            found[-1] += f",{argument}"
        else:
            found.append(argument)
    return found


def _lock_at_most(context: typer.Context, seconds: float | None) -> float | None:
    """Keep the option's value to the end of the command, whichever part of it waits for the lock."""
    from latlas.files.lock import waiting_at_most

    context.with_resource(waiting_at_most(seconds))
    return seconds


SpaceOption = Annotated[
    str, typer.Option("--space", help="Search space, such as portrait or portrait:decoder_channels=24.")
]
ResolutionOption = Annotated[
    str, typer.Option("--resolution", help="Input size N or HxW; sets the space's height and width.")
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="f32, bf16 or int8; always set, never left to OpenVINO.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Inference threads.")]
BatchOption = Annotated[int, typer.Option("--batch", min=1, max=4096, help="Images an inference.")]
ThreadsListOption = Annotated[
    str, typer.Option("--threads", help="Inference threads; several by commas.", callback=_whole_numbers)
]
BatchListOption = Annotated[
    str, typer.Option("--batch", help="Images an inference; several by commas.", callback=_whole_numbers)
]
PrecisionListOption = Annotated[str, typer.Option("--precision", help="f32, bf16 or int8; several by commas.")]
ResolutionListOption = Annotated[str, typer.Option("--resolution", help="Input size N or HxW; several by commas.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything that chance decides.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
ErrorOption = Annotated[float, typer.Option("--relative-error", help="Asked half width of the 95 % interval.")]
LockOption = Annotated[
    float | None,
    typer.Option(
        "--lock-timeout",
        min=0,
        callback=_lock_at_most,
        help="Seconds to wait for another run on this host; 0 does not wait. Default: for ever.",
    ),
]
DataOption = Annotated[str, typer.Option("--data", help="Folder of images and masks, or `synthetic`.")]
MaskValuesOption = Annotated[
    str,
    typer.Option(
        "--mask-values",
        callback=_mask_values,
        metavar="person=V[,void=V]",
        help="Which values of the masks are person, and which count for nothing: person=15,void=255; person=0 inverts.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or auto; for training.")]


def setting_of(precision: str, threads: int, relative_error: float = 0.01, seed: int = 0, batch: int = 1) -> Setting:
    """How things are measured, of the options that say so."""
    from latlas.latency.measuring.profile import Setting
    from latlas.latency.measuring.stopwatch import StopRule
    from latlas.latency.runtime.plugin import require_precision

    require_precision(precision)
    cores = os.cpu_count() or 1
    if threads > cores:
        raise UsageError(f"--threads is {threads}; this machine has {cores} CPUs")
    if not 0 < relative_error < 1:
        raise UsageError(f"--relative-error is {relative_error}; it must lie between 0 and 1, as 0.01 for 1 %")
    rule = StopRule(relative_half_width=relative_error)
    # A steady network meets one per cent with six passes; the error falls with the root of their number.
    passes = max(3, math.ceil(6 * (0.01 / relative_error) ** 2))
    return Setting(
        precision=precision, threads=threads, batch=batch, seed=seed, rule=rule, passes=passes, max_passes=4 * passes
    )


def space_of(text: str, resolution: str) -> SearchSpace:
    """The search space of its text, with the resolution put in."""
    from latlas.api.spaces import space

    return space(text, resolution)


def architecture_of(text: str, space: SearchSpace | None) -> Architecture:
    """The architecture of a text, a JSON file or an exported model file; says so where a baseline is taken as that of `space`."""
    from latlas.api.spaces import architecture

    return architecture(text, space, on_note=note)


def default_table(
    space: SearchSpace, precision: str, threads: int, batch: int = 1, folder: Path = Path("tables")
) -> Path:
    """Where a published table of this machine lies."""
    from latlas.latency.machine.environment import cpu_model
    from latlas.latency.sharing.names import table_path

    return folder / table_path(cpu_model(), space.text, precision, threads, batch)


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
    """The images of a split, read or drawn; `sheet` is where a sheet of them is drawn if the masks look wrong."""
    from latlas.supernet.data.checks import person_share, void_share
    from latlas.supernet.data.dataset import synthetic
    from latlas.supernet.data.folder import load_folder

    note(f"loading the {split} images of {data} at {height}x{width}")
    if data == "synthetic":
        if mask_values:
            raise UsageError("--mask-values is for masks that are read; leave it out with --data synthetic")
        # Even seeds train and odd ones validate, so that no two seeds mix the splits.
        return synthetic(images, height, width, 2 * seed + (split == "val"), keep_native=keep_native)
    found = load_folder(
        Path(data), split, height, width, keep_native=keep_native, mask_values=mask_values or None, sheet=sheet
    )
    void = f", {void_share(found):.1%} void" if void_share(found) else ""
    note(f"{len(found)} images, {person_share(found):.1%} of the known pixels are person{void}")
    return found


def size_of(text: str, default: tuple[int, int]) -> tuple[int, int]:
    """Height and width of `N` or `HxW`."""
    if not text:
        return default
    height, _, width = text.partition("x")
    return int(number_of(height, "--train-resolution")), int(number_of(width or height, "--train-resolution"))


def number_of(text: str, option: str) -> float:
    """A positive number, or an error that names the option."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} is {text!r}; it must be a positive number")
    return value


def require_writable(folder: Path) -> None:
    """Make the folder; raises `UsageError` where nothing can be written in it, `StorageError` where the disk is full."""
    from latlas.files.write import cannot_write

    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".latlas-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from None
