"""The folder of a run: what it was asked for, its journal, its trainings under way; a killed run goes on there.

`config.json` is for people, the journal's first line is what a run is held against: everything that decides the result,
files by the hash of what they hold, so that another supernet of the same name is noticed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from latlas.distribution import latlas_version
from latlas.errors import InfeasibleBudgetError, without_passwords
from latlas.files.journal import remove_journal
from latlas.files.records import canonical_json
from latlas.files.write import write_json
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.latency.runtime.plugin import openvino_build
from latlas.registry import package_versions
from latlas.search.config import SearchConfig
from latlas.search.report.history_name import FILE_NAME
from latlas.search.run.journal import RunJournal
from latlas.search.run.proxy import ProxyTask
from latlas.search.strategies.names import REGISTRY
from latlas.spaces.operators.spec import kind_of
from latlas.spaces.space import SearchSpace
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.dataset import Dataset, data_sha256, weights_sha256
from latlas.supernet.networks.network import Supernet

CONFIG, JOURNAL, HISTORY, RESULT, TRAININGS = "config.json", "journal.jsonl", FILE_NAME, "result.json", "trainings"
ACCURACY = "accuracy.safetensors"
"""The predictor of quality that the search learnt, where it was asked to."""
SUPERNET = "trained-supernet.safetensors"
"""The copy of the supernet that the search trained, where it was asked to."""
_LIBRARIES = ("lightgbm", "numpy", "scikit-learn", "scipy", "torch")


def identity(
    saved: SavedPredictor,
    weights: Supernet | ProxyTask,
    training: Dataset,
    validation: Dataset,
    setting: Setting,
    config: SearchConfig,
    augmentation: Augmentation | None,
    data: str,
) -> dict[str, Any]:
    """Everything that decides what a search returns, as JSON; the device of its trainings and what it exports do not."""
    asked = without_password(asdict(config))
    for name in ("onnx", "device", "log_every", "checkpoint_every_s"):
        del asked[name]
    record = {
        "asked": asked,
        "setting": asdict(setting),
        "augmentation": None if augmentation is None else asdict(augmentation),
        "data": {"name": data, "training": data_sha256(training), "validation": data_sha256(validation)},
        "space": weights.space.text,
        "predictor": predictor_sha256(saved),
        **({"supernet": weights_sha256(weights)} if isinstance(weights, Supernet) else weights.identity()),
        "versions": {
            "latlas": latlas_version(),
            "openvino": openvino_build(),
            **{name: metadata.version(name) for name in _LIBRARIES},
            **package_versions(_definitions(weights.space, config.strategy)),
        },
    }
    found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))  # tuples as the lists that a file has
    return found


def _definitions(space: SearchSpace, strategy: str) -> list[object]:
    """What decides a result and may be another package's: the space, its operators, the strategy."""
    kinds = {spec.kind for spec in space.specs()}
    return [type(space), REGISTRY.get(strategy).make, *(kind_of(kind).macs for kind in kinds)]


def without_password(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for as it is written into files: a storage's URL without the password of its database."""
    storage = asked["storage"]
    return asked | {"storage": storage and without_passwords(storage)}


def predictor_sha256(saved: SavedPredictor) -> str:
    """The sha256 of what a predictor learnt, where, and of what."""
    record = {
        "predictor": saved.predictor.to_record(),
        "environment": saved.environment.to_record(),
        "samples": [asdict(sample) for sample in saved.samples],
    }
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RunFolder:
    """An open run: the folder and its journal."""

    path: Path
    journal: RunJournal

    def training(self, name: str) -> Path:
        """Where a training under way is kept."""
        return self.path / TRAININGS / f"{name}.training"

    def finished(self) -> None:
        """Forget what only going on needs, but the journal, which is what the result was made of."""
        shutil.rmtree(self.path / TRAININGS, ignore_errors=True)


@contextmanager
def open_run(out: Path, asked: Mapping[str, Any]) -> Iterator[RunFolder]:
    """The run of this identity in the folder `out`: a new one, or the one that was begun there.

    A run that finds its budget impossible leaves nothing: the next may ask for another. Raises `EnvironmentMismatchError`,
    which names what differs, where another run was begun there, and what `Journal` raises.
    """
    try:
        with RunJournal(out / JOURNAL, asked) as journal:
            if not journal.recorded:
                write_json(out / CONFIG, asked, overwrite=True)
            run = RunFolder(out, journal)
            run.training("").parent.mkdir(exist_ok=True)
            yield run
    except InfeasibleBudgetError:
        if not (out / HISTORY).exists():
            discard(out)
        raise


def discard(out: Path) -> list[str]:
    """Delete what an earlier run left in the folder, so that another begins anew; the names of what there was.

    Raises `LatlasError` where that run is still going on.
    """
    left = [name for name in (JOURNAL, CONFIG, HISTORY, RESULT, ACCURACY, SUPERNET) if (out / name).exists()]
    remove_journal(out / JOURNAL)
    for name in left:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TRAININGS, ignore_errors=True)
    return left
