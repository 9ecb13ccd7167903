"""How the loss changed during a training, and whether the training diverged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from latlas.errors import DivergedError

RECENT = 20
"""How many of the last steps count as recent."""
DIVERGED_LOSS, DIVERGED_RATIO = 3.0, 1.5
"""An untrained network has a loss of 1.2 to 1.7. A loss above the first number, and above the first step's loss times the
second, means that the training diverged."""


@dataclass
class Course:
    """The loss of the first step, and the losses of the recent steps."""

    first: float | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, loss: float) -> None:
        """Add the loss of a step."""
        self.first = loss if self.first is None else self.first
        self.recent.append(loss)

    @property
    def loss(self) -> float | None:
        """The mean loss of the recent steps; None before the first step."""
        return sum(self.recent) / len(self.recent) if self.recent else None

    def require_learning(self, what: str, learning_rate: float) -> None:
        """Raise `DivergedError` if the loss is far above an untrained network's. `what` names the network in the message."""
        if self.first is None or self.loss is None:
            return
        if self.loss > DIVERGED_LOSS and self.loss > DIVERGED_RATIO * self.first:
            raise DivergedError(
                f"{what} diverged: its loss was {self.first:.3g} at first and is {self.loss:.3g}; nothing of it is kept, "
                f"use a lower learning rate than {learning_rate:g}"
            )
