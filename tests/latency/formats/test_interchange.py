"""Import and export: each project's syntax by hand, round trips, hostile files, and the two commands."""

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latlas import cli
from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.write import write_text
from latlas.latency.formats.interchange import export_table, guess_format, import_table
from latlas.latency.formats.ofa import key_of, parse_key
from latlas.latency.formats.table_format import FORMATS, ImportOptions
from latlas.latency.machine.environment import MachineState
from latlas.latency.table.compare import diff
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.merge import merge
from latlas.latency.table.row import NUMBERS, Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN, OpSpec
from tests.machines import I7

EXPORTS = [name for name in FORMATS.own() if FORMATS.get(name).write is not None]
# As Once-for-All's MBv3LatencyTable asks for them: `expand` is the width inside.
OFA = """\
Conv-input:224x224x3-output:112x112x16:
  mean: 1.25
  count: 50
  std: 0.01
expanded_conv-input:112x112x16-output:112x112x16-expand:16-kernel:3-stride:1-idskip:1-se:0-hs:0: {mean: 0.5, count: 50}
expanded_conv-input:56x56x24-output:28x28x40-expand:72-kernel:5-stride:2-idskip:0-se:1-hs:1: {mean: 2.5e-01, count: 50}
Conv_1-input:7x7x160-output:7x7x960: {mean: 0.75}
AvgPool2D-input:7x7x960-output:1x1x960: {mean: 0.1}
Logits-input:1x1x1280-output:1000: {mean: 0.2}
"""
# As ProxylessNAS's LatencyEstimator: `expand` is the factor, and the activation is nowhere said (it is ReLU6).
PROXYLESS = """\
Conv-input:224x224x3-output:112x112x32: {count: 30, mean: 5.5}
expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:7-stride:2-idskip:0:
  count: 30
  mean: 9.0
Logits-input:7x7x1280-output:1000: {count: 30, mean: 4.0}
"""
# NSGANetV2's: MBConv, a variance.
NSGA = """\
MBConv-input:100x100x16-output:50x50x24-expand:3-kernel:3-stride:2-idskip:0-se:0:
  mean: 0.5
  var: 3.5e-07
MBConv-input:25x25x40-output:13x13x80-expand:6-kernel:3-stride:2-idskip:0-se:0:
  mean: 0.25
  var: 3.5e-07
classifier-input:1280-output:1000:
  mean: 0.03
  var: 1.0e-08
"""
FASTERSEG = """\
key,op,H,W,C_in,C_out,kernel,stride,dilation,latency_ms
head_H32_W64_Cin128_Cout19,head,32,64,128,19,,,,0.5
ConvNorm_H64_W128_Cin8_Cout16_kernel3_stride2,ConvNorm,64,128,8,16,3,2,,0.25
BasicResidual1x_H32_W64_Cin8_Cout8_stride1_dilation1,BasicResidual1x,32,64,8,8,,1,1,1e-1
"""


