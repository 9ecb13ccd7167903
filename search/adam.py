"""Adam for the parameters of a distribution, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from latlas.search.feasible import FloatArray


@dataclass
class Adam:
    """Adam (arXiv 1412.6980) that minimises, in place, without weight decay.

    The defaults are ProxylessNAS's for architecture parameters: with a first beta above 0, weights of operators that were not
    sampled would move on.
    """

    parameters: Sequence[FloatArray]
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.999)
    epsilon: float = 1e-8
    steps: int = 0
    first: list[FloatArray] = field(default_factory=list)
    second: list[FloatArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = self.first or [np.zeros_like(one) for one in self.parameters]
        self.second = self.second or [np.zeros_like(one) for one in self.parameters]

    def step(self, gradient: Sequence[FloatArray]) -> None:
        """Move the parameters against a gradient of their shapes."""
        self.steps += 1
        one, two = self.betas
        for parameter, g, m, v in zip(self.parameters, gradient, self.first, self.second, strict=True):
            m *= one
            m += (1 - one) * g
            v *= two
            v += (1 - two) * g * g
            unbiased, spread = m / (1 - one**self.steps), v / (1 - two**self.steps)
            parameter -= self.learning_rate * unbiased / (np.sqrt(spread) + self.epsilon)
