"""The batch of a training step: which images it has (seed and step alone decide), and their size."""

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
    """Height and width of a step's images. A height or width of None means the data set's own; `what` names the images.

    Raises `UsageError` if network, data and size do not fit each other.
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
    """A step's images `(batch_size, 3, h, w)` and masks `(batch_size, 1, h, w)` on the device, in 0..1; void is -1.

    `size` is `(h, w)`. `chosen_samples` chooses the images; `rng` is for the augmentation.
    """
    chosen, _ = chosen_samples(len(dataset), batch_size, seed, step)
    images = dataset.images[chosen].to(device).float().div_(255)
    masks = float_masks(dataset.masks[chosen].to(device))[:, None]
    return augment(images, masks, augmentation, rng, size)


def chosen_samples(count: int, batch_size: int, seed: int, step: int) -> tuple[npt.NDArray[np.int64], int]:
    """The indices of the samples in a step's batch, out of `count`, and the number of the step's epoch.

    Each epoch has its own order of the samples, which the seed and the epoch's number decide. A sample is used at most once
    per epoch, unless there are fewer samples than a batch needs.
    """
    epoch, place = divmod(step, max(1, count // batch_size))
    order = np.random.default_rng([seed, 0, epoch]).permutation(count)
    return np.resize(order[place * batch_size : (place + 1) * batch_size], batch_size), epoch
