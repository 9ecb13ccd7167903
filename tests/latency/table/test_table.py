import json
import os
import random
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas.errors import (
    EnvironmentMismatchError,
    FileFormatError,
    LatlasError,
    MissingEntryError,
    StorageError,
    UsageError,
)
from latlas.latency.table.compare import conflicts, diff
from latlas.latency.table.manifest import InNetwork
from latlas.latency.table.merge import merge
from latlas.latency.table.parquet import COLUMNS, MAX_ROWS
from latlas.latency.table.table import Manifest, Row, Table
from latlas.spaces.operators.spec import OpSpec
from tests.machines import I7

DATA = Path(__file__).parents[2] / "data"

ENVIRONMENT = I7
MANIFEST = Manifest(
    environment=ENVIRONMENT,
    reference="eight convolutions, seed 0",
    space="portrait",
    command="latlas profile-ops --space portrait",
    seed=0,
    noise_floor=0.008,
    created_at="2026-01-02T03:10:00+00:00",
    tool_version="0.1.0",
)
SKIP = OpSpec("skip", 16, 16, 64, 64)
MBCONV = OpSpec("mbconv", 16, 24, 64, 64, 2, 3, hidden_channels=96, squeeze_channels=24, activation="relu")
SHUFFLE = OpSpec("shuffle", 24, 24, 32, 32)


def row(spec=SKIP, ratio=0.4, width=0.01, reference_ms=2.5, **fields):
    low, high, latency = ratio * (1 - width), ratio * (1 + width), ratio * reference_ms
    numbers = {"ratio": ratio, "ratio_lower": low, "ratio_upper": high, "latency_ms": latency}
    numbers |= {"lower_ms": low * reference_ms, "upper_ms": high * reference_ms}
    numbers |= {"p10_ms": latency * 0.95, "p50_ms": latency, "p90_ms": latency * 1.2}
    return Row(**{"spec": spec, "rounds": 40, "discarded": 3, "passes": 2} | numbers | fields)


ROWS = (
    row(MBCONV, 0.8, 0.005),
    row(SKIP, 0.1, 0.04, status="noisy", reason="interval 4.0 % after 3 s"),
    Row.failed(SHUFFLE, "compiling hung\nfor 60 s"),
)
TABLE = Table(ROWS, MANIFEST)
IN_NETWORK = InNetwork(subnets=100, reference_id="net-1", reference_ms=5.0, fixed_ms=0.1, error=0.02, seed=0)
TABLE_2 = Table(
    (replace(ROWS[0], boundary_ms=1.8, in_network_ms=1.5, in_network_se_ms=0.02), *ROWS[1:]),
    replace(MANIFEST, in_network=IN_NETWORK),
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "portrait-f32-t1.parquet"
    TABLE.write(path)
    return path


# Rows ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"latency_ms": 0.0}, "latency_ms is 0.0; it must be finite and positive"),
        ({"latency_ms": -1.0}, "latency_ms is -1.0"),
        ({"latency_ms": float("nan")}, "latency_ms is nan"),
        ({"upper_ms": float("inf")}, "upper_ms is inf"),
        ({"latency_ms": 10**400}, "latency_ms is 1000"),
        ({"latency_ms": None}, "latency_ms is None"),
        ({"latency_ms": "1"}, "latency_ms is '1'"),
        ({"latency_ms": True}, "latency_ms is True"),
        ({"lower_ms": 1.5}, r"latency_ms is 1.0; it must be between lower_ms \(1.5\) and upper_ms"),
        ({"ratio_upper": 0.1}, "ratio is 0.4; it must be between"),
        ({"p90_ms": 0.5}, "p50_ms is 1.0; it must be between"),
        ({"rounds": -1}, "rounds is -1; it must be a whole number"),
        ({"rounds": 1.5}, "rounds is 1.5"),
        ({"passes": 2**70}, "passes is 118"),
        ({"in_network_ms": -0.1}, "in_network_ms is -0.1; it must be finite and at least 0"),
        ({"boundary_ms": float("nan")}, "boundary_ms is nan"),
        ({"origin": "guessed"}, "origin is 'guessed'; it must be one of measured, imported"),
        ({"source": "a\nb"}, "source is"),
        ({"p50_ms": None}, "p50_ms is None"),
        ({"status": "good"}, "status is 'good'; it must be one of ok, noisy, failed"),
        ({"reason": 3}, "reason is 3"),
        ({"spec": "skip"}, "spec is 'skip'"),
        ({"status": "failed", "reason": "hung"}, "latency_ms is 1.0; it must be nothing"),
        ({"status": "failed", "reason": " "}, "reason is ' '"),
    ],
)
def test_impossible_row_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        row(**fields)