def read(tmp_path, name, text, format_name=None, **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return import_table(path, format_name, ImportOptions(**options))


def by_source(found):
    return {row.source: row for row in found.table}


# Once-for-All and its kin ---------------------------------------------------------------------------------------------


def test_once_for_all_operators_that_are_ours_become_ours(tmp_path):
    found = read(tmp_path, "lut.yaml", OFA)
    rows = by_source(found)
    assert len(found.table) == len(rows) == 6
    assert {source.split("-")[0]: row.spec for source, row in rows.items() if row.spec.kind == "conv"} == {
        "Conv": OpSpec("conv", 3, 16, 224, 224, 2, 3, activation="hswish"),
        "Conv_1": OpSpec("conv", 160, 960, 7, 7, activation="hswish"),
    }
    block = OpSpec("mbconv", 24, 40, 56, 56, 2, 5, hidden_channels=72, squeeze_channels=24, activation="hswish")
    assert {row.spec for row in found.table if row.spec.kind == "mbconv"} == {
        OpSpec("mbconv", 16, 16, 112, 112, 1, 3, hidden_channels=16, activation="relu"),
        block,
    }
    assert found.table.latency_ms(block) == 0.25
    assert rows["Conv-input:224x224x3-output:112x112x16"].rounds == 50
    logits = rows["Logits-input:1x1x1280-output:1000"].spec
    assert logits == OpSpec(FOREIGN, 1280, 1000, 1, 1, label="Logits-input:1x1x1280-output:1000")
    assert (found.foreign, found.ignored, found.format) == (2, ("std",), "ofa")


def test_imported_rows_and_environment_say_what_they_are(tmp_path):
    options = {"cpu_model": "Intel Core i7-8700K", "threads": 1, "source": "Once-for-All, MIT"}
    manifest = read(tmp_path, "lut.yaml", OFA, **options).table.manifest
    assert {row.origin for row in read(tmp_path, "lut.yaml", OFA).table} == {"imported"}
    assert manifest.source == f"lut.yaml, ofa, sha256 {hashlib.sha256(OFA.encode()).hexdigest()}; Once-for-All, MIT"
    unknown = manifest.environment.unknown
    assert {"precision", "batch", "openvino_version", "reference_ms", "cpu_flags"} <= set(unknown)
    assert not {"cpu_model", "threads"} & set(unknown)
    assert (manifest.origin, manifest.space, manifest.environment.precision) == ("imported", "unknown", "unknown")


def test_activation_that_a_key_does_not_say_is_not_guessed(tmp_path):
    found = read(tmp_path, "lut.yaml", PROXYLESS, "proxyless")
    assert (found.foreign, found.undecided) == (3, 2)
    specs = {row.spec for row in read(tmp_path, "lut.yaml", PROXYLESS, "proxyless", activation="relu").table}
    assert OpSpec("mbconv", 16, 24, 112, 112, 2, 7, hidden_channels=96, activation="relu") in specs
    assert OpSpec("conv", 3, 32, 224, 224, 2, 3, activation="relu") in specs
    assert len([spec for spec in specs if spec.kind == FOREIGN]) == 1


def test_stages_of_mobilenetv3_say_the_activation_where_the_user_says_so(tmp_path):
    found = read(tmp_path, "i7.yaml", NSGA, activation="ofa")
    acts = {row.spec.out_channels: row.spec.activation for row in found.table if row.spec.kind == "mbconv"}
    assert acts == {24: "relu", 80: "hswish"}
    assert found.table.manifest.source.endswith("keys without an activation taken as ofa")
    assert by_source(found)["classifier-input:1280-output:1000"].spec.in_channels == 1280


@pytest.mark.parametrize(
    "key",
    [
        "expanded_conv-input:56x56x24-output:56x56x24-expand:72-kernel:5-stride:1-idskip:0-se:1-hs:1",  # no shortcut
        "expanded_conv-input:57x57x24-output:28x28x40-expand:72-kernel:5-stride:2-idskip:0-se:1-hs:1",  # 29x29 here
        "expanded_conv-input:56x56x24-output:56x56x40-expand:72-kernel:4-stride:1-idskip:0-se:1-hs:1",  # even kernel
        "expanded_conv-input:56x56x4-output:56x56x40-expand:6-kernel:3-stride:1-idskip:0-se:0-hs:1",  # width or factor
        "expanded_conv-input:56x56x24-output:56x56x40-expand:72-kernel:3-stride:1-idskip:0-groups:2-hs:1",
        "Conv_2-input:1x1x960-output:1x1x1280",  # without batch normalisation
        "Conv-input:224x224x3-output:224x224x16",
    ],
)
def test_what_is_not_exactly_ours_is_foreign(tmp_path, key):
    found = read(tmp_path, "lut.yaml", OFA + f"{key}: {{mean: 1.0}}\n")
    row = by_source(found)[key]
    assert (row.spec.kind, row.spec.label, row.latency_ms) == (FOREIGN, key, 1.0)


def test_two_keys_of_one_operator_both_stay_foreign(tmp_path):
    tail = "-input:56x56x24-output:28x28x40-expand:{}-kernel:5-stride:2-idskip:0-se:0-hs:0: {{mean: 1.0}}\n"
    found = read(tmp_path, "lut.yaml", ("expanded_conv" + tail).format(72) + ("MBConv" + tail).format(3))
    assert [row.spec.kind for row in found.table] == [FOREIGN, FOREIGN]
    assert len({row.spec for row in found.table}) == 2


def test_long_name_is_kept_whole_and_labelled_by_its_digest(tmp_path):
    key = "a" * 300 + "-input:1x1x8-output:8"
    row = read(tmp_path, "lut.yaml", f"{key}: {{mean: 1.0}}").table.rows[0]
    assert row.source == key
    assert row.spec.label.endswith(" #" + hashlib.sha256(key.encode()).hexdigest()[:16])


def test_key_of_our_operators_is_read_again():
    spec = OpSpec("mbconv", 24, 40, 56, 56, 2, 5, hidden_channels=72, squeeze_channels=24, activation="hswish")
    key = "expanded_conv-input:56x56x24-output:28x28x40-expand:72-kernel:5-stride:2-idskip:0-se:1-hs:1"
    assert key_of(spec) == key
    assert parse_key(key).numbers["expand"] == 72
    # A squeeze that is not Once-for-All's is not called by Once-for-All's key.
    assert key_of(replace(spec, squeeze_channels=16)) == (
        "latlas_mbconv-input:56x56x24-output:28x28x40-kernel:5-stride:2-hidden:72-squeeze:16-act:hswish"
    )


# CSV of others --------------------------------------------------------------------------------------------------------


def test_columns_are_found_by_their_names(tmp_path):
    found = read(tmp_path, "lut.csv", FASTERSEG)
    rows = by_source(found)
    assert len(rows) == 3
    name = "ConvNorm_H64_W128_Cin8_Cout16_kernel3_stride2"
    assert rows[name].spec == OpSpec(FOREIGN, 8, 16, 64, 128, 2, 3, label=name)
    # Their head is not our head.
    assert rows["head_H32_W64_Cin128_Cout19"].spec.kind == FOREIGN
    assert found.ignored == ()


def test_keys_of_once_for_all_in_a_csv(tmp_path):
    text = "key,op,mean_ms,var\n" + "".join(
        f"{key},MBConv,{mean},0.1\n"
        for key, mean in [
            ("MBConv-input:100x100x16-output:50x50x24-expand:3-kernel:3-stride:2-idskip:0-se:0", "0.5"),
            ("classifier-input:1280-output:1000", "0.25"),
        ]
    )
    found = read(tmp_path, "lut.csv", text, activation="ofa")
    assert [row.spec.kind for row in found.table] == [FOREIGN, "mbconv"]
    assert found.ignored == ("var",)


def test_column_and_unit_are_chosen_and_names_made(tmp_path):
    text = "op,input,output,kernel,latency_mean,p99_us\nconv,8x8x3,8x8x4,3,2000,2\nconv,8x8x3,8x8x5,3,1500,2\n"
    found = read(tmp_path, "lut.csv", text, unit="us")
    assert {row.source: row.latency_ms for row in found.table} == {
        "conv-input:8x8x3-output:8x8x4-kernel:3": 2.0,
        "conv-input:8x8x3-output:8x8x5-kernel:3": 1.5,
    }
    assert {row.latency_ms for row in read(tmp_path, "lut.csv", text, latency_column="p99_us").table} == {0.002}
    for options, message in [
        ({}, "what unit is the column latency_mean"),
        ({"latency_column": "p99_us", "unit": "ms"}, "--unit is ms; the column p99_us says us"),
        ({"latency_column": "gone"}, "no column gone of latencies; choose with --latency-column among op, input"),
        ({"unit": "min"}, "--unit is min; it must be one of s, ms"),
    ]:
        with pytest.raises(UsageError, match=message):
            read(tmp_path, "lut.csv", text, **options)


# Hostile and broken files ---------------------------------------------------------------------------------------------

GOOD = "Conv_1-input:7x7x8-output:7x7x8: {mean: 1.0}\n"
HEAD = "key,H,W,C_in,C_out,latency_ms\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "", "is empty"),
        ("a.yaml", "- 1\n- 2\n", "line 1: it has a list"),
        ("a.yaml", "text", "is 'text'; it must be a mapping"),
        ("a.yaml", GOOD + GOOD, "line 2: the key Conv_1-input:7x7x8-output:7x7x8 is given twice"),
        ("a.yaml", GOOD.replace("1.0", "1.0, mean: 2.0"), "the key mean is given twice"),
        ("a.yaml", "a: &a {mean: 1}\nb: *a\n", "anchor or alias"),
        ("a.yaml", "b: *a\n", "anchor or alias|is not YAML"),
        ("a.yaml", "a: &a [x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n", "anchor or alias"),
        ("a.yaml", "!!python/object/apply:os.system ['true']\n", "the YAML tag tag:yaml.org,2002:python/object"),
        ("a.yaml", "a: {b: {c: {d: {e: f}}}}\n", "more than 3 deep"),
        ("a.yaml", "a: " + "[" * 100_000, "line 1"),
        ("a.yaml", "a: " + "{" * 100_000, "line 1"),
        ("a.yaml", "? {a: b}\n: {mean: 1}\n", "more than 3 deep"),
        ("a.yaml", GOOD + "---\n" + GOOD, "second YAML document"),
        ("a.yaml", "a: 'b", "is not YAML"),
        ("a.yaml", GOOD.replace("mean", "median"), "has no number `mean`"),
        ("a.yaml", GOOD.replace("1.0", "{x: 1}"), "has no number `mean`"),
        *(
            ("a.yaml", GOOD.replace("1.0", value), "the latency is")
            for value in ("nan", ".inf", "-1", "0", "1_0", "9" * 99)
        ),
        ("a.yaml", GOOD.replace("1.0", "1e9999"), "the latency is '1e9999'; it must be a finite, positive number"),
        ("a.yaml", GOOD.replace("}", ", count: -1}"), "count is '-1'"),
        ("a.yaml", GOOD.replace("}", ", spec: {kind: nosuch}}"), "missing fields"),
        ("a.yaml", GOOD.replace("}", ", spec: x}"), "its spec is 'x'"),
        ("a.yaml", "conv3x3: {mean: 1.0}\n", "entry conv3x3 says no shapes"),
        ("a.yaml", "Conv-input:0x0x0-output:0x0x0: {mean: 1.0}\n", "must be a whole number of at least 1"),
        ("a.yaml", f"{'k' * 1010}: {{mean: 1.0}}\n", "it must be a line of at most 1000 characters"),
        ("a.yaml", '"a\\e[31m  b": {mean: 1.0}\n', "its name is"),
        ("a.csv", "", "has 0 columns"),
        ("a.csv", HEAD, "has no rows"),
        ("a.csv", ",".join(map(str, range(20_000))) + "\n", "has 20000 columns"),
        ("a.csv", "," * 1_000_000 + "\n", "line 1 has more than"),
        ("a.csv", "\n" * 300_000, "more than 200000 lines"),
        ("a.csv", HEAD + "a,1,1,1,1,1\na,1,1,1,1,1\n", "two entries are called a"),
        ("a.csv", HEAD + "a,1,1,1,1\n", "line 2 has 5 fields; the first line names 6"),
        ("a.csv", HEAD + '"a,1,1,1,1,1\n', "line 2 is not CSV"),
        ("a.csv", HEAD + "a,1,x,1,1,1\n", "width is 'x'; it must be a whole number"),
        ("a.csv", HEAD + "a,1,,1,1,1\n", "does not say its width; columns are input and output"),
        ("a.csv", HEAD + "a,1,1,1,1,-1\n", "the latency is '-1'"),
        ("a.csv", HEAD + "a,1,1,1,1,\n", "the latency is ''"),
        ("a.csv", HEAD.replace("W", "H") + "a,1,1,1,1,1\n", "columns given twice: H"),
        ("a.csv", b"\xff\xfea\x00", "not text in UTF-8"),
        ("a.csv", b"key,H\n\0", "it has a zero byte"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value)[:40],
)
def test_broken_file_gets_one_clear_line(tmp_path, name, text, message):
    with pytest.raises(FileFormatError, match=message) as error:
        read(tmp_path, name, text)
    assert len(str(error.value)) < 700
    assert str(error.value).isprintable()


