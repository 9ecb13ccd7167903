"""A search led by predicted quality, within a run: its rounds are in the journal, its predictor is in the folder.

The result of a round is one answer in the journal, so a resumed run neither learns nor searches that round again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latlas.search.accuracy.file import save_accuracy
from latlas.search.accuracy.models import LEAST_VALIDATED
from latlas.search.accuracy.rounds import Round
from latlas.search.accuracy.search import AccuracySearch, AccuracySearchConfig, accuracy_search
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.make import make_strategy
from latlas.search.run.folder import ACCURACY
from latlas.search.run.search_run import SearchRun
from latlas.search.strategies.loop import LoopOptions
from latlas.search.strategies.strategy import StrategyContext
from latlas.spaces.space import Architecture

KIND = "predicted quality"
LEARN_SHARE = 0.7
"""Share of the evaluations that are random draws to learn quality from."""


def phase_config(config: SearchConfig) -> AccuracySearchConfig:
    """How a search splits its evaluations between learning and scoring the best."""
    learn = max(LEAST_VALIDATED, round(LEARN_SHARE * config.evaluations))
    return AccuracySearchConfig(learn, config.evaluations - learn, predicted=config.predicted, seed=config.seed)


def search_by_prediction(
    run: SearchRun,
    constraint: LatencyConstraint,
    context: StrategyContext,
    evaluate: Callable[[Architecture], float],
    options: LoopOptions,
) -> AccuracySearch:
    """`accuracy_search` within a run, with the configured strategy. Raises what `accuracy_search` raises."""
    config, space = run.config, run.space
    asked = phase_config(config)

    def keep(index: int, find: Callable[[], Round]) -> Round:
        def answer() -> dict[str, Any]:
            found = find()
            assert found.predictor is not None
            best = found.validated[0].to_record()
            save_accuracy(found.predictor, space, run.folder.path / ACCURACY, {"round": index + 1, "left_out": best})
            return found.to_record()

        ended = run.journal.ask(KIND, index, answer, lambda value: Round.from_record(value, space))
        best = ended.validated[0]
        rho = best.agreement.spearman.value
        run.note(
            f"round {index + 1} of {asked.rounds}: quality learnt from {best.agreement.count} networks by {best.kind} (left-out "
            f"Spearman {'unknown' if rho is None else f'{rho:.2f}'}), predicted for {ended.asked}"
        )
        return ended

    run.note(f"scoring {asked.learn} networks to learn quality from")
    found = accuracy_search(
        make_strategy("random", space, np.random.default_rng(config.seed), asked.learn),
        lambda size: make_strategy(
            config.strategy, space, np.random.default_rng([config.seed, 1]), size, context=context
        ),
        constraint,
        evaluate,
        space,
        asked,
        keep=keep,
        **options,
    )
    if not found.validated:
        run.note(f"quality was not predicted: {found.learnt_from} networks were scored before the search was over")
    return found


def accuracy_record(found: AccuracySearch | None, folder: Path) -> dict[str, Any] | None:
    """How well quality was predicted, as JSON; None for a search that predicted no quality.

    `kind`, `mae`, `kendall` and `spearman` describe the last round's best predictor on networks it did not learn from. Without a
    round they are None.
    """
    if found is None:
        return None
    rounds = [[one.to_record() for one in kinds] for kinds in found.validated]
    last: Mapping[str, Any] = rounds[-1][0] if rounds else {}
    return {
        **{name: last.get(name) for name in ("kind", "mae", "kendall", "spearman")},
        "samples": last.get("count", 0),
        "drawn": found.learnt_from,
        "chosen": len(found.history.candidates) - found.learnt_from,
        "asked": found.asked,
        "rounds": rounds,
        "file": str(folder / ACCURACY) if rounds else None,
    }
