"""`train-supernet`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.commands import options
from latlas.commands.output import bar_of, print_result, shown
from latlas.errors import UsageError


def train_supernet(
    space: options.SpaceOption = "portrait",
    resolution: options.ResolutionOption = "",
    data: options.DataOption = "synthetic",
    mask_values: options.MaskValuesOption = "",
    images: Annotated[int, typer.Option(help="How many synthetic images.", min=16)] = 2000,
    steps: Annotated[int, typer.Option(min=1)] = 4000,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    learning_rate: Annotated[float, typer.Option()] = 2e-3,
    train_resolution: Annotated[str, typer.Option(help="Size of training images N or HxW; default the space's.")] = "",
    out: Annotated[Path, typer.Option(help="Supernet checkpoint, safetensors.")] = Path("supernet.safetensors"),
    time_limit: Annotated[float | None, typer.Option(help="Seconds after which training ends, annealed.")] = None,
    device: options.DeviceOption = "auto",
    force: options.ForceOption = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Train a supernet by uniform single-path sampling; stopped, the same command goes on."""
    from latlas.supernet.data.augment import Augmentation
    from latlas.supernet.networks.weights_file import save_weights
    from latlas.supernet.training.train import TrainConfig
    from latlas.supernet.training.train import train_supernet as train

    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    chosen = options.space_of(space, resolution)
    height, width = options.size_of(train_resolution, (chosen.input_shape()[1], chosen.input_shape()[2]))
    sheet = out.with_name(out.stem + ".masks.png")
    dataset = options.data_of(data, "train", height, width, images, seed, mask_values=mask_values, sheet=sheet)
    config = TrainConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=device)
    started = time.monotonic()
    last: dict[str, float] = {}

    def show(bar: Callable[..., None]) -> Callable[[Any], None]:
        def on_progress(p: Any) -> None:
            last.update(step=p.step, loss=p.loss)
            bar(p.step, p.steps, f"loss {p.loss:.3f}", p.eta_s)

        return on_progress

    journal = out.with_name(out.name + ".training")
    with bar_of("training the supernet") as bar:
        supernet = train(
            chosen,
            dataset,
            config,
            Augmentation(),
            checkpoint=journal,
            resume=not force,
            on_progress=show(bar),
            time_limit_s=time_limit,
        )
    metadata = {
        "steps": int(last.get("step", steps)),
        "images": len(dataset.images),
        "data": data,
        "mask_values": mask_values,
        "height": height,
        "width": width,
    }
    save_weights(supernet, out, metadata)
    journal.unlink(missing_ok=True)
    record = {
        "supernet": str(out),
        **metadata,
        "remarks": list(dataset.remarks),
        "loss": last.get("loss"),
        "seconds": time.monotonic() - started,
    }
    print_result(
        record,
        json,
        lambda: [f"{out}: {record['steps']} steps, loss {shown(last.get('loss'), 1, 3)}, {record['seconds']:.0f} s"],
    )