def test_failed_row_has_a_reason_of_one_line_and_no_numbers():
    failed = Row.failed(SKIP, "first\n\x1b[31msecond\ud800 " + "x" * 1000, rounds=3)
    assert failed.reason.startswith("first [31msecond xxx")
    assert failed.reason.isprintable()
    assert (len(failed.reason), failed.latency_ms, failed.rounds, failed.relative_half_width) == (500, None, 3, np.inf)


def test_numbers_of_numpy_are_plain_numbers():
    made = row(rounds=np.int64(7), p50_ms=np.float32(1.0))
    assert (type(made.rounds), type(made.p50_ms)) == (int, float)
    assert row(p50_ms=1) == row(p50_ms=1.0)
    assert made.relative_half_width == pytest.approx(0.01)


def test_row_goes_through_json_and_is_read_strictly():
    for one in ROWS:
        assert Row.from_record(json.loads(json.dumps(one.to_record()))) == one
    record = ROWS[0].to_record()
    with pytest.raises(FileFormatError, match="unknown fields: colour; missing fields: none"):
        Row.from_record({**record, "colour": 1})
    with pytest.raises(FileFormatError, match="line 3: unknown operator kind 'bogus'"):
        Row.from_record({**record, "kind": "bogus"}, "line 3")
    del record["ratio"]
    with pytest.raises(FileFormatError, match="missing fields: ratio"):
        Row.from_record(record)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"noise_floor": -0.1}, "noise_floor is -0.1"),
        ({"noise_floor": float("nan")}, "noise_floor is nan"),
        ({"origin": "guessed"}, "origin is 'guessed'"),
        ({"space": ""}, "space is empty"),
        ({"created_at": "now"}, "created_at is 'now'"),
    ],
)
def test_impossible_manifest_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        replace(MANIFEST, **fields)


# Look-up ------------------------------------------------------------------------------------------------------------


def test_look_up():
    assert TABLE[MBCONV] == ROWS[0]
    assert TABLE.latency_ms(MBCONV) == pytest.approx(2.0)
    assert [spec in TABLE for spec in (MBCONV, SKIP, SHUFFLE, "skip", None)] == [True, True, False, False, False]
    assert len(TABLE) == 3
    assert [one.spec for one in TABLE] == sorted([MBCONV, SKIP, SHUFFLE])
    assert [TABLE.count(status) for status in ("ok", "noisy", "failed")] == [1, 1, 1]


@pytest.mark.parametrize("look_up", [Table.__getitem__, Table.latency_ms])
def test_miss_names_operator_table_and_command(path, look_up):
    with pytest.raises(MissingEntryError) as caught:
        look_up(Table.read(path), OpSpec("skip", 24, 24, 8, 8))
    command = f"latlas profile-ops --space portrait --precision f32 --threads 1 --update --out {path}"
    assert str(caught.value) == f"table {path} has no skip 24->24 at 8x8; measure it with `{command}`"


@pytest.mark.parametrize("look_up", [Table.__getitem__, Table.latency_ms])
def test_failed_row_is_a_miss_with_its_reason(look_up):
    with pytest.raises(
        MissingEntryError, match=r"shuffle 24->24 at 32x32: measuring it failed: compiling hung for 60 s;"
    ):
        look_up(TABLE, SHUFFLE)


def test_command_in_the_message_can_be_pasted():
    table = Table((), replace(MANIFEST, space="portrait --x"), Path("my tables/a.parquet"))
    with pytest.raises(
        MissingEntryError,
        match=r"--space 'portrait --x' --precision f32 --threads 1 --update --out 'my tables/a\.parquet'`$",
    ):
        table[SKIP]


def test_one_operator_twice_is_refused():
    with pytest.raises(UsageError, match="two rows are of one operator, skip 16->16 at 64x64"):
        Table((row(), row(ratio=0.5)), MANIFEST)


def test_table_does_not_change():
    with pytest.raises(AttributeError):
        TABLE.rows = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(TABLE)


# The file -----------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read(path):
    read = Table.read(path)
    assert read == TABLE
    assert (read.path, read.name) == (path, str(path))
    assert read != "a table"
    assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_empty_table_goes_through_a_file(tmp_path):
    empty = Table((), MANIFEST)
    empty.write(tmp_path / "empty.parquet")
    assert Table.read(tmp_path / "empty.parquet") == empty
    assert list(empty.to_frame().columns) == list(COLUMNS)


