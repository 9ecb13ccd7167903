"""FBNet's records of one operator a line, as its `runtime_lut` reads them."""

import json

import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.formats.interchange import export_table, import_table
from latlas.latency.formats.table_format import ImportOptions
from latlas.latency.table.row import NUMBERS, Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN, OpSpec


def argument(name, value):
    kind = "s" if isinstance(value, str) else "i"
    return f'name: "{name}"\n{kind}: {json.dumps(value)}\n'


def convolution(**arguments):
    known = {"kernel": 3, "order": "NHWC", "pad": 1, "stride": 2} | arguments
    return [argument(name, value) for name, value in sorted(known.items()) if value is not None]


def record(op_type="Int8ConvRelu", arguments=None, shapes=((1, 224, 224, 3), (32, 3, 3, 3), (32,)), **fields):
    return {
        "op_type": op_type,
        "op_args": convolution() if arguments is None else arguments,
        "input_shapes": [list(shape) for shape in shapes],
        "input_dtypes": [1] * len(shapes),
        "runtime_us_p0": 900.0,
        "runtime_us_p10": 950.0,
        "runtime_us_p50": 960.1,
        "runtime_us_p90": 990.0,
        "runtime_us_p100": 0.0,
        "device": "SM-G950U-7.0-24",
        **fields,
    }


def read(tmp_path, records, options=None, name="db.json"):
    path = tmp_path / name
    text = records if isinstance(records, str) else "\n".join(json.dumps(one) for one in records)
    path.write_text(text)
    return import_table(path, None, options or ImportOptions())


def measured(spec):
    return Row(spec=spec, **dict.fromkeys(NUMBERS, 1.0), **{"rounds": 1, "discarded": 0, "passes": 1})


POOL = record("Int8AveragePool", [argument("global_pooling", 1)], [(1, 7, 7, 320)])
FC = record("Int8FC", [], [(1, 1280), (1000, 1280), (1000,)])


def test_records_of_mobile_vision(tmp_path):
    found = read(tmp_path, [record(), POOL, FC])
    ours = OpSpec("conv", 3, 32, 224, 224, 2, 3, activation="relu")
    row = found.table[ours]
    assert (row.latency_ms, row.p10_ms, row.p90_ms) == (0.9601, 0.95, 0.99)
    places = [(s.in_channels, s.out_channels, s.height) for s in (r.spec for r in found.table) if s.kind == FOREIGN]
    assert sorted(places) == [(320, 320, 7), (1280, 1000, 1)]
    assert found.table.manifest.environment.cpu_model == "SM-G950U-7.0-24"
    assert found.ignored == ("runtime_us_p0", "runtime_us_p100")
    assert read(tmp_path, json.dumps([record(), POOL])).table.rows == read(tmp_path, [record(), POOL]).table.rows


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": convolution(group=2)},
        {"arguments": convolution(pad=0)},
        {"arguments": convolution(pad=None)},
        {"arguments": convolution(kernel=5)},
        {"arguments": convolution(dilation=2)},
        {"arguments": convolution(transform=1)},
        {"arguments": [*convolution(), "rubbish"]},
        {"op_type": "Int8ConvTranspose"},
        {"shapes": [(1, 112, 112, 32), (32, 3, 3, 1), (32,)]},  # depthwise
        {"shapes": [(1, 224, 224, 3), (32, 2, 2, 3), (32,)]},
        {"shapes": [(1, 224, 224, 3), (32, 0, 0, 3), (32,)]},
        {"shapes": [[]]},
    ],
)
def test_what_is_no_plain_convolution_is_foreign(tmp_path, changes):
    assert [row.spec.kind for row in read(tmp_path, [record(**changes)]).table] == [FOREIGN]


def test_channels_first_unless_quantised_or_said(tmp_path):
    shapes = [(1, 3, 224, 224), (32, 3, 3, 3)]
    for op_type, order in [("ConvRelu", None), ("ConvRelu", "NCHW"), ("Int8ConvRelu", "NCHW")]:
        table = read(tmp_path, [record(op_type, convolution(order=order), shapes)]).table
        assert table.rows[0].spec == OpSpec("conv", 3, 32, 224, 224, 2, 3, activation="relu")


def test_another_latency_is_chosen(tmp_path):
    row = read(tmp_path, [record()], ImportOptions(latency_column="runtime_us_p0")).table.rows[0]
    assert (row.latency_ms, row.p50_ms) == (0.9, None)
    row = read(tmp_path, [record(latency=2)], ImportOptions(latency_column="latency", unit="s")).table.rows[0]
    assert row.latency_ms == 2000.0
    with pytest.raises(UsageError, match="what unit"):
        read(tmp_path, [record(latency=2)], ImportOptions(latency_column="latency"))
    with pytest.raises(UsageError, match="--activation has no place here"):
        read(tmp_path, [record()], ImportOptions(activation="relu"))


