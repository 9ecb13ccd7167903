"""What TensorBoard is told of a search."""

import re
import sys
from types import SimpleNamespace

import pytest

from latlas.distribution import how_to_install
from latlas.errors import UsageError
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.search.constraint.verdict import Verdict
from latlas.search.report.tensorboard import Standing, TensorBoard
from latlas.search.strategies.loop import Candidate, History
from latlas.supernet.training.train import TrainProgress


@pytest.fixture
def searched(tiny_space):
    verdict = Verdict(True, 1.5, 1.4, 1.6, False)
    history = History(
        [Candidate(one, q, verdict, 1.0) for one, q in zip(tiny_space.cover(), (0.4, 0.6, 0.5), strict=False)]
    )
    constraint = LatencyConstraint(SimpleNamespace(), 2.0)
    constraint.counts.accepted, constraint.counts.rejected, constraint.counts.measured = 3, 1, 2
    return history, constraint


def test_progress_says_where_a_search_stands(searched):
    now = Standing.of(*searched)
    assert now.best is searched[0].candidates[1]
    assert (now.feasible_share, now.measured_share, now.prediction_error) == (0.75, 0.5, None)
    assert now.line() == "best 60.00 % at 1.50 ms, 75 % feasible, 50 % measured, prediction off by unknown"


def test_scalars_are_written_and_a_run_that_goes_on_writes_them_again(tmp_path, searched):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history, constraint = searched
    for _ in range(2):
        with TensorBoard(tmp_path) as board:
            for count in (1, 2, 3):
                board.on_candidate(History(history.candidates[:count]), constraint)
            board.on_training("winner", TrainProgress(20, 100, 0.5, 1.0, 4.0))
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    best = [(one.step, round(one.value, 3)) for one in read.Scalars("search/best_quality")]
    assert best == [(1, 0.4), (2, 0.6), (3, 0.6)]
    assert [one.value for one in read.Scalars("training/winner/loss")] == [0.5]


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=re.escape(how_to_install("tensorboard"))):
        TensorBoard(tmp_path)
