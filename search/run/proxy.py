"""Scores candidates by the proxy task: a frozen backbone, a cache of its features, and short trainings of cells on them.

This replaces a supernet's shared weights; see arXiv 1809.04184, section 3.3.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from latlas.distribution import latlas_version
from latlas.errors import DivergedError, UsageError
from latlas.files import signals as interrupt
from latlas.search.config import SearchConfig
from latlas.search.proxy_config import ProxyConfig, require_scorable
from latlas.search.run.journal import share
from latlas.search.run.rungs import Rungs
from latlas.search.strategies.loop import History
from latlas.spaces.space import Architecture, SearchSpace
from latlas.supernet.backbone.backbone_file import load_backbone
from latlas.supernet.backbone.cell_training import CellTraining, ProxyData
from latlas.supernet.backbone.feature_cache import FeatureCache
from latlas.supernet.backbone.features import FeaturePlan, Features, layout_of
from latlas.supernet.backbone.split import Backbone, split_of
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.data.batches import fitting_size
from latlas.supernet.data.dataset import Dataset, weights_sha256
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.training.train import training_device

if TYPE_CHECKING:
    from latlas.search.run.score import Scoring
    from latlas.search.run.search_run import SearchRun

KIND = "proxy"


@dataclass(frozen=True)
class ProxyTask:
    """A `Scoring` by the proxy task: a space, a trained backbone of the space, and the cache of its features."""

    space: SearchSpace
    backbone: Backbone
    cache: FeatureCache
    config: ProxyConfig

    @classmethod
    def load(
        cls, path: Path, space: SearchSpace, calibration: list[torch.Tensor], cache: FeatureCache, config: ProxyConfig
    ) -> ProxyTask:
        """The proxy task with the backbone of a file. The space must have a backbone. Raises what `load_backbone` raises."""
        return cls(space, load_backbone(path, split_of(space), calibration), cache, config)

    def identity(self) -> dict[str, Any]:
        """The parts of the proxy task that decide a search's result, as JSON."""
        return {"backbone": weights_sha256(self.backbone), "proxy": asdict(self.config)}

    def record(self) -> dict[str, Any]:
        """`scored_by` and `proxy` for a search's result: the proxy task's options."""
        return {"scored_by": "proxy", "proxy": asdict(self.config)}

    def require_fitting(self, config: SearchConfig, scored: Dataset, unscored: Dataset, calibrating: Dataset) -> None:
        """Raise `UsageError` if the proxy task cannot score this search, or if the features exceed the cache's limit."""
        require_scorable(config, self.config)
        if not len(unscored):
            raise UsageError("there are too few images to train cells on some and to score them on others")
        fitting_size(self.space.cover()[0].graph(), scored, None, None, "training images")
        augmented = FeaturePlan(Augmentation(), self.config.copies)
        sets = ((unscored, augmented), (scored, FeaturePlan()), (calibrating, FeaturePlan()))
        sizes = [layout_of(self.backbone, images, plan).size_bytes.values() for images, plan in sets]
        self.cache.require_room(sum(map(sum, sizes)))

    def fresh(self, architecture: Architecture, seed: int) -> Subnet:
        """A whole network before its training, with the backbone's weights unless `from_nothing`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            graph = architecture.graph()
            return Subnet(graph) if self.config.from_nothing else self.backbone.network(graph)

    def inherited(self, architecture: Architecture) -> Subnet:
        """Raise `UsageError`: there are no weights to inherit. `require_fitting` refuses such a search earlier."""
        raise UsageError(
            "--inherit is of a supernet's weights; with a backbone, networks start from the backbone's weights anyway"
        )

    def supernet_of(self, strategy: str) -> Supernet:
        """Raise `UsageError`: there is no supernet."""
        raise UsageError(f"strategy {strategy!r} trains on a supernet's weights; with a backbone take another one")

    def to_be_trained(self, strategy: str) -> Scoring:
        """Raise `UsageError`: there is no supernet to train."""
        raise UsageError(f"strategy {strategy!r} trains on a supernet's weights; with a backbone take another one")

    def scorer(self, run: SearchRun) -> ProxyScorer:
        """The scorer of a run."""
        return ProxyScorer(self, run)


class ProxyScorer:
    """Scores the candidates of one run. Each score is in the run's journal. Features are computed before the first score."""

    def __init__(self, task: ProxyTask, run: SearchRun) -> None:
        self.task, self.journal, self.on_note = task, run.journal, run.note
        train, augmentation, images = run.config.train, run.augmentation, run.prepared
        self.train = replace(train, steps=task.config.steps, height=None, width=None, ema_decay=None)
        self.rungs = Rungs(task.config.steps, task.config.pruner)
        self.pruned = set[Architecture]()
        augmented = FeaturePlan(augmentation, task.config.copies if augmentation else 1, train.seed)
        self._sets = (
            (images.unscored, augmented),
            (images.scored, FeaturePlan()),
            (images.calibrating, FeaturePlan()),
        )
        self._data: ProxyData | None = None

    @property
    def data(self) -> ProxyData:
        """The features; they are computed now if they are not in the cache."""
        if self._data is None:
            training, scored, calibrating = (self._features(*one) for one in self._sets)
            self._data = ProxyData(self.task.backbone.split, training, scored, calibrating)
        return self._data

    def score(self, architecture: Architecture) -> float:
        """mIoU, 0..1, at the end of the architecture's training; 0 if the training diverged."""
        training: list[CellTraining] = []

        def reach(steps: int) -> float | None:
            def answer() -> float | None:
                if not training:
                    training.append(CellTraining(architecture.graph(), self.data, self.train))
                try:
                    return training[0].advance(steps, interrupt.check).miou()
                except DivergedError as error:
                    self.on_note(f"a candidate is scored 0: {error}")
                    return None

            return self.journal.ask(KIND, [str(architecture), steps], answer, _share_or_none)

        found = self.rungs.climb(reach)
        if found.pruned:
            self.pruned.add(architecture)
        return found.miou

    def comparable(self, history: History) -> History:
        """The history without candidates that were stopped early, whose scores are from fewer steps. If none is left, all."""
        whole = [one for one in history.candidates if one.architecture not in self.pruned]
        return replace(history, candidates=whole) if whole else history

    def _features(self, images: Dataset, plan: FeaturePlan) -> Features:
        told: list[int] = []

        def on_progress(done: int, total: int) -> None:
            interrupt.check()
            if not told:
                self.on_note(f"computing the backbone's features of {total} images into {self.task.cache.folder}")
            told.append(done)

        device = training_device(self.train.device)
        try:
            return self.task.cache.features(self.task.backbone.to(device), images, plan, latlas_version(), on_progress)
        finally:
            self.task.backbone.cpu()


def _share_or_none(value: object) -> float | None:
    return None if value is None else share(value)
