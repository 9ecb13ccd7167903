"""Tables of text as people have them, and their units."""

import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.formats.delimited import read_delimited
from latlas.latency.formats.unit import cell_in_unit, unit_in, unit_of


def rows(text):
    read = read_delimited(text, "a.csv").require_whole("a.csv").with_points()
    return read.header, [list(cells.values()) for _, cells in read.records]


PLAIN = (["a", "t_ms"], [["x", "1.5"], ["y", "2"]])


@pytest.mark.parametrize(
    "text",
    [
        "a,t_ms\nx,1.5\ny,2\n",
        "a;t_ms\r\nx;1,5\r\ny;2\r\n",
        "a\tt_ms\nx\t1.5\ny\t2\n",
        "a\tt_ms\nx\t1,5\ny\t2\n",
        "sep=;\na;t_ms\nx;1,5\ny;2\n",
        "SEP=,\na,t_ms\nx,1.5\ny,2\n",
        '"sep=|"\na|t_ms\nx|1.5\ny|2\n',
        "# host: a, b\n#\n\na,t_ms\n# warm\nx,1.5\ny,2\n",
        "a,t_ms,\nx,1.5,\ny,2,\n",
        'a,t_ms\n"x","1.5"\ny,2\n',
    ],
)
def test_the_same_table_in_many_forms(text):
    assert rows(text) == PLAIN


def test_names_in_a_remark_above_numbers():
    assert rows("# 2025\n# n,t_ms\n1,2.5\n3,4\n") == (["n", "t_ms"], [["1", "2.5"], ["3", "4"]])


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["12,583.0", "1,000,000.5", "7"], ["12583.0", "1000000.5", "7"]),
        (["12.583,0", "7,5", "1.000.000,25"], ["12583.0", "7.5", "1000000.25"]),
        (["1,234,567", "12"], ["1234567", "12"]),
        (["12,583", "12,5"], ["12.583", "12.5"]),
        (["x,y", "1,5"], ["x,y", "1,5"]),  # texts are none of numbers
        (["1.5,2", "1,5.2"], ["1.5,2", "1,5.2"]),  # neither form
        (["12,583", "98,123"], ["12,583", "98,123"]),  # either
    ],
)
def test_commas_in_numbers(cells, read):
    text = "a;b\n" + "".join(f"1;{cell}\n" for cell in cells)
    assert [row[1] for row in rows(text)[1]] == read


def test_all_ragged_lines_are_named():
    text = "a,b\n" + "1\n" * 7 + "1,2\n"
    with pytest.raises(FileFormatError, match=r"7 of 8 lines are wrong: a\.csv, line 2 has 1 fields; .*; and 2 more"):
        read_delimited(text, "a.csv").require_whole("a.csv")
    assert len(read_delimited(text, "a.csv").records) == 1


def test_what_is_no_table():
    with pytest.raises(
        FileFormatError, match="has 1 columns; a table has 2 to 256, parted by commas, semicolons or tabs"
    ):
        read_delimited("hello\nyou\n", "a.csv")
    with pytest.raises(FileFormatError, match="has 0 columns"):
        read_delimited("# only\n", "a.csv")
    with pytest.raises(FileFormatError, match="columns given twice: a"):
        read_delimited("a;a\n1;2\n", "a.csv")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("latency_us", "us"),
        ("Latency (ms)", "ms"),
        ("latency[µs]", "us"),
        ("runtime_us_p50", "us"),
        ("time_s", "s"),
        ("latencyMs", "ms"),
        ("seconds", "s"),
        ("mean latency in nsec", "ns"),
        ("latency_ms_mean", "ms"),
        ("latency", None),
        ("us_east_latency", None),
        ("dev|1large|float|mean", None),
        ("status", None),
    ],
)
def test_the_unit_of_a_name(name, unit):
    assert unit_in(name) == unit


def test_a_unit_is_never_guessed_and_never_contradicted():
    assert unit_of("latency", "us") == "us"
    with pytest.raises(UsageError, match="what unit is the column latency\\? Say --unit s, ms, us, ns"):
        unit_of("latency", None)
    with pytest.raises(UsageError, match="--unit is ms; the column latency_us says us"):
        unit_of("latency_us", "ms")
    with pytest.raises(UsageError, match="--unit is h; it must be one of"):
        unit_of("latency", "h")


def test_a_unit_in_a_cell():
    assert cell_in_unit("12.5 ms") == ("12.5", "ms")
    assert cell_in_unit("3us") == ("3", "us")
    assert cell_in_unit("12.5") == ("12.5", None)
    assert cell_in_unit("12 kg") == ("12 kg", None)
