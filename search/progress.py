"""Where a search stands, in the figures that its progress line and TensorBoard show."""

from __future__ import annotations

from dataclasses import dataclass

from latlas.search.constraint import LatencyConstraint
from latlas.search.loop import Candidate, History


@dataclass(frozen=True, slots=True)
class Progress:
    """The best candidate so far, and shares of what the constraint has decided.

    `feasible_share` was accepted, `measured_share` was measured for it. `prediction_error` is the mean absolute error of what
    was predicted of measured architectures before they were, relative; None where there are none.
    """

    best: Candidate
    feasible_share: float
    measured_share: float
    prediction_error: float | None

    @classmethod
    def of(cls, history: History, constraint: LatencyConstraint) -> Progress:
        """That of a history with a candidate at least."""
        counts = constraint.counts
        decided = max(1, counts.accepted + counts.rejected)
        return cls(
            history.best(),
            counts.accepted / decided,
            counts.measured / decided,
            constraint.calibration.report()["mape"],
        )

    def line(self) -> str:
        """As one line."""
        error = "unknown" if self.prediction_error is None else f"{100 * self.prediction_error:.1f} %"
        return (
            f"best {100 * self.best.quality:.2f} % at {self.best.verdict.latency_ms:.2f} ms, "
            f"{100 * self.feasible_share:.0f} % feasible, {100 * self.measured_share:.0f} % measured, "
            f"prediction off by {error}"
        )
