"""Fills the inputs of a network for timing.

Numbers are noise, so that no kernel meets only zeros. Whole numbers are 0 or 1: they may be indices, and an index outside
of its table ends the process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.latency.runtime.asked import read_array
from latlas.latency.runtime.silence import ov

NOISE, BITS, ZEROS = "noise 0..1", "0 or 1", "0"
"""The default fills: for numbers, for whole numbers and booleans, and for types of less than a byte."""


def usual_fill(kind: Any) -> str:
    """The default fill of an input with an OpenVINO element type."""
    if kind.bitwidth < 8 and kind.get_type_name() != "boolean":
        return ZEROS
    return NOISE if kind.is_real() else BITS


def tensor_of(port: Any, fill: str, rng: np.random.Generator) -> ov.Tensor:
    """A tensor for an input of static shape; `fill` is a default fill, a number, a range or a .npy file."""
    kind, shape = port.get_element_type(), tuple(port.shape)
    if kind.bitwidth < 8 and kind.get_type_name() != "boolean":
        tensor = ov.Tensor(kind, port.shape)
        tensor.data[...] = 0
        return tensor
    dtype = np.dtype(np.float32) if kind.get_type_name() == "bf16" else kind.to_dtype()
    numbers = np.ascontiguousarray(_numbers(fill or usual_fill(kind), shape, kind.is_real(), rng).astype(dtype))
    if kind.get_type_name() != "bf16":
        return ov.Tensor(numbers) if numbers.shape == shape else ov.Tensor(numbers.reshape(shape))
    tensor = ov.Tensor(kind, port.shape)
    tensor.data.view(np.uint16)[...] = numbers.view(np.uint32) >> 16  # the upper half of a float32
    return tensor


def _numbers(fill: str, shape: tuple[int, ...], real: bool, rng: np.random.Generator) -> npt.NDArray[Any]:
    if fill == NOISE:
        return rng.random(shape)
    if fill == BITS:
        return rng.integers(0, 2, shape)
    if fill.lower().endswith(".npy"):
        return read_array(fill)
    low, _, high = fill.partition("..")
    if not high:
        return np.full(shape, float(low))
    if real:
        return rng.uniform(float(low), float(high), shape)
    return rng.integers(int(float(low)), int(float(high)), shape, endpoint=True)