def test_too_large_or_missing_files(tmp_path, monkeypatch):
    monkeypatch.setattr("latlas.latency.formats.interchange.MAX_TEXT_BYTES", 10)
    with pytest.raises(FileFormatError, match="more than 10 bytes"):
        read(tmp_path, "a.yaml", GOOD)
    for path, message in [(tmp_path / "gone.yaml", "there is no file"), (tmp_path, "cannot read")]:
        with pytest.raises(UsageError, match=message):
            import_table(path, None, ImportOptions())


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yml", "", "ofa"),
        ("a.JSON", "", "fbnet"),
        ("a.csv", "", "csv"),
        ("a", OFA, "ofa"),
        ("a.txt", '{"op_type"', "fbnet"),
        ("a.txt", FASTERSEG, "csv"),
    ],
)
def test_format_is_guessed_where_it_is_plain(name, text, expected):
    assert guess_format(Path(name), text).name == expected
    with pytest.raises(UsageError, match="Say --format ofa, proxyless, fbnet, csv"):
        guess_format(Path("a.txt"), "1 2 3")


# Round trips ----------------------------------------------------------------------------------------------------------

ENVIRONMENT = replace(
    I7, cpu_flags="avx avx2", latlas_version="0.2.0", state=MachineState(governor="performance", load_1m=0.25)
)
MANIFEST = Manifest(ENVIRONMENT, "eight convolutions", "portrait", "latlas profile-ops", 0)

