"""Files of other projects that are no table that is read, tables with failed entries, JSON of Once-for-All."""

import json

import pytest

from latlas.cli import run
from latlas.errors import FileFormatError
from latlas.latency.formats.interchange import import_table
from latlas.latency.formats.table_format import ImportOptions
from latlas.latency.table.merge import merge
from latlas.latency.table.table import Table


def key(side, kernel):
    half = side // 2
    return f"expanded_conv-input:{side}x{side}x24-output:{half}x{half}x40-expand:72-kernel:{kernel}-stride:2-idskip:0-se:1-hs:0"


def read(path, content, options=None):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return import_table(path, None, options or ImportOptions())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.npy", b"\x93NUMPY\x01\x00", "an array of numpy, as FasterSeg"),
        ("t.pkl", b"\x80\x04\x95", "Python pickle, which is never opened"),
        ("t.xlsx", b"PK\x03\x04rest", "a spreadsheet .* save the sheet as CSV"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1", "a spreadsheet; save it as CSV"),
        (
            "t.csv",
            "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "Git LFS pointer of a file of 9 bytes",
        ),
        ("t.yaml", "<!doctype html><html>", "a web page"),
        ("t.parquet", b"PAR1....", "a Parquet file, as Latlas' own tables"),
        (
            "t.txt",
            "{'op_name': 'k3', 'op_data_shape': (7, 7, 8), 'op_latency': 0.9}\n",
            "looks like a lookup table of NNI .* write it as CSV with the columns op, H",
        ),
        ("t.txt", "phone,tflite,2021-01-01\nconv2d,0,1,1,24,56,3\t0.9\n", "looks like a latency table of PaddleSlim"),
        ("t.txt", "1.5 2.5 3.5\n4 5 6\n", "a matrix of numbers, which does not say of what operators"),
        ("t.txt", "{'conv': 1.5}\n", "records as Python prints them"),
    ],
)
def test_what_a_file_looks_like_is_said_with_what_to_do(tmp_path, name, content, told):
    with pytest.raises(FileFormatError, match=told) as caught:
        read(tmp_path / name, content)
    assert str(caught.value).startswith(f"{tmp_path / name}: it ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("name", ["t.json", "t.yaml", "t.txt"])
def test_once_for_all_as_json(tmp_path, name, indent):
    text = json.dumps({key(56, 3): {"mean": 1.5, "count": 50}, key(28, 5): {"mean": 0.75}}, indent=indent)
    found = read(tmp_path / name, text)
    assert (found.format, found.foreign) == ("ofa", 0)
    assert sorted(row.latency_ms for row in found.table) == [0.75, 1.5]


def test_an_anchor_that_nothing_refers_to_is_read(tmp_path):
    found = read(tmp_path / "t.yaml", f"{key(56, 3)}: &e0\n  mean: 1.5\n{key(28, 5)}:\n  mean: &m 2\n")
    assert len(found.table) == 2
    with pytest.raises(FileFormatError, match="alias of a value; write the value out"):
        read(tmp_path / "t.yaml", f"{key(56, 3)}: &e0\n  mean: 1.5\n{key(28, 5)}: *e0\n")


FAILED = {
    "t.yaml": f"{key(56, 3)}:\n  mean: .inf\n{key(28, 5)}:\n  mean: -1\n{key(14, 3)}:\n  mean: 1.5\n",
    "t.csv": f"key,latency_ms\n{key(56, 3)},\n{key(28, 5)},OOM\n{key(14, 3)},1.5\n",
    "t.jsonl": "".join(
        json.dumps({"op_type": "Conv", "input_shapes": [[1, 8, size, size], [8, 8, 3, 3]], "runtime_us_p50": value})
        + "\n"
        for size, value in ((56, -1), (28, 0), (14, 1500))
    ),
}


@pytest.mark.parametrize("name", FAILED)
def test_failed_entries_are_counted_and_kept_as_failed_where_asked(tmp_path, name):
    with pytest.raises(FileFormatError, match=r"2 of 3 lines are wrong: .*the latency is .*--skip-bad keeps such"):
        read(tmp_path / name, FAILED[name])
    found = read(tmp_path / name, FAILED[name], ImportOptions(skip_bad=True))
    rows = sorted(found.table, key=lambda row: row.spec.height)
    assert [(row.status, row.latency_ms, row.origin) for row in rows] == [
        ("ok", 1.5, "imported"),
        ("failed", None, "imported"),
        ("failed", None, "imported"),
    ]
    assert len(found.failed) == 2 and all("it must be a finite, positive number" in line for line in found.failed)
    assert rows[0].spec in found.table and rows[1].spec not in found.table
    found.table.write(tmp_path / "out.parquet")
    assert Table.read(tmp_path / "out.parquet") == found.table


def test_two_resolutions_of_one_device_merge(tmp_path):
    options = ImportOptions(cpu_model="Note10", threads=1)
    tables = [read(tmp_path / f"{side}.yaml", f"{key(side, 3)}: {{mean: 1.5}}\n", options).table for side in (56, 28)]
    assert len(merge(tables)) == 2


def test_the_command_lists_what_failed_and_asks_of_seconds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(FAILED["t.yaml"].replace("1.5", "0.0015"))
    assert run(["tables", "import", "t.yaml", "--out", "t.parquet", "--skip-bad"]) == 0
    out, err = capsys.readouterr()
    assert "3 operators of t.yaml (ofa), 3 as ours, 0 foreign, 2 of them failed" in out
    assert "the slowest takes 0.0015 ms: if those are seconds, say --unit s" in out
    assert err.count("failed: expanded_conv-input:") == 2
