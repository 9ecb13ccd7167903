"""What a search needs before it measures anything: its baseline, and the images that candidates are compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latlas.errors import UsageError
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.search.config import SearchConfig
from latlas.search.run.export import calibration_images
from latlas.search.run.proxy import ProxyTask
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset, parted, resized, subset
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.training.train import training_device

CALIBRATION_IMAGES = 64
"""Training images from which batch normalisation's statistics are set."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a search works with.

    Candidates are compared on training images, `scored`, so that what is reported is of images that chose nothing; finalists
    are trained on the others, `unscored`, for that. `calibrating` are some of all at the same size, `score_calibration` they as
    float batches `(n, 3, H, W)`, which set statistics, and `calibration` at the data's size: shared weights know the former,
    and at another size what is compared is how networks bear the change. `fresh` gives an architecture's subnet as training
    begins with it, `start_of` that of a finalist.
    """

    baseline: Architecture
    scored: Dataset
    unscored: Dataset
    calibrating: Dataset
    calibration: list[Tensor]
    score_calibration: list[Tensor]
    fresh: Callable[[Architecture], Subnet]
    start_of: Callable[[Architecture], Subnet]


def prepare(
    saved: SavedPredictor, weights: Supernet | ProxyTask, training: Dataset, setting: Setting, config: SearchConfig
) -> Prepared:
    """Check that all fits together, and part the images.

    Raises `UsageError` and `EnvironmentMismatchError` where predictor, weights, setting and config do not fit.
    """
    space = weights.space
    require_searchable(setting.precision, setting.batch)
    saved.require(
        space.text,
        precision=setting.precision,
        threads=setting.threads,
        streams=setting.streams,
        batch=setting.batch,
    )
    for name in (config.baseline, *config.rivals):
        if not space.is_baseline(name):
            raise UsageError(f"{space.name} has no baseline {name!r}; it has {', '.join(space.baselines)}")
    training_device(config.train.device)
    calibrating = subset(training, CALIBRATION_IMAGES, config.seed + 1)
    size = config.supernet_size or (training.images.shape[2], training.images.shape[3])
    score_images = min(config.score_images, max(1, len(training) // 4))
    scored, unscored = parted(training, score_images, config.seed)

    def fresh(architecture: Architecture) -> Subnet:
        if isinstance(weights, ProxyTask):
            return weights.fresh(architecture, config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Subnet(architecture.graph())

    scored, calibrating_there = resized(scored, *size), resized(calibrating, *size)
    unscored = resized(unscored, *size) if len(unscored) else unscored
    if isinstance(weights, ProxyTask):
        weights.require_fitting(config, scored, unscored, calibrating_there)
    return Prepared(
        space.baseline(config.baseline),
        scored,
        unscored,
        calibrating_there,
        calibration_images(calibrating.images),
        calibration_images(calibrating_there.images),
        fresh,
        weights.extract if config.inherit and isinstance(weights, Supernet) else fresh,
    )


def require_searchable(precision: str, batch: int | None) -> None:
    """Raises `UsageError` for latencies that a search cannot be led by: int8, and a batch of several."""
    if precision == "int8":
        raise UsageError(
            "search does not take int8: it states the quality of what it exports, and a quantised network's is not known; "
            "search at f32 or bf16, and see `latlas measure --precision int8` for the latency of what it finds"
        )
    if batch != 1:
        raise UsageError(
            f"search exports networks of batch 1, and the predictor is of batch {batch}; fit one at --batch 1"
        )