sizes = st.integers(1, 64)
latencies = st.floats(1e-6, 1e6, exclude_min=True) | st.sampled_from([5e-324, 1.7e308, 0.1 + 0.2])
lines = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" =+-@'\",:#"), min_size=1, max_size=40
).map(lambda text: " ".join(text.split()) or "x")


@st.composite
def specs(draw):
    kind = draw(
        st.sampled_from(["conv", "mbconv", "sepconv", "skip", "aspp", "upsample_add", "atrous", "concat", FOREIGN])
    )
    channels, out = draw(sizes), draw(sizes)
    place = {"height": draw(sizes), "width": draw(sizes)}
    kernel, act = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from(["relu", "hswish", "none"]))
    match kind:
        case "skip":
            return OpSpec(kind, channels, channels, **place)
        case "upsample_add":
            return OpSpec(kind, channels, channels, **place, scale=draw(st.integers(1, 8)))
        case "atrous":
            return OpSpec(kind, channels, out, **place, kernel_size=3, label=f"{draw(sizes)}x{draw(sizes)}")
        case "concat":
            return OpSpec(kind, channels, channels * draw(st.integers(1, 5)), **place)
        case "aspp":
            return OpSpec(kind, channels, out, **place, hidden_channels=draw(sizes), dilation=draw(st.integers(1, 9)))
        case "mbconv":
            hidden, squeeze = draw(sizes), draw(st.sampled_from([0, 8, 16]))
            extra = {"hidden_channels": hidden, "squeeze_channels": squeeze, "kernel_size": kernel, "activation": act}
            return OpSpec(kind, channels, out, **place, stride=draw(st.integers(1, 2)), **extra)
        case "foreign":
            return OpSpec(kind, channels, out, **place, stride=draw(st.integers(1, 3)), label=draw(lines))
        case _:
            return OpSpec(kind, channels, out, **place, kernel_size=kernel, activation=act)


