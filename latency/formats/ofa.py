"""Latency tables of Once-for-All, ProxylessNAS and NSGANetV2: YAML with a key for each operator; `mean` is its milliseconds.

    expanded_conv-input:56x56x24-output:28x28x40-expand:72-kernel:5-stride:2-idskip:0-se:1-hs:0:
      mean: 1.5
      count: 50

Shapes are height x width x channels. Keys are as `MBv3LatencyTable` and `ProxylessNASLatencyTable` in Once-for-All's
`latency_lookup_table.py` and `LatencyEstimator` in NSGANetV2's `utils.py` look them up. If a key has `hs`, its `expand` is
the inner width; otherwise it is the factor.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.delimited import MAX_ENTRIES
from latlas.latency.formats.entry import (
    Entry,
    called,
    foreign_operator,
    latency_in,
    rows_of,
    short_record,
    source_of,
    stated_spec,
    whole,
)
from latlas.latency.formats.table_format import Contents, ImportOptions, TableFormat
from latlas.latency.table.row import Row
from latlas.spaces.operators.spec import OpSpec, make_divisible

MAX_FIELDS = 64
_MAX_DEPTH = 3

YamlMapping: TypeAlias = "dict[str, str | YamlMapping]"


def read_mapping(text: str, what: str) -> dict[str, Any]:
    """The mapping in a YAML text; raises `FileFormatError` with the line for anything else."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's loader is 20 times faster, if it is built in
    try:
        events = yaml.parse(text, Loader=loader)
        for expected in (yaml.StreamStartEvent, yaml.DocumentStartEvent):
            if not isinstance(next(events), expected):
                raise FileFormatError(f"{what} is empty; it must be YAML, a mapping of keys to latencies")
        found = _value(events, next(events), 1, what)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise FileFormatError(f"{what} has a second YAML document; one is read")
    except yaml.YAMLError as error:
        raise FileFormatError(f"{what} is not YAML: {one_line(str(error), 200)}") from None
    if not isinstance(found, dict):
        raise FileFormatError(
            f"{what} is {one_line(reprlib.repr(found), 60)}; it must be a mapping of keys to latencies"
        )
    return found


def _value(events: Iterator[Any], event: Any, depth: int, what: str) -> str | YamlMapping:
    import yaml

    where = f"{what}, line {event.start_mark.line + 1}"
    # An anchor that nothing refers to is harmless; a list of anchors, or a reference to one, may be a bomb.
    named = isinstance(event, yaml.ScalarEvent | yaml.MappingStartEvent)
    if isinstance(event, yaml.AliasEvent) or (event.anchor is not None and not named):
        raise FileFormatError(
            f"{where}: it has a YAML anchor or alias of a value; write the value out, aliases are not read"
        )
    if event.tag is not None:
        raise FileFormatError(f"{where}: it has the YAML tag {one_line(event.tag[:400], 60)}; tags are not read")
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    if not isinstance(event, yaml.MappingStartEvent):
        raise FileFormatError(f"{where}: it has a list; only mappings are read")
    if depth > _MAX_DEPTH:
        raise FileFormatError(f"{where}: mappings within mappings, more than {_MAX_DEPTH} deep")
    found: YamlMapping = {}
    limit = MAX_ENTRIES if depth == 1 else MAX_FIELDS
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        where = f"{what}, line {event.start_mark.line + 1}"
        key = _value(events, event, _MAX_DEPTH + 1, what)
        if not isinstance(key, str):
            raise FileFormatError(f"{where}: a key that is not text")
        if key in found:
            raise FileFormatError(f"{where}: the key {one_line(key[:400], 120)} is given twice")
        if len(found) == limit:
            raise FileFormatError(f"{where}: more than {limit} keys in one mapping")
        found[key] = _value(events, next(events), depth + 1, what)
    return found


_SHAPE = r"\d{1,6}(?:x\d{1,6}){0,2}"
_KEY = re.compile(rf"([A-Za-z_]\w*)-input:({_SHAPE})-output:({_SHAPE})((?:-[a-z]+:\d{{1,6}})*)")
_BLOCKS = ("expanded_conv", "MBConv")
_MAX_RATIO = 8
# Output channels of Once-for-All's MobileNetV3 stages at widths 1.0 and 1.2, by their activation (`OFAMobileNetV3`).
_STAGES = {**dict.fromkeys((16, 24, 32, 40, 48), "relu"), **dict.fromkeys((80, 96, 112, 136, 160, 192), "hswish")}


