"""What is finished is not done again, whatever a kill or another process left in the file."""

import json

import pytest

from benchmarks.kept_lines import KeptLines
from latlas.errors import FileFormatError, UsageError


def done(value, calls):
    def do():
        calls.append(value)
        return {"miou": value}

    return do


def test_what_is_kept_is_not_done_again(tmp_path):
    calls: list[float] = []
    path = tmp_path / "kept.jsonl"
    first = KeptLines(path, {"size": [128, 128]})
    found = first.get("a", "score", done(0.5, calls))
    assert found["miou"] == 0.5 and found["seconds"] >= 0
    again = KeptLines(path, {"size": (128, 128)})
    assert again.get("a", "score", done(0.6, calls)) == found
    again.get("a", "other", done(0.7, calls))
    other = KeptLines(path, {"size": [64, 64]})
    other.get("a", "score", done(0.8, calls))
    assert calls == [0.5, 0.7, 0.8]
    first.read()
    assert first.found["a", "other"]["miou"] == 0.7 and len(first.found) == 2


def test_a_line_that_a_kill_cut_short_costs_that_line_alone(tmp_path):
    calls: list[float] = []
    path = tmp_path / "kept.jsonl"
    KeptLines(path, {}).get("a", "score", done(0.5, calls))
    KeptLines(path, {}).get("b", "score", done(0.6, calls))
    path.write_text(path.read_text().rstrip()[:-5])
    again = KeptLines(path, {})
    assert set(again.found) == {("a", "score")}
    again.get("b", "score", done(0.7, calls))
    assert calls == [0.5, 0.6, 0.7]
    assert set(KeptLines(path, {}).found) == {("a", "score"), ("b", "score")}


def test_in_memory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = KeptLines(None, {})
    assert kept.get("a", "score", done(1, [])) is kept.get("a", "score", done(2, []))
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "other"
    path.write_text(json.dumps({"latency_ms": 1}) + "\n")
    with pytest.raises(FileFormatError, match="line 1: no finished work"):
        KeptLines(path, {})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        KeptLines(path, {})
