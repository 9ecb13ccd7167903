"""What all steps of a search share: its task, its prepared images, its folder, and the listener for its progress."""

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
    """Everything that decides what a search finds.

    Attributes:
        saved: The predictor, for this machine and the space.
        scoring: How candidates are scored: by a supernet's shared weights, or by the proxy task on a backbone.
        training: Images for training networks and comparing candidates.
        validation: Images for the final quality; they take no part in any choice.
        setting: How networks are measured.
        config: The options of the search.
        augmentation: How training images are varied; None leaves them as they are.
        data: The name of the images in the result.
        strategy: A strategy that the caller made, with `config.own_strategy`; None to use the one that `config` names.
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
        """Everything that decides what the search finds, as JSON with hashes for large data."""
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
        """The parts that decide a result and may come from another package: the space, the strategy, the operators."""
        kinds = {spec.kind for spec in self.space.specs()}
        strategy = type(self.strategy) if self.strategy else self.config.strategy_entry.make
        return [type(self.space), strategy, *(kind_of(kind).macs for kind in kinds)]


@dataclass(slots=True)
class Listener:
    """The callbacks by which a search reports its progress. Each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None
    on_architecture_step: Callable[[ArchitectureStep], None] = lambda step: None
    on_measuring: Callable[[Progress], None] = lambda progress: None


@dataclass(frozen=True, slots=True)
class SearchRun:
    """A running search.

    Attributes:
        task: Everything that decides what it finds.
        prepared: Its baseline and images.
        folder: Its open folder, with the journal.
        listener: The callbacks for its progress.
        operators: A scratch folder for the operators that are measured.
    """

    task: SearchTask
    prepared: Prepared
    folder: RunFolder
    listener: Listener
    operators: Path

    @property
    def config(self) -> SearchConfig:
        """The options of the search."""
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
        """How training images are varied."""
        return self.task.augmentation

    @property
    def journal(self) -> RunJournal:
        """The journal, with each answer from outside the seeded code."""
        return self.folder.journal

    def note(self, text: str) -> None:
        """Send one line of text to the listener."""
        self.listener.on_note(text)


def without_password(asked: dict[str, Any]) -> dict[str, Any]:
    """The options to write into files: the storage's URL has no password."""
    storage = asked["storage"]
    return asked | {"storage": storage and without_passwords(storage)}


def predictor_sha256(saved: SavedPredictor) -> str:
    """The sha256 over a predictor's coefficients, environment and samples."""
    record = {
        "predictor": saved.predictor.to_record(),
        "environment": saved.environment.to_record(),
        "samples": [sample.to_record() for sample in saved.samples],
    }
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()