@dataclass(frozen=True, slots=True)
class Key:
    """A key's parts: the layer's type, shapes `(height, width, channels)`, and numbers by name."""

    op: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    numbers: Mapping[str, int]


def parse_key(text: str) -> Key | None:
    """The parts of a key; None for any other text. A single number is channels at 1x1."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    shapes = [tuple(int(part) for part in shape.split("x")) for shape in match.group(2, 3)]
    pairs = [pair.split(":") for pair in match.group(4).split("-")[1:]]
    numbers = {name: int(value) for name, value in pairs}
    if any(len(shape) == 2 for shape in shapes) or len(numbers) < len(pairs):
        return None
    (a, b, c), (d, e, f) = (shape if len(shape) == 3 else (1, 1, *shape) for shape in shapes)
    return Key(match.group(1), (a, b, c), (d, e, f), numbers)


def says_activation(keys: Iterable[str]) -> bool:
    """Whether the keys have `hs`, as in a MobileNetV3 table of Once-for-All."""
    return any(key.rpartition("-")[2].startswith("hs:") for key in keys)


def operator_of(key: Key, activation: str | None, mobilenetv3: bool) -> OpSpec | None:
    """The operator of Latlas that a key exactly is; None if there is none, or if the key does not say enough.

    Args:
        key: the parts of the key.
        activation: what `--activation` says for keys without an activation.
        mobilenetv3: whether the file's keys have `hs`, so that its `Conv` belongs to MobileNetV3.
    """
    try:
        spec = _block(key, activation) if key.op in _BLOCKS else _convolution(key, activation, mobilenetv3)
    except UsageError:
        return None
    if spec is None or key.output != (*spec.output_size, spec.out_channels):
        return None
    return spec


def _block(key: Key, activation: str | None) -> OpSpec | None:
    numbers, (height, width, channels), out_channels = key.numbers, key.input, key.output[2]
    if not {"expand", "kernel", "stride", "idskip"} <= set(numbers) <= {*_BLOCK_NUMBERS}:
        return None
    act = activation if "hs" not in numbers else "hswish" if numbers["hs"] else "relu"
    act = _STAGES.get(out_channels) if act == "ofa" else act
    hidden = numbers["expand"] * channels
    if "hs" in numbers and numbers["expand"] >= channels:
        if channels <= _MAX_RATIO:
            return None  # it may be the width or the factor
        hidden = numbers["expand"]
    skips = numbers["stride"] == 1 and channels == out_channels
    if act is None or numbers["idskip"] != skips or numbers.get("se", 0) > 1 or numbers.get("hs", 0) > 1:
        return None
    return OpSpec(
        "mbconv",
        channels,
        out_channels,
        height,
        width,
        numbers["stride"],
        numbers["kernel"],
        hidden_channels=hidden,
        squeeze_channels=make_divisible(hidden // 4) if numbers.get("se") else 0,  # SEModule of pytorch_modules.py
        activation=act,
    )


_BLOCK_NUMBERS = ("expand", "kernel", "stride", "idskip", "se", "hs")


def _convolution(key: Key, activation: str | None, mobilenetv3: bool) -> OpSpec | None:
    """The stem (3x3 with stride 2), or the last 1x1 convolution before pooling."""
    act = "hswish" if mobilenetv3 or activation == "ofa" else activation
    kernel, stride = {"Conv": (3, 2), "first_conv": (3, 2), "Conv_1": (1, 1)}.get(key.op, (0, 0))
    if not kernel or act is None or key.numbers:
        return None
    height, width, channels = key.input
    return OpSpec("conv", channels, key.output[2], height, width, stride, kernel, activation=act)


def foreign_of(text: str, key: Key, what: str) -> OpSpec:
    """A key as a foreign operator."""
    height, width, channels = key.input
    numbers = {"stride": key.numbers.get("stride", 1), "kernel_size": key.numbers.get("kernel", 1)}
    return foreign_operator(
        text, what, in_channels=channels, out_channels=key.output[2], height=height, width=width, **numbers
    )


def read_ofa(
    text: str, path: object, unit: str, activation: str | None, proxyless: bool
) -> tuple[list[Entry], set[str]]:
    """The entries of a YAML text, and the fields of its records that a table does not keep."""
    records = read_mapping(text, str(path))
    mobilenetv3 = not proxyless and says_activation(records)
    entries, ignored = [], set()
    for name, value in records.items():
        what = f"{path}, entry {called(name)}"
        record = value if isinstance(value, dict) else {"mean": value}
        if not isinstance(record.get("mean"), str):
            raise FileFormatError(f"{what} has no number `mean`")
        source, (latency_ms, reason) = source_of(name, what), latency_in(record["mean"], unit)
        rounds = whole(_text(record.get("count", "0")), f"{what}: count")
        ignored |= set(record) - {"mean", "count", "spec"}
        if "spec" in record:
            spec = stated_spec(record["spec"], what)
            entries.append(Entry(source, latency_ms, spec, spec, stated=True, rounds=rounds, reason=reason, what=what))
            continue
        key = parse_key(source)
        if key is None:
            raise FileFormatError(f"{what} says no shapes; a key is such as Conv-input:224x224x3-output:112x112x16")
        spec_of_key = operator_of(key, activation, mobilenetv3)
        entries.append(
            Entry(
                source, latency_ms, foreign_of(source, key, what), spec_of_key, rounds=rounds, reason=reason, what=what
            )
        )
    return entries, ignored


def _text(value: object) -> str:
    return value if isinstance(value, str) else "a record"


def key_of(spec: OpSpec) -> str:
    """The key of an operator: Once-for-All's key for its block, else `latlas_`, the kind and all fields that are not usual."""
    place = f"input:{spec.height}x{spec.width}x{spec.in_channels}"
    place += f"-output:{'x'.join(map(str, spec.output_size))}x{spec.out_channels}"
    skips = int(spec.stride == 1 and spec.in_channels == spec.out_channels)
    hs = {"relu": 0, "hswish": 1}.get(spec.activation)
    se = int(spec.squeeze_channels > 0)
    key = f"expanded_conv-{place}-expand:{spec.hidden_channels}-kernel:{spec.kernel_size}-stride:{spec.stride}"
    key += f"-idskip:{skips}-se:{se}-hs:{hs}"
    parts = parse_key(key)
    if spec.kind == "mbconv" and parts is not None and operator_of(parts, None, True) == spec:
        return key
    numbers = [
        ("kernel", spec.kernel_size, 1),
        ("stride", spec.stride, 1),
        ("hidden", spec.hidden_channels, 0),
        ("squeeze", spec.squeeze_channels, 0),
        ("dilation", spec.dilation, 1),
        ("scale", spec.scale, 1),
    ]
    tail = "".join(f"-{name}:{value}" for name, value, usual in numbers if value != usual)
    tail += f"-act:{spec.activation}" if spec.activation != "none" else ""
    return f"latlas_{spec.kind}-{place}{tail}" + (f"-label:{spec.label}" if spec.label else "")


