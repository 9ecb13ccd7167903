"""Prepares a search before it measures anything: its baseline, and the images that candidates are compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from latlas.errors import UsageError
from latlas.search.baselines import require_baselines
from latlas.search.run.export import calibration_images
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset, parted, resized, subset
from latlas.supernet.networks.network import Subnet
from latlas.supernet.training.train import training_device

if TYPE_CHECKING:
    from latlas.search.run.search_run import SearchTask

CALIBRATION_IMAGES = 64
"""How many training images set the statistics of batch normalisation."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The baseline and the images of a search.

    Candidates are compared on training images, so that the images of the final result take no part in any choice. Shared weights
    are scored at the size they were trained at; at another size, a score would rather show how well a network bears the change.

    Attributes:
        baseline: The network to compare with.
        scored: Training images that candidates and finalists are scored on, at the supernet's size.
        unscored: The other training images at that size, which finalists are trained on.
        calibrating: A sample of all training images at that size; it sets batch statistics.
        calibration: Those images at the data's own size, as float batches `(n, 3, H, W)`.
        score_calibration: Those images at the supernet's size, as float batches.
        fresh: Gives an architecture's untrained subnet.
        start_of: Gives a finalist's subnet before its training; with `inherit` it has the supernet's weights.
    """

    baseline: Architecture
    scored: Dataset
    unscored: Dataset
    calibrating: Dataset
    calibration: list[Tensor]
    score_calibration: list[Tensor]
    fresh: Callable[[Architecture], Subnet]
    start_of: Callable[[Architecture], Subnet]


def prepare(task: SearchTask) -> Prepared:
    """Check that all parts of the task fit together, and split the images.

    Raises `UsageError` or `EnvironmentMismatchError` if they do not fit.
    """
    config, setting, training = task.config, task.setting, task.training
    require_searchable(setting.precision, setting.batch)
    task.saved.require(
        task.space.text,
        precision=setting.precision,
        threads=setting.threads,
        streams=setting.streams,
        batch=setting.batch,
    )
    require_baselines(task.space, config)
    training_device(config.device)
    calibrating = subset(training, CALIBRATION_IMAGES, config.seed + 1)
    size = config.supernet_size or (training.images.shape[2], training.images.shape[3])
    score_images = min(config.score_images, max(1, len(training) // 4))
    scored, unscored = parted(training, score_images, config.seed)
    scored, calibrating_there = resized(scored, *size), resized(calibrating, *size)
    unscored = resized(unscored, *size) if len(unscored) else unscored
    task.scoring.require_fitting(config, scored, unscored, calibrating_there)

    def fresh(architecture: Architecture) -> Subnet:
        return task.scoring.fresh(architecture, config.seed)

    return Prepared(
        task.space.baseline(config.baseline),
        scored,
        unscored,
        calibrating_there,
        calibration_images(calibrating.images),
        calibration_images(calibrating_there.images),
        fresh,
        task.scoring.inherited if config.inherit else fresh,
    )


def require_searchable(precision: str, batch: int | None) -> None:
    """Raise `UsageError` for a predictor that cannot lead a search: one for int8, or for a batch larger than 1."""
    if precision == "int8":
        raise UsageError(
            "search does not take int8: it states the quality of the network that it exports, and quantising changes that; "
            "search at f32 or bf16, and measure the winner with `latlas measure --precision int8`"
        )
    if batch != 1:
        raise UsageError(
            f"search exports networks of batch 1, and the predictor is of batch {batch}; fit one at --batch 1"
        )