def test_imported_records_are_written_as_they_were(tmp_path):
    spaced = record("A  b   c", ["x  y"], [(1, 2)])
    table = read(tmp_path, [record(), POOL, FC, spaced]).table
    text = export_table(table, "fbnet")[0]
    names = ("op_type", "op_args", "input_shapes", "input_dtypes", "device", "runtime_us_p50", "runtime_us_p10")
    written = [json.loads(line) for line in text.splitlines()]
    assert sorted([one[n] for n in names] for one in written) == sorted(
        [one[n] for n in names] for one in (record(), POOL, FC, spaced)
    )
    assert read(tmp_path, text).table.rows == table.rows


def test_operators_that_only_met_in_the_whole_file_stay_foreign_in_a_part(tmp_path):
    table = read(tmp_path, [record(), record(device="other")]).table
    assert [row.spec.kind for row in table] == [FOREIGN, FOREIGN]
    part = Table(table.rows[:1], table.manifest)
    text = export_table(part, "fbnet")[0]
    assert read(tmp_path, text).table.rows == part.rows
    ours = measured(OpSpec("conv", 3, 32, 224, 224, 2, 3, activation="relu"))
    mixed = Table((*part.rows, ours), table.manifest)
    found = read(tmp_path, export_table(mixed, "fbnet")[0]).table
    assert [row.spec for row in found] == [row.spec for row in mixed]


def test_schema_of_mobile_vision_reads_what_we_write(tmp_path):
    """Its LUTSchema asserts that it knows every field."""
    known = {"op_type", "op_args", "input_shapes", "input_dtypes", "device"}
    known |= {f"runtime_us_p{percentile}" for percentile in (0, 10, 50, 90, 100)}
    rows = (measured(OpSpec("upsample_add", 8, 8, 4, 4, scale=2)),)
    text = export_table(Table(rows, read(tmp_path, [record()]).table.manifest), "fbnet")[0]
    (line,) = text.splitlines()
    written = json.loads(line)
    assert set(written) <= known
    assert all(isinstance(one, str) for one in written["op_args"])
    assert (written["op_type"], written["input_shapes"]) == ("latlas.upsample_add", [[1, 8, 4, 4], [1, 8, 8, 8]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no records"),
        ("[null, [1.0, 2.0]]", "record 1 is no record; a list of bare latencies"),
        ('{"a": 1, "a": 2}', "the key a is given twice"),
        ("{", "line 1 is not JSON"),
        ("[" + "null," * 2_000_000 + "null]", "is a list of more than"),
        ("\n" * 300_000, "too many lines"),
        (" " * 2_000_000, "too many lines, or a line of more than"),
        ("[" * 100_000, "is not JSON"),
        (json.dumps(record()) + "\n" + json.dumps(record()), "two entries are called"),
        (json.dumps(record(runtime_us_p50=float("nan"))), "NaN is not a number of JSON"),
        *((json.dumps(record(runtime_us_p50=value)), "the latency is") for value in (0, -1.0, "1", None, True, [1])),
        (json.dumps(record(runtime_us_p10=-1.0)), "runtime_us_p10: the latency is '-1.0'"),
        (json.dumps(record(runtime_us_p10=2000.0)), "p50_ms is 0.9601; it must be between"),
        (json.dumps(record()).replace("960.1", "1e9999"), "the latency is '1E.9999'"),
        (json.dumps(record()).replace("960.1", "1e999999999999999999999"), "the latency is|is not JSON"),
        (json.dumps(record()).replace("960.1", "9" * 5000), "is not JSON: Exceeds the limit"),
        ('{"op_type": "Conv"}', "line 1 has no input_shapes, runtime_us_p50"),
        (json.dumps(record(op_type=3)), "op_type is"),
        (json.dumps(record(input_shapes=[])), "input_shapes is"),
        (json.dumps(record(input_shapes=[[1, 10**30]])), "a shape is"),
        (json.dumps(record(input_shapes=[["1"]])), "a shape is"),
        (json.dumps(record(input_dtypes={})), "input_dtypes is"),
        (json.dumps(record(op_args=[{}])), "op_args is"),
        (json.dumps(record(op_args=["x" * 2000])), "it must be a line of at most 1000 characters"),
        (json.dumps(record(op_args=['name: "latlas"\ns: 3'])), "its argument latlas is not a text"),
        (json.dumps(record(op_args=['name: "latlas"\ns: "{}"'])), "its spec is None"),
        (json.dumps(record(op_args=['name: "latlas"\ns: "[]"'])), "its argument latlas is not"),
        (json.dumps(record(op_args=['name: "latlas"\ns: "{\\"spec\\": {\\"kind\\": []}}"'])), "missing fields"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_broken_file_gets_one_clear_line(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message) as error:
        read(tmp_path, text)
    assert len(str(error.value)) < 700
    assert str(error.value).isprintable()
