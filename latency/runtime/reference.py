"""The reference networks: every latency is measured as a ratio to one of them.

Their definition is this file alone: the layers below, and weights from an integer hash of their index, so that any program
in any language can build them again. Changing anything makes another reference with another id, and measurements of
different references do not mix.

A reference cancels the disturbances that it feels as much as the candidate does. A shared machine is unsteady in two ways: in
the core and in the memory behind it. So there are two references. `network` is as large as a segmentation network: no
second-level cache holds its seven megabytes of weights, so it follows the memory as whole networks do. Against a small
reference, the same networks repeated three times worse. `operator` stays in the cache, as a single operator does that runs
again and again.

Each: input (1, 3, S, S) f32; its layers in order, each `same`-padded and followed by ReLU. Weight i of layer l, in OIHW
order (channels, 1, H, W for depthwise), is `scale * (hash32(i + 2**20 * l) / 2**31 - 1)` with
`scale = sqrt(6 / fan_in)`, which keeps the variance of activations, and `hash32` the 32-bit finaliser of MurmurHash3. There
is no other chance in it: the seed, which would be added to the hash's argument, is 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from latlas.errors import UsageError


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution without bias; a `depthwise` one has one filter for each channel."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    depthwise: bool = False

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape `(out_channels, in_channels a group, kernel, kernel)` of the weights."""
        return (self.out_channels, 1 if self.depthwise else self.in_channels, self.kernel_size, self.kernel_size)


def _inverted(channels: int, hidden: int, out: int, kernel_size: int, stride: int = 1) -> tuple[Layer, ...]:
    """The layers of an inverted residual block, as in mobile networks: expansion, depthwise convolution, projection."""
    return (
        Layer(channels, hidden, 1, 1),
        Layer(hidden, hidden, kernel_size, stride, depthwise=True),
        Layer(hidden, out, 1, 1),
    )


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference network: its name, the side of its square input, its layers."""

    name: str
    size: int
    layers: tuple[Layer, ...]

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The input's shape `(N, C, H, W)`."""
        return (1, 3, self.size, self.size)

    @property
    def id(self) -> str:
        """The reference's id: `<name>-2-` and twelve digits of the checksum over layers and weights."""
        return f"{self.name}-2-{self.sha256[:12]}"

    @property
    def sha256(self) -> str:
        """The checksum over the input's shape, the layers and all weights."""
        return _sha256(self)

    @property
    def definition(self) -> str:
        """The whole definition in one line; this module's docstring says how to build the network from it. The seed is 0."""
        layers = " ".join(
            f"{'dw' if layer.depthwise else ''}{layer.in_channels}-{layer.out_channels}k{layer.kernel_size}s{layer.stride}"
            for layer in self.layers
        )
        shape = "x".join(map(str, self.input_shape))
        rest = "each followed by ReLU; weights hash32, seed 0; defined in latency/runtime/reference.py"
        return f"{self.id}: input {shape}; {layers}; {rest}; sha256 {self.sha256}"

    def weights(self, index: int) -> npt.NDArray[np.float32]:
        """The weights of layer `index`, in its `weight_shape`."""
        shape = self.layers[index].weight_shape
        numbers = hash32(np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(index << 20))
        unit = numbers.astype(np.float64) / 2**31 - 1
        fan_in = shape[1] * shape[2] * shape[3]
        return (np.sqrt(6 / fan_in) * unit).astype(np.float32).reshape(shape)


OPERATOR = Reference(
    "operator",
    96,
    (
        Layer(3, 16, 3, 2),
        *_inverted(16, 64, 24, 3),
        *_inverted(24, 96, 40, 5, 2),
        *_inverted(40, 160, 40, 3),
        Layer(40, 40, 3, 2),
        Layer(40, 160, 1, 1),
    ),
)
NETWORK = Reference(
    "network",
    256,
    (
        Layer(3, 16, 3, 2),
        *_inverted(16, 64, 24, 3, 2),
        *_inverted(24, 72, 24, 3),
        *_inverted(24, 96, 40, 5, 2),
        *_inverted(40, 200, 40, 5),
        *_inverted(40, 240, 80, 3, 2),
        *_inverted(80, 320, 80, 3),
        *_inverted(80, 480, 112, 3),
        *_inverted(112, 672, 160, 5, 2),
        *_inverted(160, 960, 160, 5),
        *_inverted(160, 960, 160, 5),
        *_inverted(160, 960, 160, 3),
        *_inverted(160, 960, 160, 3),
        Layer(160, 640, 1, 1),
    ),
)
REFERENCES = {reference.name: reference for reference in (OPERATOR, NETWORK)}


def reference_of(name: str) -> Reference:
    """The reference with this name; raises `UsageError` for an unknown name."""
    if name not in REFERENCES:
        raise UsageError(f"reference is {name!r}; known: {', '.join(REFERENCES)}")
    return REFERENCES[name]


def hash32(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """MurmurHash3's 32-bit finaliser, element by element."""
    h = values.astype(np.uint32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


@lru_cache(maxsize=len(REFERENCES))
def _sha256(reference: Reference) -> str:
    digest = hashlib.sha256(repr((reference.input_shape, [astuple(layer) for layer in reference.layers])).encode())
    for index in range(len(reference.layers)):
        digest.update(reference.weights(index).astype("<f4").tobytes())
    return digest.hexdigest()
