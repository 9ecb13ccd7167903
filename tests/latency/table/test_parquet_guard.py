"""What a Parquet library is not given, and the thrift below it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latlas.errors import FileFormatError
from latlas.latency.table import parquet_guard as thrift
from latlas.latency.table.parquet_guard import MAX_ROWS, Reader, SuspectFileError, ThriftError, _Budget, check_parquet
from latlas.latency.table.table import Table

DATA = Path(__file__).parents[2] / "data"


def read(*content):
    return Reader(memoryview(bytes(content))).struct()


def test_a_struct_by_hand():
    # Field 1 an i32 of -2 (zigzag 3), field 3 (two on) the text "ab", field 4 true, field 20 (long form) a list of two i64.
    found = read(0x15, 0x03, 0x28, 0x02, 0x61, 0x62, 0x11, 0x09, 0x28, 0x26, 0x02, 0x04, 0x00)
    assert found == {
        1: (thrift.I32, -2),
        3: (thrift.BINARY, b"ab"),
        4: (thrift.TRUE, True),
        20: (thrift.LIST, (thrift.I64, [1, 2])),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "ends too early"),
        ([0x15], "ends too early"),
        ([0x15, 0x80], "ends too early"),
        ([0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00], "too long for 32 bits"),
        ([0x15, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x00], "too large for 32 bits"),
        ([0x18, 0x7F, 0x00], "a text of 127 bytes goes beyond its end"),
        ([0x15, 0x02, 0x05, 0x02, 0x02, 0x00], "field 1 twice"),
        ([0x1B, 0x00], "a value of type 11"),
        ([0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0x7F], "a list has 268435455 values"),
        ([0x1C] * 30, "more than 16 deep"),
        ([0x19] + [0x19] * 30, "more than 16 deep"),
    ],
)
def test_what_is_no_struct(content, message):
    with pytest.raises(ThriftError, match=message):
        read(*content)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_an_error(content):
    reader = Reader(memoryview(content))
    try:
        reader.struct()
    except ThriftError:
        return
    assert 0 < reader.position <= len(content)


def test_tables_of_each_version_pass():
    for path in sorted(DATA.glob("table-v*.parquet")):
        check_parquet(path.read_bytes())


@pytest.fixture
def rewritten(tmp_path):
    """A function that writes the sample's rows again, with options of the writer."""
    table = pq.read_table(DATA / "table-v2.parquet")
    metadata = {b"latlas": pq.read_metadata(DATA / "table-v2.parquet").metadata[b"latlas"]}
    path = tmp_path / "t.parquet"

    def write(change=lambda table: table, row_group_size=None, **options):
        new = change(table).replace_schema_metadata(None)
        with pq.ParquetWriter(path, new.schema, store_schema=False, **options) as writer:
            writer.write_table(new, row_group_size)
            writer.add_key_value_metadata(metadata)
        return path

    return write


@pytest.mark.parametrize(
    "options", [{"compression": "snappy"}, {"compression": "none"}, {"use_dictionary": False}, {"row_group_size": 2}]
)
def test_other_compressions_encodings_and_groups_are_read(rewritten, options):
    assert Table.read(rewritten(**options)) == Table.read(DATA / "table-v2.parquet")


def with_column(name, values):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, {"compression": "gzip"}, "compression is number 2; read are none, snappy, zstd"),
        (None, {"data_page_version": "2.0"}, "a page is of type 3"),
        (None, {"use_dictionary": False, "column_encoding": {"kind": "DELTA_BYTE_ARRAY"}}, "in encoding 7"),
        (with_column("ratio", pa.array([1, 2, 3], pa.int32())), {}, "column ratio is of physical type 1"),
        (
            with_column("rounds", pa.array([1, 2, 3], pa.timestamp("ms"))),
            {},
            "column rounds is of converted type 9|logical",
        ),
        (with_column("ratio", pa.array([[0.1], [], []])), {}, "columns are nested"),
        (lambda table: table.take([0] * (MAX_ROWS + 1)), {}, f"claims {MAX_ROWS + 1} rows"),
        (
            lambda table: with_column("reason", pa.array(["x" * 17_000_000, "", ""]))(table),
            {"use_dictionary": False, "write_statistics": False},
            r"a page claims 170\d+ bytes in \d+; at most 16777216 are read",
        ),
    ],
)
def test_what_no_table_has_is_refused(rewritten, change, options, message):
    path = rewritten(change or (lambda table: table), **options)
    with pytest.raises(SuspectFileError, match=message):
        check_parquet(path.read_bytes())
    with pytest.raises(FileFormatError, match="is not a readable Parquet file"):
        Table.read(path)


@pytest.mark.parametrize(
    ("budget", "message"),
    [({"pages_left": 40}, "more than 20000 pages"), ({"bytes_left": 500}, "pages claim more than")],
)
def test_many_pages_and_their_sum_are_bounded(rewritten, monkeypatch, budget, message):
    content = rewritten().read_bytes()
    limits = _Budget(**budget)
    monkeypatch.setattr("latlas.latency.table.parquet_guard._Budget", lambda: limits)
    with pytest.raises(SuspectFileError, match=message):
        check_parquet(content)


@pytest.mark.parametrize("length", [0, 2**31, 2**32 - 1, 10_000_000])
def test_a_footer_of_an_impossible_length(length):
    content = (DATA / "table-v2.parquet").read_bytes()
    with pytest.raises(SuspectFileError, match=f"its footer claims {length} bytes"):
        check_parquet(content[:-8] + length.to_bytes(4, "little") + content[-4:])


def test_a_changed_manifest_is_seen(tmp_path):
    """A figure of the manifest that no column repeats: its own checksum tells."""
    content = (DATA / "table-v2.parquet").read_bytes()
    Table.read(DATA / "table-v2.parquet").write(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    assert content.count(b'"seed":0,"source"') == 1
    (tmp_path / "t.parquet").write_bytes(content.replace(b'"seed":0,"source"', b'"seed":7,"source"'))
    with pytest.raises(FileFormatError, match="the manifest was changed"):
        Table.read(tmp_path / "t.parquet")


def test_a_checksum_under_another_name_is_not_passed_over(tmp_path):
    """A bit flipped in the name and one in the manifest: found by `benchmarks/fuzz_tables.py`, seed 0, number 7427."""
    Table.read(DATA / "table-v2.parquet").write(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    assert content.count(b"latlas_sha256") == 1
    (tmp_path / "t.parquet").write_bytes(content.replace(b"latlas_sha256", b"latl`s_sha256"))
    with pytest.raises(FileFormatError, match="unknown metadata: latl`s_sha256"):
        Table.read(tmp_path / "t.parquet")
