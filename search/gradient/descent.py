"""Adam on a distribution's parameters: torch's optimiser works directly on the numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from latlas.arrays import FloatArray

BETAS = (0.0, 0.999)
"""ProxylessNAS's values for architecture parameters. With a first beta above 0, weights that were not sampled would move too."""


def adam(parameters: Sequence[FloatArray], learning_rate: float = 1e-3) -> torch.optim.Adam:
    """An Adam (arXiv 1412.6980) without weight decay that changes the arrays themselves. `descend` takes its steps."""
    return torch.optim.Adam([torch.from_numpy(one) for one in parameters], lr=learning_rate, betas=BETAS)


def descend(optimizer: torch.optim.Adam, gradient: Sequence[FloatArray]) -> None:
    """Move the optimiser's arrays one step against the gradient, which has their shapes."""
    for tensor, one in zip(optimizer.param_groups[0]["params"], gradient, strict=True):
        tensor.grad = torch.from_numpy(np.ascontiguousarray(one))
    optimizer.step()
