"""What a search measured, learnt by the predictor that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from latlas.latency.predictor_file import LearntFrom, SavedPredictor
from latlas.search.constraint import Learnt


def with_learnt(saved: SavedPredictor, learnt: Sequence[Learnt]) -> SavedPredictor:
    """The predictor having learnt a finished search's measurements (`LatencyConstraint.learnt`), which are listed as `search`.

    Its figures stay those of the test that it had: what a search measures is no random sample. What it has learnt already is
    not learnt twice; a predictor that cannot learn stays as it is.
    """
    known = {sample.architecture for sample in saved.samples if sample.role != "test"}
    learnt = [one for one in learnt if str(one.architecture) not in known]
    if not learnt or not saved.predictor.learns:
        return saved
    predictor = saved.predictor.updated(
        [one.architecture.graph() for one in learnt],
        [one.latency_ms for one in learnt],
        [one.relative_error for one in learnt],
    )
    samples = tuple(
        LearntFrom(str(one.architecture), one.latency_ms, one.lower_ms, one.upper_ms, one.predicted_ms, "search")
        for one in learnt
    )
    return replace(saved, predictor=predictor, samples=(*saved.samples, *samples))
