"""The quality of a network on validation data, with statistics of its own where its weights are shared."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from latlas.supernet.data import Dataset
from latlas.supernet.network import Subnet, Supernet
from latlas.supernet.quality import Quality, evaluate
from latlas.supernet.recalibrate import recalibrate
from latlas.supernet.space import Architecture


def score(
    supernet: Supernet,
    architecture: Architecture,
    calibration_images: Iterable[Tensor],
    validation: Dataset,
    batch_size: int = 32,
) -> Quality:
    """The quality of one architecture with the supernet's weights, batch normalisation recalibrated for it.

    The supernet is left alone. For equal conditions, give every architecture the same calibration images.

    Args:
        supernet: Trained.
        architecture: Of the supernet's space, no baseline.
        calibration_images: Batches `(N, 3, H, W)` in 0..1 of training data; a list, where it is used again.
        validation: What the quality is of.
        batch_size: Images evaluated at once.

    Raises:
        UsageError: The architecture is not the supernet's, or there are no calibration images.

    Example:
        >>> score(supernet, space.random(rng), [torch.rand(16, 3, 256, 256)], validation).miou
    """
    subnet = recalibrate(supernet.extract(architecture), calibration_images)
    return score_subnet(subnet, validation, batch_size, boundary=False)


def score_subnet(subnet: Subnet, validation: Dataset, batch_size: int = 32, boundary: bool = True) -> Quality:
    """The quality of a standalone network as it is; its mode is left as it was. `boundary` False leaves out that score."""
    device = next((parameter.device for parameter in subnet.parameters()), torch.device("cpu"))
    training = subnet.training
    subnet.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stub
    try:
        return evaluate(lambda images: subnet(images.to(device)), validation, batch_size, boundary)
    finally:
        subnet.train(training)
