import json
import os
import random
import subprocess
import sys

import pytest

from latlas.errors import EnvironmentMismatchError, FileFormatError, LatlasError, UsageError
from latlas.files.journal import Journal

HEADER = {"environment": {"precision": "f32", "threads": 1}, "space": "portrait"}

WRITE = """
import json, sys
from latlas.files.journal import Journal
journal = Journal(sys.argv[1], json.loads(sys.argv[2]))
number = len(journal.records)
while True:
    journal.append({"number": number, "text": "x" * (number % 300)})
    number += 1
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "run.journal"


def test_records_are_there_when_it_is_opened_again(path):
    with Journal(path, HEADER) as journal:
        assert journal.records == []
        journal.append({"a": 1, "line": "two\nlines"})
        journal.append({"b": None})
    with Journal(path, HEADER) as journal:
        assert journal.records == [{"a": 1, "line": "two\nlines"}, {"b": None}]
        journal.append({"c": 0.1})
    with Journal(path, HEADER) as journal:
        assert len(journal.records) == 3
        journal.finish()
    assert not path.exists()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({**HEADER, "space": "other"}, "space was 'portrait', is 'other'"),
        ({**HEADER, "environment": {"precision": "bf16", "threads": 1}}, "environment.precision was 'f32', is 'bf16'"),
        ({**HEADER, "seed": 1}, "seed was 'absent', is 1"),
        ({"space": "portrait"}, "environment.precision was 'f32', is 'absent'"),
    ],
)
def test_other_header_is_refused_and_the_field_named(path, header, message):
    with Journal(path, HEADER) as journal:
        journal.append({"a": 1})
    before = path.read_bytes()
    with pytest.raises(EnvironmentMismatchError, match=message):
        Journal(path, header)
    assert path.read_bytes() == before


def test_header_of_tuples_is_that_of_lists(path):
    Journal(path, {"sizes": (1, 2)}).close()
    Journal(path, {"sizes": [1, 2]}).close()


@pytest.mark.parametrize("cut", range(1, 11))
def test_last_line_cut_off_is_dropped_and_its_place_used(path, cut):
    with Journal(path, HEADER) as journal:
        journal.append({"n": 1})
        journal.append({"n": 123})
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, HEADER) as journal:
        assert journal.records == [{"n": 1}]
        journal.append({"n": 3})
    with Journal(path, HEADER) as journal:
        assert journal.records == [{"n": 1}, {"n": 3}]


def test_header_cut_off_anywhere_begins_anew(path):
    Journal(path, HEADER).close()
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path, HEADER) as journal:
            assert journal.records == []
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("garbage", "message"),
    [
        (b"\x00\xff\n", r"line 3, is not JSON"),
        (b"[1]\n", r"line 3, is no record: \[1\]"),
        (b'{"a": NaN}\n', "NaN is not a number of JSON"),
        (b"[" * 200_000 + b"\n", "line 3, is not JSON"),
        (b"\n", "line 3, is not JSON"),
    ],
)
def test_garbage_in_the_middle_is_an_error(path, garbage, message):
    with Journal(path, HEADER) as journal:
        journal.append({"n": 1})
    with path.open("ab") as file:
        file.write(garbage + b'{"n":2}\n')
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match=message) as caught:
        Journal(path, HEADER)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"my diary", b"my\ndiary\n", b'{"other": 1}\n', b"\x00"])
def test_other_peoples_file_is_left_alone(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not a journal of Latlas"):
        Journal(path, HEADER)
    assert path.read_bytes() == content


def test_other_version_is_refused(path):
    path.parent.mkdir()
    path.write_text('{"latlas_journal":3,"header":{}}\n')
    with pytest.raises(FileFormatError, match="version 3; this Latlas reads 2"):
        Journal(path, HEADER)


def test_what_is_not_json_is_refused_and_nothing_written(path):
    with pytest.raises(UsageError, match="the header is not JSON"):
        Journal(path, {"path": object()})
    with Journal(path, HEADER) as journal:
        before = path.read_bytes()
        for value in (float("nan"), object()):
            with pytest.raises(UsageError, match="a record is not JSON"):
                journal.append({"value": value})
        assert path.read_bytes() == before
        assert journal.records == []


def test_two_runs_do_not_write_one_journal(path):
    with Journal(path, HEADER), pytest.raises(LatlasError, match="in use by another run"):
        Journal(path, HEADER)
    Journal(path, HEADER).close()


def test_place_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        Journal(tmp_path / "file" / "run.journal", HEADER)
    with pytest.raises(UsageError, match="cannot write"):
        Journal(tmp_path, HEADER)


def test_full_disk_leaves_whole_lines(path, monkeypatch):
    with Journal(path, HEADER) as journal:
        journal.append({"n": 1})
        real = os.write
        calls = []

        def write(descriptor, data):
            calls.append(data)
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            return real(descriptor, bytes(data[:4]))

        monkeypatch.setattr(os, "write", write)
        with pytest.raises(LatlasError, match="No space left on device"):
            journal.append({"n": 2})
        monkeypatch.undo()
        journal.append({"n": 3})
    with Journal(path, HEADER) as journal:
        assert journal.records == [{"n": 1}, {"n": 3}]


def test_kill_9_loses_no_finished_entry(path):
    rng = random.Random(1)
    finished = 0
    for _ in range(5):
        command = [sys.executable, "-c", WRITE, str(path), json.dumps(HEADER)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 40)):
                finished = int(process.stdout.readline())
            process.kill()
            said = process.stdout.read().split("\n")[:-1]
        finished = int(said[-1]) if said else finished
        with Journal(path, HEADER) as journal:
            assert [record["number"] for record in journal.records] == list(range(len(journal.records)))
            assert finished <= len(journal.records) <= finished + 1
