"""What the steps of a search share: the task, what it was prepared with, its folder, and where it tells what it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from latlas.distribution import latlas_version
from latlas.errors import without_passwords
from latlas.files.records import canonical_json
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.time_left import Progress
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.latency.runtime.plugin import openvino_build
from latlas.registry import package_versions
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.gradient.training import ArchitectureStep
from latlas.search.run.folder import RunFolder
from latlas.search.run.journal import RunJournal
from latlas.search.run.prepare import Prepared
from latlas.search.run.score import Scoring
from latlas.search.strategies.loop import History
from latlas.search.strategies.strategy import Strategy
from latlas.spaces.operators.spec import kind_of
from latlas.spaces.space import SearchSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, data_sha256
from latlas.supernet.training.train import TrainProgress

_LIBRARIES = ("lightgbm", "numpy", "scikit-learn", "scipy", "torch")
_RESULT_STAYS = ("onnx", "device", "log_every", "checkpoint_every_s")
"""Options that do not change what a search finds."""


@dataclass(frozen=True, slots=True)
class SearchTask:
    """All that decides what a search finds.

    Attributes:
        saved: The predictor, of this machine and the space.
        scoring: What candidates are scored by: a supernet's shared weights, or the proxy task on a backbone.
        training: Images that networks are trained on and candidates compared on.
        validation: Images that the result is judged on; they choose nothing.
        setting: How networks are measured.
        config: What is searched, and how.
        augmentation: How training images are changed; None for not at all.
        data: What the images are called in the result.
        strategy: A strategy that the caller made, with `config.own_strategy`; None for the one that `config` names.
    """

    saved: SavedPredictor
    scoring: Scoring
    training: Dataset
    validation: Dataset
    setting: Setting
    config: SearchConfig
    augmentation: Augmentation | None = None
    data: str = ""
    strategy: Strategy | None = None

    @property
    def space(self) -> SearchSpace:
        """The space that is searched."""
        return self.scoring.space

    def identity(self) -> dict[str, Any]:
        """Everything that decides what the search finds, as JSON."""
        asked = without_password(asdict(self.config))
        record = {
            "asked": {name: value for name, value in asked.items() if name not in _RESULT_STAYS},
            "setting": asdict(self.setting),
            "augmentation": None if self.augmentation is None else asdict(self.augmentation),
            "data": {
                "name": self.data,
                "training": data_sha256(self.training),
                "validation": data_sha256(self.validation),
            },
            "space": self.space.text,
            "predictor": predictor_sha256(self.saved),
            **self.scoring.identity(),
            "versions": {
                "latlas": latlas_version(),
                "openvino": openvino_build(),
                **{name: metadata.version(name) for name in _LIBRARIES},
                **package_versions(self._definitions()),
            },
        }
        as_read: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))  # tuples become a file's lists
        return as_read

    def _definitions(self) -> list[object]:
        """What decides a result and may be another package's: the space, its operators, the strategy."""
        kinds = {spec.kind for spec in self.space.specs()}
        strategy = type(self.strategy) if self.strategy else self.config.strategy_entry.make
        return [type(self.space), strategy, *(kind_of(kind).macs for kind in kinds)]


@dataclass(slots=True)
class Listener:
    """Where a search tells what it does; each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None
    on_architecture_step: Callable[[ArchitectureStep], None] = lambda step: None
    on_measuring: Callable[[Progress], None] = lambda progress: None


@dataclass(frozen=True, slots=True)
class SearchRun:
    """A search under way.

    Attributes:
        task: What it was asked for.
        prepared: Its baseline and images.
        folder: Its open folder, with the journal.
        listener: Where it tells what it does.
        operators: A scratch folder for the operators that are measured.
    """

    task: SearchTask
    prepared: Prepared
    folder: RunFolder
    listener: Listener
    operators: Path

    @property
    def config(self) -> SearchConfig:
        """What is searched, and how."""
        return self.task.config

    @property
    def space(self) -> SearchSpace:
        """The space that is searched."""
        return self.task.space

    @property
    def saved(self) -> SavedPredictor:
        """The predictor that the search began with."""
        return self.task.saved

    @property
    def setting(self) -> Setting:
        """How networks are measured."""
        return self.task.setting

    @property
    def augmentation(self) -> Augmentation | None:
        """How training images are changed."""
        return self.task.augmentation

    @property
    def journal(self) -> RunJournal:
        """Each answer that came from outside the seeded code."""
        return self.folder.journal

    def note(self, text: str) -> None:
        """Tell the listener a line."""
        self.listener.on_note(text)


def without_password(asked: dict[str, Any]) -> dict[str, Any]:
    """The options as they are written into files: the URL of a storage without the password of its database."""
    storage = asked["storage"]
    return asked | {"storage": storage and without_passwords(storage)}


def predictor_sha256(saved: SavedPredictor) -> str:
    """The sha256 of a predictor: its coefficients, its environment and its samples."""
    record = {
        "predictor": saved.predictor.to_record(),
        "environment": saved.environment.to_record(),
        "samples": [sample.to_record() for sample in saved.samples],
    }
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()
