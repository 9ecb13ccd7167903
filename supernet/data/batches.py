"""What a training step learns from: the images of a step, chosen by seed and number alone, and the size they must have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latlas.errors import UsageError
from latlas.spaces.graph import Graph
from latlas.supernet.data.augment import Augmentation, augment
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.data.fitting import require_multiple, require_person_or_not
from latlas.supernet.data.void import float_masks


def fitting_size(graph: Graph, dataset: Dataset, height: int | None, width: int | None, what: str) -> tuple[int, int]:
    """Height and width of a step's images, `what` they are called; None for the data set's own.

    Raises `UsageError` where network, data and size do not fit each other.
    """
    count, _, own_height, own_width = dataset.images.shape
    size = (height or own_height, width or own_width)
    if not count:
        raise UsageError("the data set has no images; training needs at least one")
    require_person_or_not(graph)
    require_multiple(graph, size, what)
    return size


def training_batch(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    step: int,
    size: tuple[int, int],
    augmentation: Augmentation | None,
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """A step's images `(batch_size, 3, h, w)` and masks `(batch_size, 1, h, w)`, in 0..1, of `size`, on the device; void is -1.

    `chosen_samples` says which; `rng` is for the augmentation.
    """
    chosen, _ = chosen_samples(len(dataset), batch_size, seed, step)
    images = dataset.images[chosen].to(device).float().div_(255)
    masks = float_masks(dataset.masks[chosen].to(device))[:, None]
    return augment(images, masks, augmentation, rng, size)


def chosen_samples(count: int, batch_size: int, seed: int, step: int) -> tuple[npt.NDArray[np.int64], int]:
    """Which of `count` samples a step's batch has, and the number of its epoch.

    An epoch goes over all once, in an order of the seed and its number.
    """
    epoch, place = divmod(step, max(1, count // batch_size))
    order = np.random.default_rng([seed, 0, epoch]).permutation(count)
    return np.resize(order[place * batch_size : (place + 1) * batch_size], batch_size), epoch
