"""The options of `search` that are about files and measuring, and what becomes of them.

What is searched, and how, are the options of `latlas.search`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.commands.output import note
from latlas.files.places import require_can_write
from latlas.latency.predictor.folder import require_predictor
from latlas.option import check_options, option
from latlas.search.config import BUDGET, OUTPUT, STUDY, TRAINING
from latlas.search.proxy_config import BACKBONE
from latlas.supernet.data.layouts import require_data

if TYPE_CHECKING:
    from latlas.search.proxy_config import ProxyConfig
    from latlas.search.run.proxy import ProxyTask
    from latlas.spaces.space import SearchSpace
    from latlas.supernet.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFiles:
    """What a search reads, and the folder that it writes."""

    predictor: Path = option(
        Path("predictor"), "Folder of a predictor, from fit-predictor.", metavar="FOLDER", before=require_predictor
    )
    supernet: Path = option(Path("supernet.safetensors"), "Supernet checkpoint, from train-supernet.", metavar="FILE")
    data: str = option("synthetic", "Folder of images and masks, or synthetic.", metavar="FOLDER", before=require_data)
    out: Path = option(
        Path("runs/search"),
        "Folder of the run. The same command goes on there.",
        metavar="FOLDER",
        before=require_can_write,
    )
    force: bool = option(False, "Begin anew: delete the search that was begun or finished in the folder.")

    mask_values: str = option(
        "",
        "Values of the masks that are person, and that count for nothing: person=15,void=255. person=0 inverts.",
        group=TRAINING,
        metavar="person=V",
    )
    images: int = option(2000, "Number of synthetic training images.", group=TRAINING, at_least=16)
    train_resolution: str = option(
        "", "Size of training images, N or HxW. Default: the space's.", group=TRAINING, metavar="SIZE"
    )
    backbone: Path | None = option(
        None,
        "A trained network or supernet with the backbone of the predictor's space, such as a search's winner.safetensors, or "
        "imagenet for the published weights of EfficientNet-Lite0. Cells are trained on its features instead of a supernet.",
        group=BACKBONE,
        metavar="FILE",
    )
    cache: Path | None = option(
        None,
        "Folder of the features. Default: below LATLAS_CACHE, or the user's cache folder.",
        group=BACKBONE,
        metavar="FOLDER",
    )
    cache_limit_gb: float = option(
        8.0, "Gigabytes that all features there may take.", group=BACKBONE, at_least=0.001, metavar="GB"
    )
    pareto: bool = option(
        False,
        "Look for the front: the best networks at all latencies up to the budget, by front-evolution.",
        group=STUDY,
    )
    tensorboard: Path | None = option(
        None, "Folder for TensorBoard's event files.", group=OUTPUT, metavar="FOLDER", before=require_can_write
    )

    def __post_init__(self) -> None:
        from latlas.supernet.data.mask_values import parse_mask_values

        check_options(self)
        if self.mask_values:
            parse_mask_values(self.mask_values)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMeasuring:
    """How a search measures."""

    relative_error: float = option(
        0.01, "Half width of the 95 % interval that is asked for.", group=BUDGET, above=0, below=1
    )
    lock_timeout: float | None = option(
        None,
        "Seconds to wait for another run on this host. 0 does not wait. Default: for ever.",
        group=BUDGET,
        at_least=0,
        metavar="S",
    )

    def __post_init__(self) -> None:
        check_options(self)


def predictors_space(text: str) -> SearchSpace:
    """The space of a predictor, which must have a backbone that all its networks begin with."""
    from latlas.spaces.text import parse_space
    from latlas.supernet.backbone.cut import cut_of

    space = parse_space(text)
    cut_of(space)
    return space


def note_resolution(training: Dataset, validation: Dataset) -> None:
    """Say so where cells are chosen at another size than they are judged at.

    Two of EfficientNet-Lite0 with ASPP and a cell that pools to grids: 81.0 and 80.8 % where both are 128x128, 79.7 and 76.1
    where they are judged at 256x256.
    """
    (height, width), (judged_height, judged_width) = (data.images.shape[-2:] for data in (training, validation))
    if (height, width) != (judged_height, judged_width):
        note(
            f"cells are trained and scored at {height}x{width} and judged at {judged_height}x{judged_width}: those that pool to "
            f"a grid lose by that; --train-resolution {judged_height}x{judged_width} takes longer and does not have it"
        )


def proxy_task(
    backbone: Path,
    space: SearchSpace,
    training: Dataset,
    cache: Path | None,
    limit_gb: float,
    config: ProxyConfig,
    seed: int,
) -> ProxyTask:
    """The task of these options; errors as `load_backbone` and `FeatureCache` say."""
    from latlas.latency.sharing.pull import cache_folder
    from latlas.search.run.export import calibration_images
    from latlas.search.run.prepare import CALIBRATION_IMAGES
    from latlas.search.run.proxy import ProxyTask
    from latlas.supernet.backbone.feature_cache import FeatureCache
    from latlas.supernet.data.dataset import subset

    calibration = calibration_images(subset(training, CALIBRATION_IMAGES, seed + 1).images)
    return ProxyTask.load(
        backbone, space, calibration, FeatureCache(cache or cache_folder() / "features", limit_gb), config
    )
