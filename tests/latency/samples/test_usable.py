"""Samples as people have them: units, bad lines listed, left out where asked, pointers named."""

import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.samples.read import columns_of, read_samples, target_of, usable
from latlas.spaces.nasbench201 import NasBench201


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "samples.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "target", "unit", "expected"),
    [
        ("n,t_us\n1,1500\n", "t_us", None, 1.5),
        ("n,t_s\n1,0.0015\n", "t_s", None, 1.5),
        ("n,t\n1,1500000\n", "t", "ns", 1.5),
        ("n,t\n1,1.5 ms\n", "t", None, 1.5),
        ("n,t\n1,1500us\n", "t", None, 1.5),
        ("n,a_us,b_ms\n1,500,1\n", "a_us+b_ms", None, 1.5),
        ('n,t_us\n1,"1,500.0"\n', "t_us", None, 1.5),
        ("n;t_ms\n1;1,5\n", "t_ms", None, 1.5),
    ],
)
def test_targets_are_milliseconds_whatever_their_unit(tmp_path, text, target, unit, expected):
    assert target_of(read_samples(written(tmp_path, text)), target, unit).tolist() == [pytest.approx(expected)]


def test_a_target_that_says_no_unit_is_asked_for(tmp_path):
    samples = read_samples(written(tmp_path, "n,t,u_us\n1,2,3\n"))
    with pytest.raises(UsageError, match="what unit is the column t"):
        target_of(samples, "t")
    with pytest.raises(UsageError, match="--unit is ms; the column u_us says us"):
        target_of(samples, "u_us", "ms")
    cells = read_samples(written(tmp_path, "n,t_ms\n1,2 us\n"))
    with pytest.raises(UsageError, match="cells of t_ms say us, not ms"):
        target_of(cells, "t_ms")


def test_utf16_of_a_spreadsheet(tmp_path):
    assert target_of(read_samples(written(tmp_path, "n,t_ms\n1,2\n", "utf-16")), "t_ms").tolist() == [2.0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("version https://git-lfs.github.com/spec/v1\nsize 5\n", "Git LFS pointer"),
        ("<html>", "web page"),
        ("", "is empty"),
    ],
)
def test_what_stands_in_for_a_file(tmp_path, content, told):
    with pytest.raises(FileFormatError, match=told):
        read_samples(written(tmp_path, content))


BAD = "n,depth,t_ms\n" + "".join(f"x{i},{i % 5},{'nan' if i % 3 else 2.0}\n" for i in range(12)) + "y,,3\nz,a,4\nw,1\n"


def test_all_bad_lines_are_listed_and_counted(tmp_path):
    path = written(tmp_path, BAD)
    with pytest.raises(FileFormatError, match="line 16 has 2 fields"):
        read_samples(path)
    samples = read_samples(path, skip_bad=True)
    with pytest.raises(
        FileFormatError, match=r"8 of 14 lines are wrong: .*line 3: t_ms is 'nan'.*; and 3 more .*--skip-bad"
    ):
        target_of(samples, "t_ms")
    with pytest.raises(
        FileFormatError, match=r"2 of 14 lines are wrong: .*line 14: depth is empty.*line 15: depth is 'a'"
    ):
        columns_of(samples, ["depth"])


def test_bad_lines_are_left_out_and_said_where_asked(tmp_path):
    samples, left_out = usable(read_samples(written(tmp_path, BAD), skip_bad=True), "t_ms", features=["depth"])
    assert target_of(samples, "t_ms").tolist() == [2.0] * 4
    assert [column.name for column in columns_of(samples, ["depth"])] == ["depth"]
    assert len(left_out) == 11
    assert "line 16 has 2 fields" in left_out[0]
    assert any("line 14: depth is ''" in line for line in left_out)
    with pytest.raises(UsageError, match="no line can be used"):
        usable(read_samples(written(tmp_path, "n,t_ms\n1,nan\n")), "t_ms")


def test_architectures_that_are_none_are_left_out_too(tmp_path):
    text = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    path = written(tmp_path, f"arch_str,t_ms\n{text},1\nbroken,2\n")
    samples, left_out = usable(read_samples(path), "t_ms", space=NasBench201(), column="arch_str")
    assert (len(samples), len(left_out)) == (1, 1)
