"""Array types, once for all of Latlas. Shapes stand in docstrings."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = IntArray
"""Architectures as whole numbers `(n, columns)`: which option each column has."""
