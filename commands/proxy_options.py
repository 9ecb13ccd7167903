"""Options of a search that scores candidates by the proxy task on a trained backbone, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latlas.commands.output import note

if TYPE_CHECKING:
    from latlas.search.run.proxy import ProxyConfig, ProxyTask
    from latlas.spaces.space import SearchSpace
    from latlas.supernet.data.dataset import Dataset

BackboneOption = Annotated[
    Path | None,
    typer.Option(
        "--backbone",
        help="A trained network or supernet with the backbone of the predictor's space, such as a search's "
        "winner.safetensors, or `imagenet`, EfficientNet-Lite0's published weights: cells are trained on its features, "
        "kept on the disk, in place of a supernet.",
    ),
]
ProxyStepsOption = Annotated[int, typer.Option("--proxy-steps", help="Steps that a candidate is trained there.", min=1)]
PrunerOption = Annotated[
    str,
    typer.Option(
        "--pruner", help="none, halving or hyperband: Optuna's, which stop candidates that do worse than others had."
    ),
]
CopiesOption = Annotated[
    int, typer.Option("--copies", help="Augmented views of each training image whose features are kept.", min=1)
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of the features; default: below LATLAS_CACHE, or the user's cache folder."),
]
CacheLimitOption = Annotated[
    float, typer.Option("--cache-limit-gb", help="Gigabytes that all features there may take.", min=0.001)
]
FromNothingOption = Annotated[
    bool,
    typer.Option(
        "--from-nothing", help="Train finalists, winner and baselines from nothing, not from the backbone's weights."
    ),
]
RivalsOption = Annotated[
    str, typer.Option("--rivals", help="Further baselines, by commas: trained, exported and measured alike.")
]
NearShareOption = Annotated[
    float, typer.Option("--near-share", help="Share of near_best's draws that are near the best seen.", min=0, max=1)
]


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
