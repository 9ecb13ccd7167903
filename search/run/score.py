"""What a search scores candidates by: one interface, and the shared weights of a supernet behind it.

The other that has it is the proxy task on a frozen backbone, `proxy.py`.
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
    """Scores of a run, each an answer of its journal."""

    def score(self, architecture: Architecture) -> float:
        """Quality, 0..1, larger better."""
        ...

    def comparable(self, history: History) -> History:
        """The history with only the candidates whose scores compare: none that was stopped early, where any was not."""
        ...


class Scoring(Protocol):
    """What candidates are scored by, and what the networks that are trained begin with."""

    @property
    def space(self) -> SearchSpace:
        """The space whose architectures it scores."""
        ...

    def identity(self) -> dict[str, Any]:
        """What of it decides a search's result, as JSON."""
        ...

    def record(self) -> dict[str, Any]:
        """`scored_by` and `proxy` of a search's result, as JSON."""
        ...

    def require_fitting(self, config: SearchConfig, scored: Dataset, unscored: Dataset, calibrating: Dataset) -> None:
        """Raises `UsageError` for a search that this cannot score, and for images that it cannot work with."""
        ...

    def fresh(self, architecture: Architecture, seed: int) -> Subnet:
        """A network as its training begins."""
        ...

    def inherited(self, architecture: Architecture) -> Subnet:
        """A network with the weights that candidates were scored by."""
        ...

    def supernet_of(self, strategy: str) -> Supernet:
        """The supernet, for a strategy that trains on it; raises `UsageError` where there is none."""
        ...

    def to_be_trained(self, strategy: str) -> Scoring:
        """The same with a copy of the supernet's weights, which a search may train; raises as `supernet_of`."""
        ...

    def scorer(self, run: SearchRun) -> Scorer:
        """The scorer of a run."""
        ...


@dataclass(frozen=True, slots=True)
class SharedWeights:
    """A supernet as what candidates are scored by."""

    supernet: Supernet

    @property
    def space(self) -> SearchSpace:
        """As of `Scoring`."""
        return self.supernet.space

    def identity(self) -> dict[str, Any]:
        """As of `Scoring`: the hash of the weights."""
        return {"supernet": weights_sha256(self.supernet)}

    def record(self) -> dict[str, Any]:
        """As of `Scoring`."""
        return {"scored_by": "supernet", "proxy": None}

    def require_fitting(self, config: SearchConfig, scored: Dataset, unscored: Dataset, calibrating: Dataset) -> None:
        """A supernet scores whatever its images are."""

    def fresh(self, architecture: Architecture, seed: int) -> Subnet:
        """As of `Scoring`: drawn weights, the same for one seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Subnet(architecture.graph())

    def inherited(self, architecture: Architecture) -> Subnet:
        """As of `Scoring`: the supernet's weights."""
        return self.supernet.extract(architecture)

    def supernet_of(self, strategy: str) -> Supernet:
        """As of `Scoring`."""
        return self.supernet

    def to_be_trained(self, strategy: str) -> SharedWeights:
        """As of `Scoring`."""
        return SharedWeights(copy.deepcopy(self.supernet))

    def scorer(self, run: SearchRun) -> SupernetScorer:
        """As of `Scoring`."""
        return SupernetScorer(run.journal, self.supernet, run.prepared)


@dataclass(frozen=True, slots=True)
class SupernetScorer:
    """mIoU with shared weights, batch normalisation recalibrated for each architecture."""

    journal: RunJournal
    supernet: Supernet
    prepared: Prepared

    def score(self, architecture: Architecture) -> float:
        """As of `Scorer`."""

        def answer() -> float:
            return score(self.supernet, architecture, self.prepared.score_calibration, self.prepared.scored).miou

        return self.journal.ask("score", str(architecture), answer, share)

    def comparable(self, history: History) -> History:
        """All of it."""
        return history
