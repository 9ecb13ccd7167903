"""Latency tables of FBNet and ChamNet: a line with a JSON record for each operator, as `runtime_lut` of mobile-vision reads them.

    {"op_type": "Int8ConvRelu", "op_args": ["name: \\"stride\\"\\ni: 2\\n"], "device": "SM-G950U",
     "input_shapes": [[1, 224, 224, 3], [32, 3, 3, 3], [32]], "input_dtypes": [1, 1, 1],
     "runtime_us_p10": 950.0, "runtime_us_p50": 960.0, "runtime_us_p90": 990.0}

(on one line; a JSON list of such records is read too). An operator's name is the JSON of the fields that `OpLut` compares
there: type, shapes, types, arguments, device. Records that Latlas writes of its own operators have the spec in an argument
`latlas`. Lists of bare numbers, as some reimplementations keep them, name no operators and are refused. So are pickles.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.delimited import MAX_ENTRIES
from latlas.latency.formats.entry import (
    Entry,
    brief,
    called,
    exact_text,
    foreign_operator,
    latency_in,
    milliseconds,
    rows_of,
    short_record,
    source_of,
    stated_spec,
)
from latlas.latency.formats.ofa import key_of
from latlas.latency.formats.table_format import Contents, ImportOptions, TableFormat
from latlas.latency.formats.unit import unit_of
from latlas.latency.machine.environment import UNKNOWN
from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN, OpSpec

IDENTITY = ("op_type", "input_shapes", "input_dtypes", "op_args", "device")
LATENCY = "runtime_us_p50"
PERCENTILES = ("runtime_us_p10", LATENCY, "runtime_us_p90")
MAX_LIST = 2**23
MAX_LINE = 2**20
_OWN = 'name: "latlas"\ns: '
_ARGUMENT = re.compile(r'name: "(\w{1,40})"\s+[isf]: (?:"(\w{0,40})"|(\d{1,9}))\s*')
_CONVOLUTIONS = {"Conv": "none", "Int8Conv": "none", "ConvRelu": "relu", "Int8ConvRelu": "relu"}
_MAX_DIMENSION = 10**9


def read_fbnet(text: str, path: object, unit: str | None, column: str | None) -> tuple[list[Entry], set[str], set[str]]:
    """The entries of a JSON text, the fields that a table does not keep, and the devices that the records name."""
    name = column or LATENCY
    unit = unit_of(name, unit)
    entries, ignored, devices = [], set(), set()
    for what, record in _records(text, str(path)):
        entry = _entry(record, name, unit, what)
        entries.append(entry)
        ignored |= set(record) - {*IDENTITY, name, *(PERCENTILES if name == LATENCY else ())}
        devices.add(str(record.get("device") or UNKNOWN))
    if not entries:
        raise FileFormatError(f"{path} has no records; a line is such as " + '{"op_type": "Conv", "input_shapes": ...}')
    return entries, ignored, devices


def _records(text: str, path: str) -> Iterable[tuple[str, dict[str, Any]]]:
    lines = _listed(text, path) if text.lstrip().startswith("[") else _lines(text, path)
    for number, (what, record) in enumerate(lines):
        if number == MAX_ENTRIES:
            raise FileFormatError(f"{path} has more than {MAX_ENTRIES} records")
        if not isinstance(record, dict):
            raise FileFormatError(
                f"{what} is no record; a list of bare latencies does not say of what operators they are"
            )
        yield what, record


def _listed(text: str, path: str) -> Iterable[tuple[str, Any]]:
    if len(text) > MAX_LIST:
        raise FileFormatError(f"{path} is a list of more than {MAX_LIST} characters; write a record a line")
    return ((f"{path}, record {number}", one) for number, one in enumerate(_parsed(text, path), 1))


def _lines(text: str, path: str) -> Iterable[tuple[str, Any]]:
    for number, line in enumerate(io.StringIO(text), 1):
        if number > 2 * MAX_ENTRIES or len(line) > MAX_LINE:
            raise FileFormatError(
                f"{path}, line {number}: too many lines, or a line of more than {MAX_LINE} characters"
            )
        if line.strip():
            yield f"{path}, line {number}", _parsed(line, f"{path}, line {number}")


def _parsed(text: str, what: str) -> Any:
    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise ValueError(f"the key {called(twice)} is given twice")
        return found

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number of JSON")

    try:
        return json.loads(text, parse_float=Decimal, parse_constant=refuse, object_pairs_hook=mapping)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FileFormatError(f"{what} is not JSON: {one_line(str(error), 160)}") from None


def _entry(record: dict[str, Any], column: str, unit: str, what: str) -> Entry:
    missing = [name for name in ("op_type", "input_shapes", column) if name not in record]
    if missing:
        raise FileFormatError(f"{what} has no {', '.join(missing)}")
    latency_ms, reason = latency_in(_number(record[column]), unit)
    p10, p50, p90 = (
        (milliseconds(_number(record[name]), "us", f"{what}, {name}") if record.get(name) and not reason else None)
        for name in PERCENTILES
    )
    whole = column == LATENCY and None not in (p10, p50, p90)
    percentiles = (p10, p50, p90) if whole else (None, None, None)
    arguments = _texts(record.get("op_args", []), f"{what}: op_args")
    own = [argument for argument in arguments if argument.startswith(_OWN)]
    if own:
        stated = _parsed(_quoted(own[0], what), what)
        if len(own) > 1 or not isinstance(stated, dict) or set(stated) - {"spec", "source"}:
            raise FileFormatError(f"{what}: its argument latlas is not {{spec, source}}")
        spec = stated_spec(stated.get("spec"), what)
        source = source_of(str(stated.get("source") or key_of(spec)), what)
        return Entry(source, latency_ms, spec, spec, stated=True, percentiles=percentiles, reason=reason, what=what)
    identity = [
        _texts([record["op_type"]], f"{what}: op_type")[0],
        _shapes(record["input_shapes"], what),
        _whole_numbers(record.get("input_dtypes", []), f"{what}: input_dtypes"),
        arguments,
        _texts([record.get("device", "")], f"{what}: device")[0],
    ]
    source = source_of(_line(identity), what)
    foreign, spec_or_none = _operator(identity, source, what)
    return Entry(source, latency_ms, foreign, spec_or_none, percentiles=percentiles, reason=reason, what=what)


def _quoted(argument: str, what: str) -> str:
    text = _parsed(argument.removeprefix(_OWN), what)
    if not isinstance(text, str):
        raise FileFormatError(f"{what}: its argument latlas is not a text")
    return text


def _number(value: object) -> str:
    return str(value) if type(value) in (int, Decimal) else repr(value)


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or len(value) > 64 or not all(isinstance(one, str) for one in value):
        raise FileFormatError(f"{what} is {brief(value)}; it must be text")
    return value


def _whole_numbers(value: object, what: str) -> list[int]:
    wrong = not isinstance(value, list) or len(value) > 64
    if wrong or not all(type(one) is int and 0 <= one < _MAX_DIMENSION for one in value):  # type: ignore[attr-defined]
        raise FileFormatError(f"{what} is {brief(value)}; it must be a short list of whole numbers")
    return value  # type: ignore[return-value]


def _shapes(value: object, what: str) -> list[list[int]]:
    if not isinstance(value, list) or not 1 <= len(value) <= 64:
        raise FileFormatError(f"{what}: input_shapes is {brief(value)}; it must be a list of shapes")
    return [_whole_numbers(shape, f"{what}: a shape") for shape in value]


def _line(identity: Sequence[object]) -> str:
    """The JSON of an identity as a line that a table keeps; runs of blanks, which only texts have, are escaped."""
    text = json.dumps(identity, separators=(",", ":"))
    return re.sub(" (?= )", "\\\\u0020", text)


def _operator(identity: Sequence[Any], source: str, what: str) -> tuple[OpSpec, OpSpec | None]:
    """A record as a foreign operator, and as one of Latlas if it is a plain convolution with an odd, centred, square kernel."""
    op_type, shapes, _, texts, _ = identity
    matches = [_ARGUMENT.fullmatch(text) for text in texts]
    known = {match[1]: match[2] or int(match[3] or 0) for match in matches if match}
    last = op_type.startswith("Int8") if "order" not in known else known["order"] == "NHWC"
    image, weights = shapes[0], shapes[1] if len(shapes) > 1 else []
    height, width, channels = _place(image, last)
    out_channels = weights[0] if len(weights) in (2, 4) else channels
    kernel = (weights[1:3] if last else weights[2:4]) if len(weights) == 4 else [1, 1]
    stride = known.get("stride", known.get("stride_h", 1))
    place = {"in_channels": channels, "out_channels": out_channels, "height": height, "width": width}
    place = {name: max(1, size) for name, size in place.items()}
    plain = {"stride": stride if isinstance(stride, int) and stride else 1, "kernel_size": kernel[0] or 1}
    foreign = foreign_operator(source, what, **place, **plain)
    dilation = known.get("dilation", 1)
    pads = {value for name, value in known.items() if name.startswith("pad")} or {0}
    inner = weights[-1 if last else 1] if len(weights) == 4 else 0
    wanted = {"kernel": kernel[0], "stride": plain["stride"], "stride_h": plain["stride"], "stride_w": plain["stride"]}
    understood = len(known) == len(texts) and set(known) <= _UNDERSTOOD
    if (
        op_type not in _CONVOLUTIONS
        or not understood
        or len(image) != 4
        or len(weights) != 4
        or 0 in (*image, *weights)
        or inner != channels
        or known.get("group", 1) != 1
        or any(known.get(name, value) != value for name, value in wanted.items())
        or kernel[0] != kernel[1]
        or not kernel[0] % 2
        or not isinstance(dilation, int)
        or pads != {dilation * (kernel[0] // 2)}
    ):
        return foreign, None
    act = _CONVOLUTIONS[op_type]
    numbers: dict[str, Any] = {**place, **plain, "dilation": max(1, dilation)}
    return foreign, OpSpec("conv", **numbers, activation=act)


_UNDERSTOOD = {"order", "kernel", "stride", "stride_h", "stride_w", "pad", "pad_t", "pad_l", "pad_b", "pad_r"} | {
    *("group", "dilation", "Y_scale", "Y_zero_point")
}


def _place(shape: Sequence[int], channels_last: bool) -> tuple[int, int, int]:
    """Height, width and channels of an input; 1x1 if it is no image."""
    if len(shape) == 4:
        return (shape[1], shape[2], shape[3]) if channels_last else (shape[2], shape[3], shape[1])
    return 1, 1, shape[-1] if shape else 1


def write_fbnet(rows: Sequence[tuple[Row, float]], batch: int | None, device: str) -> str:
    """The lines of rows and their milliseconds; rows that were read from such lines become the same records again."""
    identities = _identities([row for row, _ in rows])
    lines = []
    for row, value in rows:
        found = identities.get(row.spec)
        record = dict(zip(IDENTITY, found, strict=True)) if found else _record(row, batch, device)
        times = {LATENCY: value}
        if row.p10_ms is not None and row.p90_ms is not None and row.p10_ms <= value <= row.p90_ms:
            times = dict(zip(PERCENTILES, (row.p10_ms, value, row.p90_ms), strict=True))
        fields = {name: json.dumps(field) for name, field in record.items()}
        fields |= {name: exact_text(time, "us") for name, time in times.items()}
        lines.append("{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}\n")
    return "".join(lines)


def _identities(rows: Sequence[Row]) -> dict[OpSpec, list[Any]]:
    """By operator, the identity in the row's name, for rows whose operator a reader finds again from that identity."""
    names = Counter(row.source for row in rows)
    made = {row.spec: found for row in rows if names[row.source] == 1 and (found := _original(row))}
    for _ in range(10):  # a row left out states its operator, which may make another row foreign; seldom twice
        entries = [
            Entry(row.source, 1.0, *made[row.spec][1])
            if row.spec in made
            else Entry(row.source, 1.0, row.spec, row.spec, stated=True)
            for row in rows
        ]
        try:
            again = {row.source: row.spec for row in rows_of(entries, "")}
        except LatlasError:
            break
        wrong = [row.spec for row in rows if row.spec in made and again[row.source] != row.spec]
        if not wrong:
            return {spec: identity for spec, (identity, _) in made.items()}
        made = {spec: found for spec, found in made.items() if spec not in wrong}
    return {}


