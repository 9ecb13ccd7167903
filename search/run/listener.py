"""Where a search tells what it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from latlas.latency.measuring.time_left import Progress
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.training import ArchitectureStep
from latlas.search.strategies.loop import History
from latlas.supernet.training.train import TrainProgress


@dataclass(slots=True)
class Listener:
    """Where a search tells what it does; each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None
    on_architecture_step: Callable[[ArchitectureStep], None] = lambda step: None
    on_measuring: Callable[[Progress], None] = lambda progress: None
