"""Loads what benchmarks of a supernet need: its weights, and the images at its size."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from hashlib import sha256

import torch

from latlas.spaces.space import SearchSpace
from latlas.supernet.data.dataset import Dataset, subset, synthetic
from latlas.supernet.data.folder import load_folder
from latlas.supernet.networks.network import Supernet
from latlas.supernet.networks.weights_file import load_supernet, read_metadata

DRY_SIZE = (32, 32)


@dataclass(frozen=True)
class Loaded:
    """A supernet, the start of its file's sha256, the size of its images, and images of training and validation at that size."""

    supernet: Supernet
    identity: str
    size: tuple[int, int]
    training: Dataset
    validation: Dataset

    def setting(self, data: str) -> dict[str, object]:
        """What figures of one file must agree in, of this."""
        return {"supernet": self.identity, "data": data, "size": self.size, "images": len(self.training)}


def loaded(arguments: argparse.Namespace, dry_space: SearchSpace, space: SearchSpace | None = None) -> Loaded:
    """By `--supernet`, `--data`, `--images` and `--val-images`; with `--dry` a supernet of `dry_space` that has learnt nothing.

    Raises what `load_supernet` raises, for one of another `space` too.
    """
    if arguments.dry:
        torch.manual_seed(0)
        supernet, identity, size = Supernet(dry_space).eval(), "untrained", DRY_SIZE
    else:
        supernet = load_supernet(arguments.supernet, space)
        identity = sha256(arguments.supernet.read_bytes()).hexdigest()[:16]
        trained = read_metadata(arguments.supernet)
        size = (int(trained["height"]), int(trained["width"]))
    if arguments.data == "synthetic":
        training, validation = (
            synthetic(arguments.images, *size, 0),
            synthetic(max(16, arguments.images // 8), *size, 1),
        )
    else:
        training, validation = (load_folder(arguments.data, split, *size) for split in ("train", "val"))
    if arguments.val_images:
        validation = subset(validation, arguments.val_images, 0)
    return Loaded(supernet, identity, size, training, validation)
