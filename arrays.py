"""Array types that all of Latlas shares. Docstrings state the shapes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = IntArray
"""Architectures as whole numbers `(n, columns)`: the index of the chosen option in each column."""