@st.composite
def tables(draw):
    rows = []
    for spec in draw(st.lists(specs(), min_size=1, max_size=6, unique=True)):
        latency = draw(latencies)
        numbers = dict.fromkeys(NUMBERS, latency) | {"in_network_ms": draw(st.none() | st.floats(0, 1e3))}
        counts = {"rounds": draw(st.integers(0, 10**6)), "discarded": 3, "passes": 2}
        rows.append(
            Row(spec=spec, **numbers, **counts, reason=draw(st.just("") | lines), source=draw(st.just("") | lines))
        )
    return Table(tuple(rows), MANIFEST)


@given(tables(), st.sampled_from(["ofa", "fbnet"]), st.sampled_from(["isolated", "in-network"]))
@settings(max_examples=80, deadline=None)
def test_export_and_import_lose_no_operator_and_no_digit(tmp_path_factory, table, format_name, value):
    field = {"isolated": "latency_ms", "in-network": "in_network_ms"}[value]
    expected = {row.spec: getattr(row, field) for row in table if getattr(row, field)}
    if not expected:
        with pytest.raises(UsageError, match="has no in-network latency"):
            export_table(table, format_name, value)
        return
    text, left_out = export_table(table, format_name, value)
    folder = tmp_path_factory.mktemp("exchange")
    found = read(folder, "out", text, format_name)
    assert {row.spec: row.latency_ms for row in found.table} == expected
    assert len(left_out) == len(table) - len(expected)
    # What was imported once is written, and read, as the same again.
    again = read(folder, "again", export_table(found.table, format_name)[0], format_name)
    assert again.table.rows == found.table.rows


