"""The interface for scoring candidates, and its implementation by a supernet's shared weights.

The other implementation is the proxy task on a frozen backbone, in `proxy.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from latlas.search.config import SearchConfig
from latlas.search.run.journal import RunJournal, share
from latlas.search.run.prepare import Prepared
from latlas.search.strategies.loop import History
from latlas.spaces.space import Architecture, SearchSpace
from latlas.supernet.data.dataset import Dataset, weights_sha256
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.training.quality import score

if TYPE_CHECKING:
    from latlas.search.run.search_run import SearchRun


class Scorer(Protocol):
    """Scores the candidates of a run. Each score is an answer in the run's journal."""

    def score(self, architecture: Architecture) -> float:
        """The quality, 0..1; larger is better."""
        ...

    def comparable(self, history: History) -> History:
        """The history with only the candidates whose scores can be compared: without those stopped early, unless all were."""
        ...


class Scoring(Protocol):
    """How candidates are scored, and which weights networks have before their training."""

    @property
    def space(self) -> SearchSpace:
        """The space whose architectures it scores."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything in it that decides a search's result, as JSON."""
        ...

    def record(self) -> dict[str, Any]:
        """`scored_by` and `proxy` for a search's result, as JSON."""
        ...

    def require_fitting(self, config: SearchConfig, scored: Dataset, unscored: Dataset, calibrating: Dataset) -> None:
        """Raise `UsageError` if it cannot score this search or cannot work with these images."""
        ...

    def fresh(self, architecture: Architecture, seed: int) -> Subnet:
        """A network before its training."""
        ...

    def inherited(self, architecture: Architecture) -> Subnet:
        """A network with the weights that candidates were scored with."""
        ...

    def supernet_of(self, strategy: str) -> Supernet:
        """The supernet, for a strategy that trains on it. Raises `UsageError` if there is none."""
        ...

    def to_be_trained(self, strategy: str) -> Scoring:
        """The same with a copy of the supernet, which a search may train. Raises what `supernet_of` raises."""
        ...

    def scorer(self, run: SearchRun) -> Scorer:
        """The scorer of a run."""
        ...


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """A `Scoring` by the shared weights of a supernet."""

    supernet: Supernet

    @property
    def space(self) -> SearchSpace:
        """The supernet's space."""
        return self.supernet.space

    def identity(self) -> dict[str, Any]:
        """The hash of the supernet's weights, as JSON."""
        return {"supernet": weights_sha256(self.supernet)}

    def record(self) -> dict[str, Any]:
        """`scored_by` and `proxy` for a search's result."""
        return {"scored_by": "supernet", "proxy": None}

    def require_fitting(self, config: SearchConfig, scored: Dataset, unscored: Dataset, calibrating: Dataset) -> None:
        """Check nothing: a supernet can score every search and all images."""

    def fresh(self, architecture: Architecture, seed: int) -> Subnet:
        """A network with random weights; the same seed gives the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Subnet(architecture.graph())

    def inherited(self, architecture: Architecture) -> Subnet:
        """A network with a copy of the supernet's weights."""
        return self.supernet.extract(architecture)

    def supernet_of(self, strategy: str) -> Supernet:
        """The supernet."""
        return self.supernet

    def to_be_trained(self, strategy: str) -> SharedWeights:
        """The same with a copy of the supernet, which a search may train."""
        return SharedWeights(copy.deepcopy(self.supernet))

    def scorer(self, run: SearchRun) -> SupernetScorer:
        """The scorer of a run."""
        return SupernetScorer(run.journal, self.supernet, run.prepared)


@dataclass(frozen=True, slots=True)
class SupernetScorer:
    """Scores by mIoU with shared weights, after batch normalisation was recalibrated for each architecture."""

    journal: RunJournal
    supernet: Supernet
    prepared: Prepared

    def score(self, architecture: Architecture) -> float:
        """mIoU with the shared weights, 0..1."""

        def answer() -> float:
            return score(self.supernet, architecture, self.prepared.score_calibration, self.prepared.scored).miou

        return self.journal.ask("score", str(architecture), answer, share)

    def comparable(self, history: History) -> History:
        """The whole history: all scores can be compared."""
        return history