def test_same_table_is_the_same_file(path, tmp_path):
    Table(tuple(reversed(ROWS)), MANIFEST).write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_file_is_overwritten_only_when_told(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        Table((), MANIFEST).write(path)
    assert path.read_bytes() == before
    Table((), MANIFEST).write(path, overwrite=True)
    assert len(Table.read(path)) == 0


def test_folder_is_made_and_a_place_that_cannot_be_written_is_said(tmp_path):
    TABLE.write(tmp_path / "runs" / "1" / "t.parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*t\.parquet: "):
        TABLE.write(tmp_path / "file" / "t.parquet")
    with pytest.raises(UsageError, match="cannot write"):
        TABLE.write(tmp_path / "runs", overwrite=True)


def test_full_disk_leaves_the_old_table_and_no_litter(path, monkeypatch):
    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="No space left on device"):
        Table((), MANIFEST).write(path, overwrite=True)
    monkeypatch.undo()
    assert Table.read(path) == TABLE
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_pandas_reads_it_alone(path):
    frame = pd.read_parquet(path)
    assert list(frame.columns) == list(COLUMNS)
    assert frame.loc[frame.kind == "mbconv", "latency_ms"].item() == pytest.approx(2.0)
    assert frame.loc[frame.status == "failed", "latency_ms"].isna().all()
    assert set(frame.cpu_model) == {ENVIRONMENT.cpu_model}
    assert set(frame.threads) == {1}
    pd.testing.assert_frame_equal(frame, Table.read(path).to_frame(), check_exact=True)
    kinds = {name: frame[name].dtype.kind for name in ("in_channels", "latency_ms", "rounds", "batch")}
    assert kinds == {"in_channels": "i", "latency_ms": "f", "rounds": "i", "batch": "i"}


def test_file_of_schema_version_2_is_read():
    """Made by this version's `TABLE_2.write`; it stays as it is when the schema goes on."""
    assert Table.read(DATA / "table-v2.parquet") == TABLE_2


# Files not to believe -----------------------------------------------------------------------------------------------


def rewrite(path, columns=None, metadata=None, manifest=None, rows=None):
    """The file again with other columns, metadata or manifest fields, everything else as Latlas writes it."""
    table = pq.read_table(path)
    stored = json.loads(pq.read_metadata(path).metadata[b"latlas"])
    for name, values in (columns or {}).items():
        if values is None:
            table = table.drop_columns([name])
        elif name in table.schema.names:
            table = table.set_column(table.schema.get_field_index(name), name, values)
        else:
            table = table.append_column(name, values)
    if rows is not None:
        table = table.take(rows)
    stored |= manifest or {}
    metadata = {b"latlas": json.dumps(stored).encode()} if metadata is None else metadata
    table = table.replace_schema_metadata(None)
    with pq.ParquetWriter(path, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)