@given(tables())
@settings(max_examples=60, deadline=None)
def test_csv_of_ours_loses_nothing(tmp_path_factory, table):
    text, left_out = export_table(table, "csv")
    assert read(tmp_path_factory.mktemp("exchange"), "out.csv", text).table == table
    assert left_out == []
    for record in csv.reader(io.StringIO(text)):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in record)


@pytest.mark.parametrize(("text", "format_name"), [(OFA, "ofa"), (PROXYLESS, "proxyless"), (FASTERSEG, "csv")])
def test_imported_table_is_exported_by_its_own_keys(tmp_path, text, format_name):
    table = read(tmp_path, "in", text, format_name).table
    out = export_table(table, "ofa")[0]
    again = read(tmp_path, "out.yaml", out).table
    assert again.rows == table.rows
    assert all(f"{row.source}:" in out for row in table)
    assert read(tmp_path, "out.csv", export_table(table, "csv")[0]).table == table


def test_failed_rows_are_left_out_and_said():
    table = Table((Row.failed(OpSpec("skip", 8, 8, 4, 4), "hung"), ROW), MANIFEST)
    text, left_out = export_table(table, "ofa")
    assert text.count("mean") == 1
    assert left_out == ["skip 8->8 at 4x4: it failed: hung"]
    with pytest.raises(UsageError, match="has no boundary latency to export"):
        export_table(table, "ofa", "boundary")
    zero = Table(
        (replace(ROW, in_network_ms=0.0), replace(ROW, spec=OpSpec("skip", 4, 4, 4, 4), in_network_ms=1.0)), MANIFEST
    )
    assert export_table(zero, "fbnet", "in-network")[1][0].endswith("its in-network latency is 0")


ROW = Row(
    spec=OpSpec("conv", 3, 8, 32, 32, 2, 3, activation="relu"),
    **dict.fromkeys(NUMBERS, 1.0) | {"p10_ms": 0.5, "p90_ms": 2.0},
    **{"rounds": 40, "discarded": 3, "passes": 2},
)


def test_csv_that_was_edited_is_imported_or_refused(tmp_path):
    text = export_table(Table((ROW,), MANIFEST), "csv")[0]
    edited = text.replace("1.0", "1.5", 1)
    with pytest.raises(FileFormatError, match=r"latency_ms is 1.5; it must be between|not those of its manifest"):
        read(tmp_path, "a.csv", edited)
    with pytest.raises(FileFormatError, match="the rows are not those of its manifest"):
        read(tmp_path, "a.csv", text.replace(",40,3,2,", ",41,3,2,"))
    with pytest.raises(UsageError, match="--threads has no place here"):
        read(tmp_path, "a.csv", text, threads=2)
    records = list(csv.reader(io.StringIO(text)))
    bare = "\n".join(",".join(record[:-1]) for record in records)
    found = read(tmp_path, "a.csv", bare, cpu_model="i7").table
    assert (found.manifest.origin, found.rows[0].origin, found.rows[0].p90_ms) == ("imported", "imported", 2.0)
    with pytest.raises(FileFormatError, match="ratio is '-1'"):
        read(tmp_path, "a.csv", bare.replace(",1.0,1.0,1.0,40", ",-1,1.0,1.0,40"))
    with pytest.raises(FileFormatError, match="two rows are of one operator"):
        read(tmp_path, "a.csv", f"{bare}\n{bare.splitlines()[1]}")


def test_imported_table_merges_with_nothing_and_compares_without_falling_over(tmp_path):
    table = read(tmp_path, "lut.yaml", OFA).table
    assert diff(table, table) == []
    with pytest.raises(LatlasError, match="cannot merge"):
        merge((table, table))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xml",), "--format is xml"),
        (("ofa", "mean"), "--value is mean"),
        (("csv", "boundary"), "csv has every latency"),
    ],
)
def test_export_of_what_there_is_not(arguments, message):
    with pytest.raises(UsageError, match=message):
        export_table(Table((ROW,), MANIFEST), *arguments)


# The commands ---------------------------------------------------------------------------------------------------------