def keys_of(rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    """Each row with its key; a row keeps its name in the file that it was imported from, if no other row has that name."""
    rows = list(rows)
    names = Counter(row.source for row in rows)
    for row in rows:
        yield (row.source if row.source and names[row.source] == 1 else key_of(row.spec)), row


def write_ofa(rows: Iterable[tuple[Row, float]]) -> str:
    """The YAML text of rows and their milliseconds; `spec` beside the mean is the whole operator."""
    import yaml

    values = {row.spec: value for row, value in rows}
    records: dict[str, dict[str, Any]] = {}
    for key, row in keys_of(row for row, _ in rows):
        if key in records:
            raise UsageError(f"two operators would be called {called(key)}")
        count = {"count": row.rounds} if row.rounds else {}
        records[key] = {"mean": values[row.spec], **count, "spec": short_record(row.spec)}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(
        yaml.dump(records, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6)
    )


def _reader(proxyless: bool) -> Callable[[str, Path, ImportOptions], Contents]:
    def read(text: str, path: Path, options: ImportOptions) -> Contents:
        options.require_unset("latency_column")
        if _is_json(text):
            text = text.replace("\t", " ")  # YAML takes no tabs
        entries, ignored = read_ofa(text, path, options.unit or "ms", options.activation, proxyless)
        return Contents(rows_of(entries, path, options.skip_bad), ignored)

    return read


def _recognises(text: str) -> bool:
    first = text.partition("\n")[0]
    return ("-input:" in first and first.rstrip().endswith(":")) or _is_json(text)


_JSON_KEY = re.compile(r'\s*\{\s*"[^"\n]{1,300}-input:')


def _is_json(text: str) -> bool:
    """Whether a text is such a table as JSON, which is also YAML apart from blanks."""
    return bool(_JSON_KEY.match(text))


OFA = TableFormat(
    "ofa",
    _reader(proxyless=False),
    write=lambda table, pairs: write_ofa(pairs),
    endings=(".yaml", ".yml"),
    recognises=_recognises,
    surely=_is_json,
)
PROXYLESS = TableFormat("proxyless", _reader(proxyless=True))
