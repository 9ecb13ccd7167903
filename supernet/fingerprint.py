"""What weights and data are, as a hash: runs and caches are held against it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from torch import nn

from latlas.supernet.data import Dataset


def weights_sha256(network: nn.Module) -> str:
    """The sha256 of a network's parameters and buffers, with their names, types and shapes."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return found.hexdigest()


def data_sha256(dataset: Dataset) -> str:
    """The sha256 of a data set's images, masks, and their names."""
    found = hashlib.sha256()
    for array in (dataset.images.numpy(), dataset.masks.numpy(), *dataset.native_masks):
        found.update(f"{array.dtype} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    found.update(json.dumps([dataset.sources, dataset.names], separators=(",", ":")).encode())
    return found.hexdigest()
