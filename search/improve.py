"""What a search measured, learnt by the saved predictor that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from latlas.latency.predictor_file import LearntFrom, SavedPredictor
from latlas.search.constraint import Learnt
from latlas.search.interval import Interval


def improved(saved: SavedPredictor, learnt: Sequence[Learnt]) -> SavedPredictor:
    """The predictor that has learnt these measurements too; itself where there are none, or it cannot learn.

    Its figures stay those of its own test, beside how many samples of searches it has learnt since.
    """
    known = {sample.architecture for sample in saved.samples}
    new = [one for one in learnt if str(one.architecture) not in known]
    if not new or not saved.predictor.learns:
        return saved
    graphs = [one.architecture.graph() for one in new]
    errors = [Interval(one.latency_ms, one.lower_ms, one.upper_ms).relative_error for one in new]
    predictor = saved.predictor.updated(graphs, [one.latency_ms for one in new], errors)
    samples = tuple(
        LearntFrom(str(one.architecture), one.latency_ms, one.lower_ms, one.upper_ms, one.predicted_ms, "search")
        for one in new
    )
    figures = saved.figures | {"learnt_in_searches": saved.figures.get("learnt_in_searches", 0) + len(new)}
    return replace(saved, predictor=predictor, figures=figures, samples=saved.samples + samples)