def _original(row: Row) -> tuple[list[Any], tuple[OpSpec, OpSpec | None]] | None:
    """The identity in a row's source, and the operator that a reader makes from it; None if the source is no identity."""
    if not row.source.startswith('["'):
        return None
    try:
        identity = _parsed(row.source, "")
        if len(identity) != len(IDENTITY) or _line(identity) != row.source:
            return None
        made = _entry({**dict(zip(IDENTITY, identity, strict=True)), LATENCY: 1}, LATENCY, "us", "")
    except (LatlasError, UsageError):
        return None
    return None if made.stated else (identity, (made.foreign, made.spec))


def _record(row: Row, batch: int | None, device: str) -> dict[str, object]:
    own = json.dumps({"spec": short_record(row.spec)} | ({"source": row.source} if row.source else {}))
    shapes = [[batch or 1, *shape] for shape in row.spec.input_shapes]
    kind = row.spec.label if row.spec.kind == FOREIGN else f"latlas.{row.spec.kind}"
    return {
        "op_type": kind,
        "op_args": [_OWN + json.dumps(own)],
        "input_shapes": shapes,
        "input_dtypes": [1] * len(shapes),
        "device": device,
    }


def _read(text: str, path: Path, options: ImportOptions) -> Contents:
    options.require_unset("activation")
    entries, ignored, devices = read_fbnet(text, path, options.unit, options.latency_column)
    return Contents(rows_of(entries, path, options.skip_bad), ignored, devices)


def _write(table: Table, pairs: Sequence[tuple[Row, float]]) -> str:
    environment = table.manifest.environment
    return write_fbnet(pairs, environment.batch, environment.cpu_model)


FBNET = TableFormat(
    "fbnet", _read, _write, endings=(".json", ".jsonl", ".ndjson"), recognises=lambda text: text.startswith(("{", "["))
)
