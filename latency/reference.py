"""The reference network: the unit that every latency is a ratio of.

Its definition is this file alone: the layers below, and weights from an integer hash of their index, so that any program
in any language can build it again. Changing anything makes another reference with another id, and tables of different
references do not mix.

Its activations are larger than a core's second-level cache, as a segmentation network's are: a reference that fits
follows the clock but not the memory, and repeated up to three times worse on a shared machine.

`reference-1`: input (1, 3, 160, 160) f32; the layers of `LAYERS` in order, each `same`-padded and followed by ReLU. Weight
i of layer l, in OIHW order (channels, 1, H, W for depthwise), is `scale * (hash32(i + 2**20 * l) / 2**31 - 1)` with
`scale = sqrt(6 / fan_in)`, which keeps the variance of activations, and `hash32` the 32-bit finaliser of MurmurHash3.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

INPUT_SHAPE = (1, 3, 160, 160)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution without bias; `depthwise` has one filter a channel."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    depthwise: bool = False

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """`(out_channels, in_channels a group, kernel, kernel)`."""
        return (self.out_channels, 1 if self.depthwise else self.in_channels, self.kernel_size, self.kernel_size)


LAYERS = (
    Layer(3, 16, 3, 2),
    Layer(16, 64, 1, 1),
    Layer(64, 64, 3, 1, depthwise=True),
    Layer(64, 24, 1, 1),
    Layer(24, 96, 1, 1),
    Layer(96, 96, 5, 2, depthwise=True),
    Layer(96, 40, 1, 1),
    Layer(40, 160, 1, 1),
    Layer(160, 160, 3, 1, depthwise=True),
    Layer(160, 40, 1, 1),
    Layer(40, 40, 3, 2),
    Layer(40, 160, 1, 1),
)


def hash32(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """MurmurHash3's 32-bit finaliser, element by element."""
    h = values.astype(np.uint32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def weights(index: int) -> npt.NDArray[np.float32]:
    """Weights of layer `index`, of its `weight_shape`."""
    shape = LAYERS[index].weight_shape
    count = int(np.prod(shape))
    numbers = hash32(np.arange(count, dtype=np.uint32) + np.uint32(index << 20))
    unit = numbers.astype(np.float64) / 2**31 - 1
    fan_in = shape[1] * shape[2] * shape[3]
    return (np.sqrt(6 / fan_in) * unit).astype(np.float32).reshape(shape)


def reference_id() -> str:
    """`reference-1-` and twelve digits of the checksum over layers and weights."""
    digest = hashlib.sha256(repr((INPUT_SHAPE, [astuple(layer) for layer in LAYERS])).encode())
    for index in range(len(LAYERS)):
        digest.update(weights(index).astype("<f4").tobytes())
    return f"reference-1-{digest.hexdigest()[:12]}"
