"""`train-supernet`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latlas.api.data import load_data
from latlas.api.keywords import keywords
from latlas.api.supernet import SupernetOptions, train_supernet
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, shown
from latlas.commands.parsing.command_line import with_options
from latlas.distribution import require_torch
from latlas.option import check_options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """Options: the space of a supernet, and the images to train it on."""

    space: str = option(
        "portrait", "Search space, such as portrait or portrait:decoder_channels=24.", offered=options.spaces
    )
    resolution: str = option("", "Input size N or HxW. It sets the space's height and width.")
    data: str = option("synthetic", "Folder of images and masks, or synthetic.", metavar="FOLDER")
    mask_values: str = option(
        "",
        "Values of the masks that are person, and that are ignored: person=15,void=255. person=0 inverts.",
        metavar="person=V",
    )
    images: int = option(2000, "Number of synthetic images.", at_least=16)

    def __post_init__(self) -> None:
        check_options(self)
        load_data(self.data, mask_values=self.mask_values)  # raises for wrong values before any work


@with_options
def train_supernet_command(
    on: TrainedOn,
    training: SupernetOptions,
    json: options.JsonOption = False,
) -> None:
    """Train a supernet by uniform single-path sampling. If it is stopped, the same command goes on."""
    require_torch("train-supernet")

    from latlas.supernet.networks.weights_file import read_metadata

    started = time.monotonic()
    space = options.space_of(on.space, on.resolution)
    data = load_data(on.data, images=on.images, mask_values=on.mask_values, seed=training.seed)
    with bar_of("training the supernet") as bar:
        train_supernet(space, **keywords(replace(training, data=data, on_note=note, on_progress=bar)))
    out = Path(training.out or "")
    record = {"supernet": str(out), **read_metadata(out), "seconds": time.monotonic() - started}
    print_result(
        record,
        json,
        lambda: _lines(record),
    )


def _lines(record: Mapping[str, Any]) -> list[str]:
    """The line of a training; it says first if there were fewer steps than asked for."""
    steps, asked = record["steps"], record["asked_steps"]
    short = f" of {asked}: the time limit was over" if steps < asked else ""
    loss = f"loss {shown(record['loss'], 1, 3)}, {record['trained_seconds']:.0f} s"
    return [f"{record['supernet']}: {steps} steps{short}, {loss}"]
