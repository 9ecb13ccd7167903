"""What a search needs before it measures anything: its baseline, and the images that candidates are compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latlas.latency.errors import UsageError
from latlas.latency.predictor_file import SavedPredictor
from latlas.latency.profile import Setting
from latlas.search.finish import calibration_images
from latlas.search.search_config import SearchConfig, require_searchable
from latlas.supernet.data import Dataset, parted, resized, subset
from latlas.supernet.network import Subnet, Supernet
from latlas.supernet.space import Architecture
from latlas.supernet.train import training_device

CALIBRATION_IMAGES = 64
"""Training images from which batch normalisation's statistics are set."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a search works with.

    Candidates are compared on training images, `scored`, so that what is reported is of images that chose nothing; finalists
    are trained on the others, `unscored`, for that. `calibration` are float batches `(n, 3, H, W)` that set statistics at the
    data's size, `score_calibration` at the size that the shared weights know: at another, what is compared is how networks
    bear the change. `fresh` gives an architecture's subnet as training begins with it, `start_of` that of a finalist.
    """

    baseline: Architecture
    scored: Dataset
    unscored: Dataset
    calibration: list[Tensor]
    score_calibration: list[Tensor]
    fresh: Callable[[Architecture], Subnet]
    start_of: Callable[[Architecture], Subnet]


def prepare(
    saved: SavedPredictor, supernet: Supernet, training: Dataset, setting: Setting, config: SearchConfig
) -> Prepared:
    """Check that all fits together, and part the images.

    Raises `UsageError` and `EnvironmentMismatchError` where predictor, supernet, setting and config do not fit.
    """
    space = supernet.space
    require_searchable(setting.precision, setting.batch)
    saved.require(
        space.text,
        precision=setting.precision,
        threads=setting.threads,
        streams=setting.streams,
        batch=setting.batch,
    )
    if not space.is_baseline(config.baseline):
        raise UsageError(f"{space.name} has no baseline {config.baseline!r}; it has {', '.join(space.baselines)}")
    training_device(config.train.device)
    calibrating = subset(training, CALIBRATION_IMAGES, config.seed + 1)
    size = config.supernet_size or (training.images.shape[2], training.images.shape[3])
    score_images = min(config.score_images, max(1, len(training) // 4))
    scored, unscored = parted(training, score_images, config.seed)

    def fresh(architecture: Architecture) -> Subnet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Subnet(architecture.graph())

    return Prepared(
        space.baseline(config.baseline),
        resized(scored, *size),
        resized(unscored, *size) if len(unscored) else unscored,
        calibration_images(calibrating.images),
        calibration_images(resized(calibrating, *size).images),
        fresh,
        supernet.extract if config.inherit else fresh,
    )
