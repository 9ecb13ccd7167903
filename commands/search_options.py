"""The options of `search` that only the command has: names of files, and drawn images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from latlas.api.data import load_data
from latlas.distribution import how_to_install, is_installed
from latlas.errors import MissingPackageError
from latlas.option import check_options, option
from latlas.search.config import OUTPUT, STUDY, TRAINING


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchInputs:
    """Options: the inputs of a search, and how it is shown."""

    predictor: Path = option(Path("predictor"), "Folder of a predictor, from fit-predictor.", metavar="FOLDER")
    supernet: Path = option(Path("supernet.safetensors"), "Supernet checkpoint, from train-supernet.", metavar="FILE")
    data: str = option("synthetic", "Folder of images and masks, or synthetic.", metavar="FOLDER")
    mask_values: str = option(
        "",
        "Values of the masks that are person, and that are ignored: person=15,void=255. person=0 inverts.",
        group=TRAINING,
        metavar="person=V",
    )
    images: int = option(2000, "Number of synthetic training images.", group=TRAINING, at_least=16)
    pareto: bool = option(
        False,
        "Look for the front: the best networks at all latencies up to the budget, by front-evolution.",
        group=STUDY,
    )
    tensorboard: Path | None = option(None, "Folder for TensorBoard's event files.", group=OUTPUT, metavar="FOLDER")

    def __post_init__(self) -> None:
        check_options(self)
        load_data(self.data, mask_values=self.mask_values)  # raises for wrong values before any work
        if self.tensorboard is not None and not is_installed("tensorboard"):
            raise MissingPackageError(
                f"--tensorboard needs the package tensorboard, which is not installed: {how_to_install('tensorboard')}"
            )
