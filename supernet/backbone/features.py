"""The features that a frozen backbone computes for a data set, and how they are read back in batches.

One row is one augmented image. Features are float16; masks are uint8, in 255ths. Each image has `copies` augmented copies,
which the seed decides. An epoch of training sees each image once, and the next epoch sees its next copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latlas.errors import LatlasError, UsageError
from latlas.spaces.graph import graph_hash
from latlas.supernet.backbone.split import Backbone
from latlas.supernet.data.augment import Augmentation, augment
from latlas.supernet.data.dataset import Dataset, data_sha256, weights_sha256
from latlas.supernet.data.mask_values import VOID
from latlas.supernet.data.void import UNKNOWN, float_masks

# Raise this when features are computed differently, so that old caches are not used.
FEATURES_VERSION = 1
AT_ONCE = 32
"""Images in a forward pass. The augmentation draws its random numbers for so many at once."""
MAX_COPIES = 64


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """Which views of the images get features: `copies` augmented ones per image, or the plain image once."""

    augmentation: Augmentation | None = None
    copies: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.copies <= MAX_COPIES:
            raise UsageError(f"copies is {self.copies}; it must be 1 to {MAX_COPIES}")
        if self.augmentation is None and self.copies != 1:
            raise UsageError(f"copies is {self.copies}; without augmentation all copies of an image are the same")


@dataclass(frozen=True, slots=True)
class Layout:
    """The shapes of a cache's arrays: rows `(C, H, W)` for each tap and masks `(H, W)`; if `void`, also void flags `(H, W)`."""

    rows: int
    taps: tuple[tuple[int, int, int], ...]
    mask: tuple[int, int]
    void: bool = False

    @property
    def files(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Each file's type and shape."""
        taps = {f"tap{i}.f16": (np.float16, (self.rows, *shape)) for i, shape in enumerate(self.taps)}
        names = ("masks.u8", "void.u8") if self.void else ("masks.u8",)
        return {**taps, **dict.fromkeys(names, (np.uint8, (self.rows, *self.mask)))}

    @property
    def size_bytes(self) -> dict[str, int]:
        """Each file's size."""
        return {name: np.dtype(kind).itemsize * int(np.prod(shape)) for name, (kind, shape) in self.files.items()}


@dataclass(frozen=True, slots=True)
class Features:
    """Features of `count` images in `copies` views: an array `(copies * count, C, H, W)` for each tap, masks `(.., H, W)`.

    `void` is 1 at void pixels of the masks; it is None if there are none.
    """

    taps: tuple[npt.NDArray[np.float16], ...]
    masks: npt.NDArray[np.uint8]
    count: int
    copies: int
    void: npt.NDArray[np.uint8] | None = None

    @property
    def size_bytes(self) -> int:
        """Their size on disk."""
        void_bytes = 0 if self.void is None else self.void.nbytes
        return sum(tap.nbytes for tap in self.taps) + self.masks.nbytes + void_bytes

    def batch(self, rows: npt.NDArray[np.int64] | slice, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """These rows' features `(N, C, H, W)` for each tap, channels last, and masks `(N, 1, H, W)`: 0..1, or -1 for void."""
        taps = [torch.from_numpy(np.array(tap[rows])).to(device).float() for tap in self.taps]
        masks = torch.from_numpy(np.array(self.masks[rows])).to(device).float().div_(255)
        if self.void is not None:
            masks.masked_fill_(torch.from_numpy(np.array(self.void[rows])).to(device).bool(), UNKNOWN)
        return [tap.contiguous(memory_format=torch.channels_last) for tap in taps], masks[:, None]

    def batches(self, size: int, device: torch.device) -> Iterator[tuple[list[Tensor], Tensor]]:
        """All rows in order, `size` rows per batch."""
        for start in range(0, len(self.masks), size):
            yield self.batch(slice(start, start + size), device)


def layout_of(backbone: Backbone, dataset: Dataset, plan: FeaturePlan) -> Layout:
    """The shapes that the features will have. Raises `UsageError` if there are no images."""
    if not len(dataset):
        raise UsageError("there are no images to compute features of")
    height, width = dataset.images.shape[2:]
    with torch.inference_mode():
        device = next(backbone.parameters()).device
        found = backbone(torch.zeros(1, 3, height, width, device=device))
    shapes = tuple((one.shape[1], one.shape[2], one.shape[3]) for one in found)
    return Layout(plan.copies * len(dataset), shapes, (height, width), bool((dataset.masks == VOID).any()))


def identity_of(backbone: Backbone, dataset: Dataset, plan: FeaturePlan, version: str) -> dict[str, Any]:
    """Everything that the features depend on, as JSON. `version` is the version of Latlas."""
    return {
        "features": FEATURES_VERSION,
        "version": version,
        "torch": torch.__version__,
        "device": next(backbone.parameters()).device.type,
        "backbone": weights_sha256(backbone),
        "graph": graph_hash(backbone.split.prefix),
        "taps": list(backbone.split.taps),
        "data": data_sha256(dataset),
        "size": list(dataset.images.shape[2:]),
        "augmentation": None if plan.augmentation is None else asdict(plan.augmentation),
        "copies": plan.copies,
        "seed": plan.seed,
    }


def computed(backbone: Backbone, dataset: Dataset, plan: FeaturePlan) -> Iterator[Sequence[npt.NDArray[Any]]]:
    """The rows of all files in order, up to `AT_ONCE` rows at a time: one array per file.

    Raises `LatlasError` if a feature is not finite in float16.
    """
    device = next(backbone.parameters()).device
    height, width = dataset.images.shape[2:]
    has_void = bool((dataset.masks == VOID).any())
    for copy in range(plan.copies):
        for start in range(0, len(dataset), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            images = dataset.images[part].to(device).float().div_(255)
            masks = float_masks(dataset.masks[part].to(device))[:, None]
            rng = np.random.default_rng([plan.seed, copy, start])
            with torch.inference_mode():
                images, masks = augment(images, masks, plan.augmentation, rng, (height, width))
                taps = [one.half().cpu().contiguous() for one in backbone(images)]
            if not all(bool(one.isfinite().all()) for one in taps):
                raise LatlasError("the backbone's features are not finite in float16; its weights have diverged")
            seen = [masks[:, 0].clamp(0, 1).mul(255).round()]
            if has_void:
                seen.append(masks[:, 0] < 0)
            yield [*(one.numpy() for one in taps), *(one.to(torch.uint8).cpu().numpy() for one in seen)]


def opened(folder: Path, layout: Layout, count: int, copies: int) -> Features:
    """The features in a folder's files. They are mapped into memory, not read."""
    arrays = [np.memmap(folder / name, kind, "r", shape=shape) for name, (kind, shape) in layout.files.items()]
    taps, seen = arrays[: len(layout.taps)], arrays[len(layout.taps) :]
    return Features(tuple(taps), seen[0], count, copies, seen[1] if layout.void else None)
