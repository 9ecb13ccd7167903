"""The options, each a field, for scoring candidates by a short training on a backbone's features."""

from __future__ import annotations

from dataclasses import dataclass

from latlas.errors import UsageError
from latlas.option import check_options, option
from latlas.search.config import SearchConfig
from latlas.search.strategies.halving import ETA

BACKBONE = "Cells on a backbone"
PRUNERS = ("none", "halving", "hyperband")
RUNGS = 3


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """How candidates are trained on features. Everything but the number of `steps` is the same as for finalists.

    With `from_nothing`, finalists, winner and baselines are trained from nothing. Otherwise they start from the backbone's
    weights and train these too.
    """

    steps: int = option(
        300, "Steps that a candidate is trained on the features.", group=BACKBONE, at_least=1, name="proxy-steps"
    )
    copies: int = option(
        2, "Augmented views of each training image whose features are kept.", group=BACKBONE, at_least=1
    )
    pruner: str = option(
        "none",
        "none, halving or hyperband: Optuna's, which stop a candidate that does worse than others did.",
        group=BACKBONE,
        choices=PRUNERS,
    )
    from_nothing: bool = option(
        False, "Train finalists, winner and baselines from nothing, not from the backbone's weights.", group=BACKBONE
    )

    def __post_init__(self) -> None:
        check_options(self)
        rungs_of(self.steps, self.pruner)


def rungs_of(steps: int, pruner: str) -> tuple[int, ...]:
    """The numbers of steps after which candidates are compared; the last is `steps`.

    Raises `UsageError` for an unknown pruner, or if there are too few steps for its rungs.
    """
    if pruner not in PRUNERS:
        raise UsageError(f"unknown pruner {pruner!r:.40}; known: {', '.join(PRUNERS)}")
    if pruner == "none":
        return (steps,)
    if steps < ETA ** (RUNGS - 1):
        raise UsageError(f"{steps} steps are too few for {RUNGS} rungs; train for at least {ETA ** (RUNGS - 1)}")
    return tuple(steps // ETA**left for left in reversed(range(RUNGS)))


def require_scorable(config: SearchConfig, proxy: ProxyConfig) -> None:
    """Raise `UsageError` if the search cannot score its candidates on a backbone's features."""
    if config.inherit:
        raise UsageError(
            "--inherit is of a supernet's weights; with a backbone, networks start from the backbone's weights anyway"
        )
    if config.strategy_entry.trained:
        raise UsageError(
            f"strategy {config.strategy!r} trains on a supernet's weights; with a backbone take another one"
        )
    if config.accuracy_predictor and proxy.pruner != "none":
        raise UsageError("an accuracy predictor learns from scores of equal steps; take the pruner none with it")