def refused(path, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        Table.read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < 1000


def floats(*values):
    return pa.array(values, pa.float64())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ratio": None}, "missing columns: ratio"),
        ({"colour": floats(1, 2, 3)}, "unknown columns: colour"),
        ({"rounds": floats(1, 2, 3)}, "column rounds is of type double; it must be int64"),
        ({"kind": pa.array([1, 2, 3])}, "column kind is of type int64; it must be string"),
        ({"kind": pa.array([b"a", b"b", b"c"])}, "column kind is of type binary; it must be string"),
        ({"ratio": pa.array([[0.1], [], []])}, "not a readable Parquet file: its columns are nested"),
        ({"kind": pa.array(["mbconv", "bogus", "skip"])}, "row 1: unknown operator kind 'bogus'"),
        ({"kind": pa.array(["mbconv", None, "skip"])}, "row 1: unknown operator kind None"),
        ({"height": pa.array([64, 0, 64])}, "row 1: shuffle: height is 0"),
        ({"height": pa.array([64, None, 64])}, "row 1: shuffle: height is None"),
        ({"latency_ms": floats(2.0, None, -1.0)}, r"row 2: row of skip.*latency_ms is -1.0"),
        ({"latency_ms": floats(2.0, None, float("nan"))}, "latency_ms is nan; it must be finite and positive"),
        ({"upper_ms": floats(float("inf"), None, 1)}, "upper_ms is inf"),
        ({"latency_ms": floats(2.0, 1.0, 0.25)}, "shuffle .* latency_ms is 1.0; it must be nothing"),
        ({"latency_ms": floats(2.0, float("nan"), 0.25)}, "shuffle .* latency_ms is nan; it must be nothing"),
        ({"latency_ms": floats(2.0, None, 100.0)}, "latency_ms is 100.0; it must be between"),
        ({"latency_ms": floats(2.001, None, 0.25)}, "the rows were changed"),
        ({"rounds": pa.array([41, 0, 40])}, "the rows were changed"),
        ({"precision": pa.array(["bf16"] * 3)}, "row 0: precision is 'bf16'; the manifest says 'f32'"),
        ({"threads": pa.array([1, 1, None])}, "row 2: threads is None; the manifest says 1"),
        ({"reason": pa.array(["", "x" * 100_000, ""])}, "column reason has a text of more than 16384 bytes"),
    ],
)
def test_wrong_columns_are_refused(path, columns, message):
    rewrite(path, columns)
    refused(path, message)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"schema_version": 3}, "schema_version is 3; this Latlas reads 2"),
        ({"in_network": {"subnets": 0}}, "in_network has missing fields"),
        ({"origin": "guessed"}, "origin is 'guessed'; known: measured, imported"),
        ({"schema_version": True}, "schema_version is True"),
        ({"rows_sha256": "0" * 64}, "the rows were changed: their sha256 is [0-9a-f]{64}, the manifest says '000"),
        ({"rows_sha256": "\x1b[31m"}, "the rows were changed"),
        ({"extra": 1}, "manifest has unknown fields extra"),
        ({"environment": {}}, "field environment has missing fields cpu_model"),
        ({"environment": ENVIRONMENT.to_record() | {"threads": 2}}, "row 0: threads is 1; the manifest says 2"),
        ({"environment": ENVIRONMENT.to_record() | {"reference_ms": -1}}, "reference_ms is -1"),
        ({"seed": "zero"}, "field seed is 'zero'; it must be int or nothing"),
        ({"noise_floor": float("nan")}, "NaN is not a number of JSON"),
        ({"origin": "guessed"}, "origin is 'guessed'"),
    ],
)
def test_wrong_manifest_is_refused(path, manifest, message):
    rewrite(path, manifest=manifest)
    refused(path, message)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "without a manifest of Latlas"),
        ({b"latlas": b""}, "the manifest is not JSON"),
        ({b"latlas": b"\xff\xfe\x00"}, "the manifest is not JSON"),
        ({b"latlas": b"[]"}, "schema_version is None"),
        ({b"latlas": b"[" * 500_000}, "the manifest is not JSON"),
        ({b"latlas": b'{"schema_version":' + b"9" * 10_000 + b"}"}, "the manifest is not JSON"),
        ({b"latlas": b" " * 2_000_000}, "the manifest has 2000000 bytes"),
        ({b"latlas": b" " * 9_000_000}, "is not a readable Parquet file"),
    ],
)
def test_hostile_metadata_is_refused(path, metadata, message):
    rewrite(path, metadata=metadata)
    refused(path, message)


def test_rows_twice_lost_or_absurdly_many_are_refused(path):
    original = path.read_bytes()
    rewrite(path, rows=[0, 1, 2, 0])
    refused(path, "rows 0 and 3 are of one operator, mbconv_k3")
    path.write_bytes(original)
    rewrite(path, rows=[0, 1])
    refused(path, "the rows were changed")
    path.write_bytes(original)
    rewrite(path, rows=[0] * (MAX_ROWS + 1))
    assert path.stat().st_size < 100_000
    refused(path, f"claims {MAX_ROWS + 1} rows; a latency table has at most {MAX_ROWS}")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"kind,latency_ms\nskip,1\n", bytes(1000)])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    refused(path, "is not a readable Parquet file")


def test_truncated_file_is_refused_wherever_it_ends(path):
    whole = path.read_bytes()
    for size in range(0, len(whole), 101):
        path.write_bytes(whole[:size])
        refused(path, "is not a readable Parquet file")


def test_no_file_and_a_folder_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match=r"there is no table .*none\.parquet; measure one with `latlas profile-ops`"):
        Table.read(tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="cannot read the table"):
        Table.read(tmp_path)


