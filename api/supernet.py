"""`train_supernet` and `load_supernet`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.data import Data, load_data
from latlas.api.keywords import with_fields
from latlas.api.setting import OnNote, OnProgress, require_new, tell_nobody
from latlas.distribution import require_torch
from latlas.errors import LatlasError, UsageError
from latlas.files.places import require_can_write
from latlas.option import check_options, option
from latlas.supernet.data.fitting import require_multiple, require_person_or_not
from latlas.supernet.training.devices import DEVICES

if TYPE_CHECKING:
    from latlas.spaces.space import SearchSpace
    from latlas.supernet.data.dataset import Dataset
    from latlas.supernet.networks.network import Supernet


@dataclass(frozen=True, slots=True)
class SupernetOptions:
    """The options of `train_supernet`.

    Attributes:
        data: The images to train on; None for drawn portraits.
        on_note, on_progress: See `latlas.api.setting`.
    """

    data: Data | None = None
    _: KW_ONLY
    steps: int = option(4000, "Steps of training, each of one random architecture.", at_least=1)
    batch_size: int = option(16, "Images a step.", at_least=2)
    learning_rate: float = option(2e-3, "AdamW's learning rate at its highest.", above=0, at_most=1)
    train_resolution: str = option("", "Size of training images, N or HxW. Default: the space's.", metavar="SIZE")
    out: str | Path | None = option(
        Path("supernet.safetensors"),
        "Supernet checkpoint, safetensors.",
        metavar="FILE",
        read=Path,
        shown="supernet.safetensors",
        before=require_can_write,
    )
    time_limit: float | None = option(None, "Seconds after which training ends, annealed.", above=0, metavar="S")
    device: str = option("auto", "Where it is trained: auto, cpu or cuda.", choices=DEVICES)
    force: bool = option(False, "Begin anew: replace what is there, and what was begun.")
    seed: int = option(0, "Seed of everything that chance decides.", at_least=0, at_most=2**31 - 1)
    on_note: OnNote | None = None
    on_progress: OnProgress | None = None

    def __post_init__(self) -> None:
        check_options(self)


@with_fields(SupernetOptions)
def train_supernet(space: SearchSpace, options: SupernetOptions) -> Supernet:
    """A supernet of the space, trained by uniform single-path sampling, in inference mode.

    Its subnets share its weights, so a search can score them without training each. It is written to the file `out`, or nowhere
    if that is None. If it is stopped, the same call goes on from `<out>.training`.

    Args:
        space: A space whose networks have one class, person or not.

    Raises:
        UsageError: The file is there already, or an option is not possible.
        DataError: An image or a mask is missing, broken, or does not match.
        DivergedError: The loss is not finite, or grew instead of falling; a smaller learning rate helps.
        InterruptedRunError: Ctrl-C.
        LatlasError: The time limit was over before the first step.

    Example:
        >>> import latlas
        >>> space = latlas.space("portrait:resolution=32,depths=1.1.1.1,widths=8.8.16.16")
        >>> data = latlas.load_data("synthetic", images=16)
        >>> supernet = latlas.train_supernet(space, data, steps=1, batch_size=2, device="cpu", out="small.safetensors")
        >>> supernet.space == space, latlas.load_supernet("small.safetensors").space == space
        (True, True)
    """
    require_torch("train-supernet")

    from latlas.supernet.networks.weights_file import save_weights

    require_person_or_not(space.cover()[0].graph())
    out = Path(options.out) if options.out is not None else None
    journal = None if out is None else out.with_name(out.name + ".training")
    if (
        out is not None and journal is not None and not journal.exists()
    ):  # a run that replaces a file keeps the old one until its end
        require_new(out, options.force)
    data = options.data or load_data()
    height, width = size_of(options.train_resolution, space)
    require_multiple(space.cover()[0].graph(), (height, width), "training images")
    sheet = None if out is None else out.with_name(out.stem + ".masks.png")
    dataset = data.split("train", height, width, sheet=sheet, on_note=options.on_note)
    supernet, reached = _trained(space, dataset, options, journal)
    if not reached["step"]:
        raise LatlasError(
            f"no step was done in the time limit of {options.time_limit} s, so nothing is written; give more time"
        )
    if out is not None and journal is not None:
        made_of: dict[str, Any] = {
            "steps": int(reached["step"]),
            "asked_steps": options.steps,
            "trained_seconds": reached["seconds"],
            "images": len(dataset.images),
            "data": data.source,
            "mask_values": data.mask_values,
            "height": height,
            "width": width,
            "warnings": list(dataset.warnings),
            "loss": reached.get("loss"),
        }
        save_weights(supernet, out, made_of)
        if reached["step"] > reached["first_step"] or reached["step"] == options.steps:
            journal.unlink(missing_ok=True)  # without a step it is kept, so that a run with more time goes on from it
    return supernet


def _trained(
    space: SearchSpace, dataset: Dataset, options: SupernetOptions, journal: Path | None
) -> tuple[Supernet, dict[str, float]]:
    """The supernet, and the step and loss that were reported last."""
    from latlas.supernet.data.augment import Augmentation
    from latlas.supernet.training import train

    told, reached = options.on_progress or tell_nobody, {"step": 0.0, "first_step": 0.0, "seconds": 0.0}

    def on_progress(p: train.TrainProgress) -> None:
        reached.update(step=p.step, first_step=p.first_step, seconds=p.seconds, loss=p.loss)
        told(p.step, p.steps, f"loss {p.loss:.3f}", p.eta_s, "")

    config = train.TrainConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        device=options.device,
    )
    supernet = train.train_supernet(
        space,
        dataset,
        config,
        Augmentation(),
        checkpoint=journal,
        resume=not options.force,
        on_progress=on_progress,
        time_limit_s=options.time_limit,
    )
    return supernet, reached


def load_supernet(path: str | Path) -> Supernet:
    """The supernet of a file that `train_supernet` wrote, in inference mode; `supernet.space` is its space.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, foreign or of another schema, or its tensors do not fit its space.

    Example:
        >>> import latlas
        >>> latlas.load_supernet("supernet.safetensors").space.name
        'portrait'
    """
    from latlas.supernet.networks import weights_file

    return weights_file.load_supernet(Path(path))


def size_of(text: str, space: SearchSpace) -> tuple[int, int]:
    """Height and width from `N` or `HxW`, the space's for an empty text; raises `UsageError` if it is no size."""
    if not text:
        return space.input_shape()[1:]
    height, _, width = text.lower().partition("x")
    for number in (height, width or height):
        if not number.isdecimal() or not 1 <= int(number) <= 8192:
            raise UsageError(
                f"--train-resolution is {text!r}; it must be N or HxW, whole numbers of pixels such as 192x256"
            )
    return int(height), int(width or height)
