"""How the loss of a training went, and whether the training diverged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from latlas.errors import DivergedError

RECENT = 20
"""So many steps are the recent ones."""
DIVERGED_LOSS, DIVERGED_RATIO = 3.0, 1.5
"""A network that knows nothing has a loss of 1.2 to 1.7. Above this, and this many times the first step's, it is lost."""


@dataclass
class Course:
    """The first step's loss, and those of the recent steps."""

    first: float | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, loss: float) -> None:
        """Take in the loss of a step."""
        self.first = loss if self.first is None else self.first
        self.recent.append(loss)

    @property
    def loss(self) -> float | None:
        """The mean of the recent steps; None where there is none."""
        return sum(self.recent) / len(self.recent) if self.recent else None

    def require_learning(self, what: str, learning_rate: float) -> None:
        """Raises `DivergedError`, which names `what` is trained, where its loss grew far beyond what nothing learnt has."""
        if self.first is None or self.loss is None:
            return
        if self.loss > DIVERGED_LOSS and self.loss > DIVERGED_RATIO * self.first:
            raise DivergedError(
                f"{what} diverged: its loss was {self.first:.3g} at first and is {self.loss:.3g}; nothing is kept of it, "
                f"use a lower learning rate than {learning_rate:g}"
            )
