"""What a search scores candidates by: a supernet's shared weights, or the proxy task on a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from latlas.errors import UsageError
from latlas.search.config import SearchConfig
from latlas.search.run.journal import RunJournal, share
from latlas.search.run.prepare import Prepared
from latlas.search.run.proxy import ProxyScorer, ProxyTask
from latlas.search.strategies.loop import History
from latlas.spaces.space import Architecture
from latlas.supernet.data.augment import Augmentation
from latlas.supernet.networks.network import Supernet
from latlas.supernet.training.quality import score


class Scorer(Protocol):
    """Scores of a run, each of which is an answer of its journal."""

    def score(self, architecture: Architecture) -> float:
        """Quality, 0..1, larger better."""
        ...

    def settled(self, history: History) -> History:
        """The history of those whose scores compare: none that was stopped early, where any was not."""
        ...


def make_scorer(
    journal: RunJournal,
    weights: Supernet | ProxyTask,
    prepared: Prepared,
    augmentation: Augmentation | None,
    config: SearchConfig,
    on_note: Callable[[str], None],
) -> Scorer:
    """The scorer of a run."""
    if isinstance(weights, Supernet):
        return SupernetScorer(journal, weights, prepared)
    return ProxyScorer(
        weights,
        journal,
        config.train,
        augmentation,
        prepared.scored,
        prepared.unscored,
        prepared.calibrating,
        on_note,
    )


def require_supernet(weights: Supernet | ProxyTask, strategy: str) -> Supernet:
    """The supernet; raises `UsageError` where there is none, which the strategy needs."""
    if isinstance(weights, Supernet):
        return weights
    raise UsageError(f"strategy {strategy!r} trains on a supernet's weights; with a backbone take another one")


def scored_by(weights: Supernet | ProxyTask) -> dict[str, Any]:
    """What a search's result says of it: by what candidates were scored, and the proxy task's settings."""
    if isinstance(weights, Supernet):
        return {"scored_by": "supernet", "proxy": None}
    return {"scored_by": "proxy", "proxy": asdict(weights.config)}


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

    def settled(self, history: History) -> History:
        """All of it."""
        return history