def test_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lut.yaml").write_text(PROXYLESS)

    def run(*words):
        code = cli.run(["tables", *map(str, words)])
        done = capsys.readouterr()
        return code, done.out, done.err

    code, out, _ = run(
        "import", "lut.yaml", "--cpu-model", "Pixel 1", "--source", "ProxylessNAS, MIT", "--out", "t.parquet"
    )
    assert code == 0
    assert out.splitlines()[0] == "t.parquet: 3 operators of lut.yaml (ofa), 0 as ours, 3 foreign"
    assert out.splitlines()[1] == "2 of those do not say their activation; --activation does"
    assert "unknown of their environment: cpu_flags, logical_cpus, threads" in out
    assert run("import", "lut.yaml", "--out", "t.parquet")[0] == 2
    code, out, _ = run("import", "lut.yaml", "--activation", "relu", "--out", "t.parquet", "--force", "--json")
    record = json.loads(out)
    assert (code, record["entries"], record["foreign"], record["origin"]) == (0, 3, 1, "imported")
    assert record["unknown"][0] == "cpu_model"
    code, out, _ = run("show", "t.parquet")
    assert (code, "unknown of its environment" in out, "imported, not measured by Latlas" in out) == (0, True, True)
    assert run("validate", "t.parquet")[0] == 0
    code, out, _ = run("export", "t.parquet", "--format", "fbnet", "--out", "out/t.json", "--json")
    assert (code, json.loads(out)["entries"]) == (0, 3)
    assert run("import", "out/t.json", "--out", "again.parquet")[0] == 0
    assert run("diff", "t.parquet", "again.parquet")[0] == 0
    Path("bad.yaml").write_text("a: &a 1\n")
    for words, expected in [
        (("import", "bad.yaml", "--out", "b.parquet"), 3),
        (("import", "gone.yaml", "--out", "b.parquet"), 2),
        (("import", "lut.yaml", "--format", "xml", "--out", "b.parquet"), 2),
        (("export", "t.parquet", "--format", "ofa", "--out", "out/t.json"), 2),
        (("export", "gone.parquet", "--format", "ofa", "--out", "b.yaml"), 2),
        (("export", "bad.yaml", "--format", "ofa", "--out", "b.yaml"), 3),
    ]:
        code, out, err = run(*words)
        assert (code, out, len(err.splitlines())) == (expected, "", 1), err
    assert not Path("b.parquet").exists()


def test_text_is_written_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a", "é\n")
    assert (tmp_path / "a").read_bytes() == "é\n".encode()
    with pytest.raises(UsageError, match="exists already"):
        write_text(tmp_path / "a", "")
    with pytest.raises(UsageError, match="cannot write"):
        write_text(tmp_path / "a" / "b", "")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert EXPORTS == ["ofa", "fbnet", "csv"] and set(EXPORTS) < set(FORMATS.own())


def test_mutated_files_raise_nothing_but_what_is_meant(tmp_path):
    """Random bytes changed, dropped, doubled and moved, in all formats: a table, or an error of ours with one short line."""
    rng = np.random.default_rng(0)
    table = Table((ROW, replace(ROW, spec=OpSpec(FOREIGN, 3, 8, 4, 4, label="=1+1"))), MANIFEST)
    seeds = [(OFA, "ofa"), (PROXYLESS, "proxyless"), (FASTERSEG, "csv")]
    seeds += [(export_table(table, name)[0], name) for name in EXPORTS]
    path, read_whole, messages = tmp_path / "file", 0, []
    for text, format_name in seeds:
        for _ in range(150):
            data = bytearray(text.encode())
            for _ in range(rng.integers(1, 3)):
                a, b = sorted(rng.integers(0, len(data), 2))
                match rng.integers(5):
                    case 0:
                        data[a] = rng.integers(256)
                    case 1:
                        data[a] = ord(rng.choice(list("\"'{}[]:,&*!-\n0.eE")))
                    case 2:
                        del data[a : a + 20]
                    case 3:
                        data[a:a] = data[b : b + 200]
                    case _:
                        data[a : a + 30] = data[b : b + 10]
            path.write_bytes(data)
            options = ImportOptions(unit="ms") if format_name == "ofa" else ImportOptions()
            try:
                read_whole += len(import_table(path, format_name, options).table) > 0
            except LatlasError as error:
                messages.append(str(error))
    assert read_whole > 50
    assert len(messages) > 50
    assert [message for message in messages if len(message) > 1500 or not message.isprintable()] == []
