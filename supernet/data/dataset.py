"""Images of persons with masks, held in memory at one size: subsets, resizing, drawn data, batches and hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latlas.errors import UsageError
from latlas.supernet.data.drawn.portraits import generate_portrait
from latlas.supernet.data.images import Mask
from latlas.supernet.data.void import joined, parts_of

_RESIZED_AT_ONCE = 64  # as float: 64 images of 256x256 are 50 MB


@dataclass(frozen=True)
class Dataset:
    """Samples of one size in memory.

    `images` is uint8 `(N, 3, H, W)` RGB. `masks` is uint8 `(N, H, W)`: 0 background, 1 person, 255 void; void pixels count in
    neither loss nor score. `sources` and `names` have one text per sample. `native_masks` are the masks `(h, w)` at their own
    size, for scores at that size; it is empty unless asked for. `warnings` say what looked wrong when the data was read.
    """

    images: Tensor
    masks: Tensor
    sources: tuple[str, ...]
    names: tuple[str, ...]
    native_masks: tuple[Mask, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


def subset(dataset: Dataset, count: int, seed: int = 0) -> Dataset:
    """`count` random samples in their original order, or all samples if there are not so many."""
    return _chosen(dataset, _order(dataset, count, seed)[:count])


def parted(dataset: Dataset, count: int, seed: int = 0) -> tuple[Dataset, Dataset]:
    """The `subset` of `count` samples, and the rest, which may be empty."""
    order = _order(dataset, count, seed)
    return _chosen(dataset, order[:count]), _chosen(dataset, order[count:])


def _order(dataset: Dataset, count: int, seed: int) -> npt.NDArray[np.int64]:
    if count < 1:
        raise UsageError(f"a subset of {count} samples was asked for; it must be at least 1")
    return np.random.default_rng(seed).permutation(len(dataset))


def _chosen(dataset: Dataset, indices: npt.NDArray[np.int64]) -> Dataset:
    indices = np.sort(indices)
    return Dataset(
        dataset.images[indices],
        dataset.masks[indices],
        tuple(dataset.sources[i] for i in indices),
        tuple(dataset.names[i] for i in indices),
        tuple(dataset.native_masks[i] for i in indices) if dataset.native_masks else (),
    )


def resized(dataset: Dataset, height: int, width: int) -> Dataset:
    """The same samples at another size, without native masks; the data set itself if it has that size.

    Images are resized by antialiased bilinear interpolation. A new mask pixel is void if more than half of it was void; else
    it is person if more than half of its known part was person.
    """
    if dataset.images.shape[2:] == (height, width):
        return dataset
    images, masks = empty_arrays(len(dataset), height, width)

    def smooth(pixels: Tensor) -> Tensor:
        return F.interpolate(pixels.float(), (height, width), mode="bilinear", antialias=True)

    for start in range(0, len(dataset), _RESIZED_AT_ONCE):
        part = slice(start, start + _RESIZED_AT_ONCE)
        images[part] = smooth(dataset.images[part]).round_().clamp_(0, 255).to(torch.uint8)
        person, known = parts_of(dataset.masks[part, None])
        masks[part] = joined(smooth(person)[:, 0], None if known is None else smooth(known)[:, 0])
    return Dataset(images, masks, dataset.sources, dataset.names)


def synthetic(count: int, height: int, width: int, seed: int = 0, keep_native: bool = False) -> Dataset:
    """`count` drawn portraits. The same arguments give the same portraits on every machine."""
    if count < 1:
        raise UsageError(f"count is {count}; it must be at least 1")
    images, masks = empty_arrays(count, height, width)
    for index in range(count):
        image, mask = generate_portrait(np.random.default_rng((seed, index)), height, width)
        images[index], masks[index] = torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask)
    names = tuple(f"portrait-{seed}-{index}" for index in range(count))
    native = tuple(mask.numpy() for mask in masks) if keep_native else ()
    return Dataset(images, masks, ("synthetic",) * count, names, native)


def empty_arrays(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Uninitialised uint8 arrays for images `(count, 3, height, width)` and masks `(count, height, width)`.

    Raises `UsageError` for a size below 1.
    """
    if min(height, width) < 1:
        raise UsageError(f"images of {height}x{width} were asked for; height and width must be at least 1")
    return (
        torch.empty(count, 3, height, width, dtype=torch.uint8),
        torch.empty(count, height, width, dtype=torch.uint8),
    )


def evaluation_batches(dataset: Dataset, batch_size: int) -> Iterator[tuple[Tensor, range]]:
    """The images in order, in batches `(B, 3, H, W)` in 0..1, channels last, each with the indices of its images."""
    for start in range(0, len(dataset), batch_size):
        images = dataset.images[start : start + batch_size].float().div_(255)
        yield images.contiguous(memory_format=torch.channels_last), range(start, start + len(images))


def weights_sha256(network: nn.Module) -> str:
    """The sha256 over a network's parameters and buffers, their names, types and shapes."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()


def data_sha256(dataset: Dataset) -> str:
    """The sha256 over a data set's images and masks, their names and sources."""
    found = hashlib.sha256()
    for array in (dataset.images.numpy(), dataset.masks.numpy(), *dataset.native_masks):
        found.update(f"{array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    found.update(json.dumps([dataset.sources, dataset.names], separators=(",", ":")).encode())
    return found.hexdigest()
