"""Writes the progress of a search as TensorBoard scalars. It needs the extra `tensorboard`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from latlas.distribution import how_to_install
from latlas.errors import UsageError
from latlas.files.write import cannot_write
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.training import ArchitectureStep
from latlas.search.strategies.loop import Candidate, History
from latlas.supernet.training.train import TrainProgress


@dataclass(frozen=True, slots=True)
class Standing:
    """The best candidate so far, and statistics of the constraint's decisions.

    `feasible_share` of the checked architectures were accepted, and `measured_share` were measured for the decision.
    `prediction_error` is the mean relative error of predictions made before a measurement; None if nothing was measured.
    """

    best: Candidate
    feasible_share: float
    measured_share: float
    prediction_error: float | None

    @classmethod
    def of(cls, history: History, constraint: LatencyConstraint) -> Standing:
        """The standing of a search from its history, which has at least one candidate."""
        counts = constraint.counts
        decided = max(1, counts.accepted + counts.rejected)
        return cls(
            history.best(),
            counts.accepted / decided,
            counts.measured / decided,
            constraint.calibration.report()["mape"],
        )

    def line(self) -> str:
        """The standing as one line of text."""
        error = "unknown" if self.prediction_error is None else f"{100 * self.prediction_error:.1f} %"
        return (
            f"best {100 * self.best.quality:.2f} % at {self.best.verdict.latency_ms:.2f} ms, "
            f"{100 * self.feasible_share:.0f} % feasible, {100 * self.measured_share:.0f} % measured, "
            f"prediction off by {error}"
        )


@dataclass
class TensorBoard:
    """Writes the event files of one run into a folder. Use it as a context manager.

    A resumed run writes all its candidates again, and TensorBoard drops those written before. Raises `UsageError` if the package
    is not installed or the folder cannot be written.
    """

    folder: Path

    def __post_init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                f"--tensorboard needs the package tensorboard ({error}): {how_to_install('tensorboard')}"
            ) from None
        try:
            self._writer: Any = SummaryWriter(str(self.folder), purge_step=0)
        except OSError as error:
            raise cannot_write(self.folder, error) from None

    def on_candidate(self, history: History, constraint: LatencyConstraint) -> None:
        """Write the newest candidate and the standing of the search."""
        newest, step = history.candidates[-1], len(history.candidates)
        now = Standing.of(history, constraint)
        values = {
            "candidate/quality": newest.quality,
            "candidate/latency_ms": newest.verdict.latency_ms,
            "search/best_quality": now.best.quality,
            "search/best_latency_ms": now.best.verdict.latency_ms,
            "search/budget_ms": constraint.budget_ms,
            "search/feasible_share": now.feasible_share,
            "search/measured_share": now.measured_share,
            "search/seconds": newest.seconds,
        }
        if now.prediction_error is not None:
            values["search/prediction_error"] = now.prediction_error
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def on_training(self, name: str, progress: TrainProgress) -> None:
        """Write the loss of a running training."""
        self._writer.add_scalar(f"training/{name}/loss", progress.loss, progress.step)

    def on_architecture_step(self, step: ArchitectureStep) -> None:
        """Write the loss of a step of gradient search, and the entropy and expected latency of its distribution."""
        values = {"loss": step.loss, "entropy": step.entropy, "expected_ms": step.expected_ms}
        if step.weight_loss is not None:
            values["weight_loss"] = step.weight_loss
        for name, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(f"architecture/{name}", value, step.step + 1)

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
