"""What a search is asked for, and where it tells what it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from latlas.errors import UsageError
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.soft_latency import FORMS
from latlas.search.gradient.training import ArchitectureStep
from latlas.search.strategies.loop import History
from latlas.search.strategies.names import (
    OPTUNA_STRATEGIES,
    PREDICTED_STRATEGIES,
    REGISTRY,
    TRAINED_STRATEGIES,
)
from latlas.supernet.training.train import TrainConfig, TrainProgress

ARCH_TRAININGS = ("decoupled", "alternating")
LEAST_PREDICTED = 13
"""Evaluations of a search by predicted quality: ten to learn from, one a round."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What a search is asked for.

    `budget_ms` None is the baseline's measured latency. Candidates are to use at least the share `min_use` of it, or of the
    slowest network's where that is within the budget. Those of the best `finalists` that hold the budget when measured are
    ranked anew by successive halving, which trains all of them for `halving_steps`; with 0 the supernet's ranking stands.
    `supernet_steps` is how long the supernet was trained, and `supernet_size` the height and width of its training images,
    at which candidates are scored. Winner and baseline both start from nothing and are trained equally long. With `inherit`
    the winner and the finalists go on from the supernet's weights, of which each searchable one was updated in a step out
    of as many as a layer has operators; the baseline is then trained so many steps longer. It pays only where the supernet
    was trained for very long: after 800 and 350 further steps a subnet was at 65.1 % mIoU, and at 67.6 % after 350 steps
    from nothing. After `time_limit_s` seconds of searching, those of killed runs counted, no more candidates are scored.
    `proxyless` strategies train their distribution for `arch_steps` first, half of that time at most, at
    `arch_learning_rate` (Adam's: an alpha moves by about as much a step, ProxylessNAS's 0.001 is for a hundred times the
    steps): with the supernet's weights fixed (`arch_training` `decoupled`), or with weights and architecture parameters in
    turns (`alternating`), a step each, the weights at `weight_learning_rate`; a copy of the supernet is trained then, and
    all that follows goes by it. With a `latency_loss`, `sum` or `product`, of `latency_weight`, that training is not held
    to the budget, the usual way, to compare with; candidates are. `storage` and `study` are where one of Optuna's
    strategies keeps its trials, which several searches may share. With `accuracy_predictor` seven tenths of the evaluations
    are drawn at random, quality is learnt from their scores, the strategy searches over predicted quality for `predicted`
    evaluations, in three rounds, and what is predicted best is scored. With `onnx` the winner is also written as ONNX,
    where the packages for that are installed.

    `rivals` are further baselines that are trained, exported and measured as the baseline is. `near_share` is the share of its
    draws that `near_best` makes near the best.
    """

    budget_ms: float | None = None
    baseline: str = "mobilenetv3_large"
    rivals: tuple[str, ...] = ()
    strategy: str = "evolution"
    evaluations: int = 100
    finalists: int = 9
    halving_steps: int = 150
    max_measurements: int = 30
    min_use: float = 0.9
    confidence: float = 0.95
    seed: int = 0
    score_images: int = 600
    supernet_steps: int = 0
    supernet_size: tuple[int, int] | None = None
    inherit: bool = False
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1500))
    time_limit_s: float | None = None
    arch_steps: int = 500
    arch_learning_rate: float = 1e-2
    arch_training: str = "decoupled"
    weight_learning_rate: float = 0.025
    latency_loss: str | None = None
    latency_weight: float = 0.2
    storage: str | None = None
    study: str | None = None
    near_share: float = 0.5
    accuracy_predictor: bool = False
    predicted: int = 2000
    onnx: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.min_use < 1:
            raise UsageError(f"min_use is {self.min_use}; it must be at least 0 and below 1, as 0.9")
        least_of = {"finalists": 1, "halving_steps": 0, "score_images": 1, "arch_steps": 1, "predicted": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.near_share <= 1:
            raise UsageError(f"near_share is {self.near_share}; it must be a share from 0 to 1")
        if len({self.baseline, *self.rivals}) != 1 + len(self.rivals):
            raise UsageError(f"rivals are {', '.join(self.rivals)} beside {self.baseline}; name each baseline once")
        entry = REGISTRY.get(self.strategy)
        if self.storage is not None and not entry.stored:
            raise UsageError(
                f"strategy {self.strategy!r} keeps nothing in a storage; one of {', '.join(OPTUNA_STRATEGIES)} does"
            )
        if bool(self.storage) != bool(self.study):
            raise UsageError(f"storage is {self.storage!r} and study {self.study!r}; give both, or neither")

        self._check_gradients()
        if self.accuracy_predictor:
            if not entry.predicted:
                raise UsageError(
                    f"strategy {self.strategy!r} does not search over predicted quality; "
                    f"with an accuracy predictor take one of {', '.join(PREDICTED_STRATEGIES)}"
                )
            if self.evaluations < LEAST_PREDICTED:
                raise UsageError(
                    f"evaluations is {self.evaluations}; an accuracy predictor needs at least {LEAST_PREDICTED}: "
                    "most of them to learn from, the rest to score what it finds"
                )

    def _check_gradients(self) -> None:
        if self.arch_training not in ARCH_TRAININGS:
            raise UsageError(f"arch_training is {self.arch_training!r:.40}; known: {', '.join(ARCH_TRAININGS)}")
        if self.latency_loss is not None and self.latency_loss not in FORMS:
            raise UsageError(f"latency_loss is {self.latency_loss!r:.40}; known: {', '.join(FORMS)}")
        for name in ("arch_learning_rate", "weight_learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}; it must be above 0")
        if not (math.isfinite(self.latency_weight) and self.latency_weight >= 0):
            raise UsageError(f"latency_weight is {self.latency_weight}; it must be at least 0")
        for name, asked in (("arch_training", self.alternating), ("latency_loss", self.latency_loss)):
            if asked and not REGISTRY.get(self.strategy).trained:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}, and strategy {self.strategy!r} trains no architecture parameters; "
                    f"{' and '.join(TRAINED_STRATEGIES)} do"
                )

    @property
    def alternating(self) -> bool:
        """Whether the search trains weights, of a copy of the supernet."""
        return self.arch_training == "alternating"

    @property
    def front(self) -> bool:
        """Whether the strategy looks for networks at all latencies up to the budget."""
        return REGISTRY.get(self.strategy).front


@dataclass(slots=True)
class Listener:
    """Where a search tells what it does; each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None
    on_architecture_step: Callable[[ArchitectureStep], None] = lambda step: None


def require_searchable(precision: str, batch: int | None) -> None:
    """Raises `UsageError` for latencies that a search cannot be led by: int8, and a batch of several."""
    if precision == "int8":
        raise UsageError(
            "search does not take int8: it states the quality of what it exports, and a quantised network's is not known; "
            "search at f32 or bf16, and see `latlas measure --precision int8` for the latency of what it finds"
        )
    if batch != 1:
        raise UsageError(
            f"search exports networks of batch 1, and the predictor is of batch {batch}; fit one at --batch 1"
        )
