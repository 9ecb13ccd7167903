"""The rows of a search, written and read back."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.measuring.interval import Interval
from latlas.search.constraint.verdict import Verdict
from latlas.search.report.history import HistoryFile, read_history, write_history
from latlas.search.strategies.halving import Trial
from latlas.search.strategies.loop import Candidate, History, Rejected


def within(ms, measured):
    return Verdict(True, ms, 0.9 * ms, 1.1 * ms, measured)


@pytest.fixture
def file(tmp_path):
    return HistoryFile(tmp_path / "history.parquet", "evolution", 2.0)


def test_a_row_for_each_evaluation_and_measurement_in_order(file, tiny_space):
    a, b, c = tiny_space.sample(3, np.random.default_rng(0))
    history = History([Candidate(a, 0.5, within(1.5, False), 1.0)])
    file.update(history)
    history.rejected.append(Rejected(b, Verdict(False, 2.5, 2.4, 2.6, True), 2.0))
    history.candidates.append(Candidate(c, 0.6, within(1.9, True), 3.0))
    file.update(history)
    file.add("finalist", [history.candidates[1]], 4.0)
    file.add_trials([Trial(history.candidates[1], 150, 0.7)], 5.0)
    file.add_final(c, 0.8, Interval(1.95, 1.9, 2.0), 1500, 6.0)
    file.add_final(tiny_space.baseline("mobilenetv3_large"), 0.75, Interval(2.2, 2.1, 2.3), 1500, 6.0)
    file.write()
    frame, about = read_history(file.path)
    assert about["budget_ms"] == 2.0
    assert list(frame["order"]) == list(range(7))
    assert list(frame["phase"]) == ["search"] * 3 + ["finalist", "halving", "final", "final"]
    assert list(frame["architecture"][:3]) == [str(a), str(b), str(c)]
    assert list(frame["verdict"]) == ["accepted", "rejected", *["accepted"] * 4, "rejected"]
    assert list(frame["measured"][:3]) == [False, True, True]
    assert list(frame["quality"].isna()) == [False, True, *[False] * 5]
    assert list(frame["steps"]) == [0, 0, 0, 0, 150, 1500, 1500]
    assert list(frame["seconds"]) == [1, 2, 3, 4, 5, 6, 6]
    codes = [[int(code) for code in text.split()] for text in frame["codes"]]
    assert tiny_space.decode(codes[:3]) == [a, b, c]
    assert codes[-1] == []


def test_other_libraries_read_it(file, tiny_space):
    file.update(History([Candidate(tiny_space.cover()[0], 0.5, within(1.5, False), 1.0)]))
    file.write()
    assert list(pd.read_parquet(file.path)["quality"]) == [0.5]


def test_an_empty_history_is_one(file):
    file.write()
    assert len(read_history(file.path)[0]) == 0


def test_what_is_no_history_is_refused(file, tmp_path):
    with pytest.raises(UsageError, match="there is no history"):
        read_history(file.path)
    file.path.write_bytes(b"PAR1 and no more")
    with pytest.raises(FileFormatError, match="is no history"):
        read_history(file.path)
    pq.write_table(pa.table({"x": [1.0]}), file.path, store_schema=False)
    with pytest.raises(FileFormatError, match="is no history"):
        read_history(file.path)
    write_history(file.path, [], {"schema_version": 99})
    with pytest.raises(FileFormatError, match="schema version 99"):
        read_history(file.path)