def test_mutated_file_is_an_error_or_a_table(path):
    """A light fuzz: bytes flipped, cut out, doubled or overwritten, at random and in the footer."""
    rng = random.Random(20260102)
    whole = path.read_bytes()
    lines = []
    for _ in range(300):
        mutated = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(mutated)) if rng.random() < 0.5 else rng.randrange(len(mutated) // 2, len(mutated))
            span = rng.randint(1, 16)
            match rng.randrange(4):
                case 0:
                    mutated[at] ^= 1 << rng.randrange(8)
                case 1:
                    del mutated[at : at + span]
                case 2:
                    mutated[at:at] = mutated[at : at + span]
                case _:
                    mutated[at : at + span] = rng.choice((b"\x00", b"\xff", rng.randbytes(1))) * span
        path.write_bytes(mutated)
        try:
            table = Table.read(path)
        except LatlasError as error:
            lines.append(str(error))
        else:
            assert table.rows == TABLE.rows
    assert len(lines) > 150
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(("at", "bit"), [(5049, 2), (5435, 0), (9791, 6)])
def test_bit_of_the_footer_does_not_end_the_process(tmp_path, at, bit):
    """pyarrow calls abort() when it is asked for a column's metadata in these files."""
    mutated = bytearray((DATA / "table-v2.parquet").read_bytes())
    mutated[at] ^= 1 << bit
    path = tmp_path / "t.parquet"
    path.write_bytes(mutated)
    code = f"from latlas.latency.table.table import Table; Table.read({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0 or "FileFormatError" in done.stderr


# Merge and diff -----------------------------------------------------------------------------------------------------


def environment(**fields):
    return replace(MANIFEST, environment=replace(ENVIRONMENT, **fields))


def test_merge_is_the_union():
    a = Table((row(MBCONV), row(SKIP, 0.4, 0.02)), MANIFEST)
    later = environment(started_at="2026-02-02T00:00:00+00:00", reference_ms=2.75)
    later = replace(later, seed=1, noise_floor=0.01, command="latlas profile-ops --resolution 512", space="lean")
    narrower = row(SKIP, 0.401, 0.01, reference_ms=2.75)
    b = Table((narrower, row(SHUFFLE, 0.2, reference_ms=2.75)), later)
    merged = merge((a, b))
    assert set(merged.rows) == {row(MBCONV), narrower, row(SHUFFLE, 0.2, reference_ms=2.75)}
    assert merged == merge((b, a))
    assert merged.manifest.environment == ENVIRONMENT
    assert (merged.manifest.seed, merged.manifest.noise_floor, merged.manifest.space) == (None, 0.01, "lean + portrait")
    assert merged.manifest.command.split(" && ") == sorted([MANIFEST.command, later.command])
    assert merge((merged, b)) == merged


def test_merge_with_itself_changes_nothing():
    assert merge((TABLE, TABLE)) == TABLE


def test_failed_row_gives_way_to_a_measured_one():
    measured = Table((row(SHUFFLE),), MANIFEST)
    assert merge((TABLE, measured))[SHUFFLE] == merge((measured, TABLE))[SHUFFLE] == row(SHUFFLE)


def test_merge_refuses_another_environment_and_names_the_field():
    other = Table(ROWS, environment(precision="bf16", threads=2))
    with pytest.raises(EnvironmentMismatchError, match=r"threads is 1 and 2; precision is 'f32' and 'bf16'"):
        merge((TABLE, other))


def test_merge_refuses_conflicts_and_lists_them():
    a = Table((row(SKIP, 0.4), row(MBCONV, 1.0), row(SHUFFLE, 1.0)), MANIFEST)
    b = Table((row(SKIP, 0.44), row(MBCONV, 0.5), row(SHUFFLE, 1.015)), MANIFEST)
    assert [change.spec for change in conflicts(a, b)] == [MBCONV, SKIP]
    with pytest.raises(
        LatlasError, match=r"2 operators disagree .*: mbconv_k3 .* \(0\.5 times\); skip .* \(1\.1 times\);"
    ):
        merge((a, b))


def test_drift_of_the_machine_is_no_conflict():
    drifted = Table((row(SKIP, 0.4, reference_ms=2.9),), environment(reference_ms=2.9))
    assert conflicts(Table((row(SKIP, 0.4),), MANIFEST), drifted) == []


def test_diff_of_two_environments_is_in_milliseconds_and_largest_first():
    other = environment(openvino_version="2026.5.0", reference_ms=5.0)
    before = Table((row(SKIP, 0.4), row(MBCONV, 1.0), row(SHUFFLE, 1.0)), MANIFEST)
    after = Table((row(SKIP, 0.3, reference_ms=5.0), row(MBCONV, 0.2, reference_ms=5.0), row(SHUFFLE, 1.015)), other)
    changes = diff(before, after)
    assert [change.spec for change in changes] == [MBCONV, SKIP]
    assert [change.ratio for change in changes] == pytest.approx([0.4, 1.5])
    assert (changes[1].before, changes[1].after) == (before[SKIP], after[SKIP])
    assert diff(before, before) == []
    assert [change.ratio for change in diff(after, before)] == pytest.approx([1 / 0.4, 1 / 1.5])


def test_diff_leaves_failed_and_missing_rows_out():
    assert diff(TABLE, Table((row(SHUFFLE),), MANIFEST)) == []
    assert diff(Table((row(SHUFFLE),), MANIFEST), TABLE) == []


# Properties ---------------------------------------------------------------------------------------------------------

SPECS = [OpSpec("skip", 8 * n, 8 * n, 64, 64) for n in range(1, 6)] + [MBCONV, SHUFFLE]
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def any_rows(draw):
    def one(spec):
        triples = [sorted(draw(st.tuples(POSITIVE, POSITIVE, POSITIVE))) for _ in range(3)]
        names = ("lower_ms latency_ms upper_ms", "ratio_lower ratio ratio_upper", "p10_ms p50_ms p90_ms")
        numbers = {
            n: v
            for group, values in zip(names, triples, strict=True)
            for n, v in zip(group.split(), values, strict=True)
        }
        counts = {name: draw(st.integers(0, 2**40)) for name in ("rounds", "discarded", "passes")}
        if draw(st.booleans()):
            return Row.failed(spec, draw(st.text(min_size=1)), **counts)
        return Row(
            spec=spec, **numbers, **counts, status=draw(st.sampled_from(["ok", "noisy"])), reason=draw(st.text())
        )

    return tuple(one(spec) for spec in draw(st.lists(st.sampled_from(SPECS), unique=True)))


@st.composite
def agreeing_tables(draw):
    """Tables of one environment, whose rows of one operator overlap at its true ratio."""

    def table():
        rows = []
        for number, spec in enumerate(SPECS, start=1):
            match draw(st.integers(0, 3)):
                case 0:
                    rows.append(Row.failed(spec, "hung"))
                case 1 | 2:
                    rows.append(row(spec, float(number), draw(st.floats(0.001, 0.5)), draw(st.floats(2, 3))))
        seconds = draw(st.integers(0, 59))
        manifest = environment(started_at=f"2026-01-01T00:00:{seconds:02}+00:00", reference_ms=draw(st.floats(2, 3)))
        return Table(
            tuple(rows),
            replace(
                manifest,
                seed=draw(st.one_of(st.none(), st.integers(0, 3))),
                noise_floor=draw(st.one_of(st.none(), st.floats(0, 1))),
                command=draw(st.sampled_from(["", "a --seed 1", "b", "a --seed 1 && c"])),
                space=draw(st.sampled_from(["portrait", "lean", "cell"])),
            ),
        )

    return table(), table(), table()


@given(any_rows(), st.text(), st.one_of(st.none(), st.integers(-(2**70), 2**70)))
@settings(max_examples=60, deadline=None)
def test_round_trip(tmp_path_factory, rows, command, seed):
    path = tmp_path_factory.mktemp("round") / "t.parquet"
    table = Table(rows, replace(MANIFEST, command=command, seed=seed))
    table.write(path)
    assert Table.read(path) == table
    shutil.rmtree(path.parent)


@given(agreeing_tables())
@settings(max_examples=60, deadline=None)
def test_merge_is_commutative_associative_and_idempotent(tables):
    a, b, c = tables
    assert merge((a, b)) == merge((b, a))
    assert merge((merge((a, b)), b)) == merge((a, b))
    assert merge((merge((a, b)), c)).rows == merge((a, merge((b, c)))).rows


@given(any_rows(), any_rows())
@settings(max_examples=60, deadline=None)
def test_merge_either_way_gives_the_same_or_conflicts(rows, others):
    a, b = Table(rows, MANIFEST), Table(others, MANIFEST)
    if conflicts(a, b):
        with pytest.raises(LatlasError, match="disagree"):
            merge((a, b))
        with pytest.raises(LatlasError, match="disagree"):
            merge((b, a))
    else:
        assert merge((a, b)) == merge((b, a))
