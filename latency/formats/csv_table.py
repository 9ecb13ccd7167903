"""Latency tables as CSV: Latlas' own, which lose nothing, and those of others, read by the names of their columns.

Latlas' own CSV has a column for each field of a row; the first row's `manifest` is the manifest as JSON. A text that a
spreadsheet would take for a formula gets an apostrophe before it. Lines are read one at a time, so a field cannot hold a
line break.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.latency.formats.delimited import read_delimited
from latlas.latency.formats.entry import (
    Entry,
    brief,
    foreign_operator,
    latency_in,
    rows_of,
    source_of,
    whole,
)
from latlas.latency.formats.ofa import foreign_of, key_of, operator_of, parse_key, says_activation
from latlas.latency.formats.table_format import Contents, ImportOptions, TableFormat
from latlas.latency.formats.unit import cell_in_unit, unit_in, unit_of
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.row import COUNTS, ESTIMATES, NUMBERS, ROW_FIELDS, Row, rows_checksum
from latlas.spaces.operators.spec import OpSpec

MANIFEST = "manifest"
_TEXTS = ("kind", "activation", "label", "status", "reason", "origin", "source", MANIFEST)
_FORMULA = (*"=+-@＝＋－＠", "'")
_NUMBER = re.compile(r"\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,4})?")
_COUNT = re.compile(r"\d{1,19}")

# The names that others give to a column, in lower case, by its meaning.
_NAMES = {
    "key": ("key", "name", "id"),
    "op": ("op", "op_type", "operator", "kind", "type", "layer"),
    "input": ("input", "input_shape", "in_shape"),
    "output": ("output", "output_shape", "out_shape"),
    "height": ("h", "height", "h_in", "in_height"),
    "width": ("w", "width", "w_in", "in_width"),
    "in": ("c_in", "cin", "in_channels", "in_c"),
    "out": ("c_out", "cout", "out_channels", "out_c"),
    "kernel": ("kernel", "kernel_size", "ks", "k"),
    "stride": ("stride", "s"),
    "dilation": ("dilation", "d"),
    "expand": ("expand", "expansion", "expand_ratio"),
    "idskip": ("idskip", "id_skip"),
    "se": ("se", "use_se"),
    "hs": ("hs", "h_swish"),
}
_LATENCY = re.compile(r"((mean|median|avg|average)_?)?(latency|runtime|time|mean|median)(_(mean|median|avg))?")
_SHAPE = re.compile(r"[\[(]?\s*(\d{1,6})(?:\s*[x×,]\s*(\d{1,6})\s*[x×,]\s*(\d{1,6}))?\s*[\])]?")


def is_ours(header: Iterable[str]) -> bool:
    """Whether Latlas wrote a file with these columns."""
    return set(ROW_FIELDS) <= set(header)


# Ours -----------------------------------------------------------------------------------------------------------------


def write_csv(rows: Iterable[Row], manifest: Manifest) -> str:
    """The CSV text of a table: every field of every row, and the manifest in the first row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*ROW_FIELDS, MANIFEST])
    cell = canonical_json(manifest.to_record())
    if len(cell) > csv.field_size_limit():
        raise UsageError(f"the manifest has {len(cell)} characters; a field of CSV may have {csv.field_size_limit()}")
    for row in rows:
        record = {**row.to_record(), MANIFEST: cell}
        cell = ""
        writer.writerow([_cell(name, record[name]) for name in (*ROW_FIELDS, MANIFEST)])
    return out.getvalue()


def _cell(name: str, value: object) -> str:
    if name in _TEXTS:
        text = str(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return "" if value is None else repr(value)


def read_own(records: Iterable[tuple[str, Mapping[str, str]]], path: object) -> tuple[list[Row], Manifest | None]:
    """The rows of a CSV that Latlas wrote, and their manifest; without a manifest they count as imported.

    Raises `FileFormatError` for impossible rows, and if the manifest belongs to other rows.
    """
    rows, manifests = [], []
    for what, record in records:
        rows.append(Row.from_record({name: _value(name, record[name], what) for name in ROW_FIELDS}, what))
        if record.get(MANIFEST):
            manifests.append(record[MANIFEST])
    if len(manifests) > 1:
        raise FileFormatError(f"{path}: {len(manifests)} rows have a manifest; the first may")
    if not manifests:
        return [replace(row, origin="imported", source=row.source or key_of(row.spec)) for row in rows], None
    manifest = Manifest.from_record(parse_json(manifests[0], f"{path}: the manifest"), f"{path}: manifest")
    checksum = rows_checksum(rows)
    if checksum != manifest.rows_sha256:
        raise FileFormatError(
            f"{path}: the rows are not those of its manifest, their sha256 is {checksum}; without a manifest they are "
            "read as imported ones"
        )
    return rows, manifest


def _value(name: str, cell: str, what: str) -> object:
    if name in _TEXTS:
        return cell[1:] if cell.startswith("'") else cell
    if name in NUMBERS or name in ESTIMATES:
        if not cell:
            return None
        if not _NUMBER.fullmatch(cell):
            raise FileFormatError(f"{what}: {name} is {brief(cell)}; it must be a number of at least 0")
        return float(cell)
    if name in COUNTS and _COUNT.fullmatch(cell):
        return int(cell)
    return whole(cell, f"{what}: {name}")


# Others' --------------------------------------------------------------------------------------------------------------


def read_others(
    header: list[str],
    records: list[tuple[str, dict[str, str]]],
    path: object,
    unit: str | None,
    column: str | None,
    activation: str | None,
) -> tuple[list[Entry], set[str]]:
    """The entries from another project's columns, and the columns that a table does not keep."""
    latency = _latency_column(header, path, column)
    if unit is not None or not all(
        cell_in_unit(record[latency])[1] for _, record in records if record[latency].strip()
    ):
        unit = unit_of(latency, unit)
    columns = _columns(header, latency)
    found = []
    for what, record in records:
        cells = {name: record[column].strip() for name, column in columns.items()}
        number, said = cell_in_unit(record[latency])
        measured = latency_in(number.strip(), said or unit or "ms")
        found.append((what, cells, source_of(cells.get("key") or _name(cells), what), measured))
    mobilenetv3 = says_activation(source for _, _, source, _ in found)
    entries = []
    for what, cells, source, (latency_ms, reason) in found:
        key = parse_key(source)
        foreign = _foreign(source, cells, what) if key is None else foreign_of(source, key, what)
        spec = None if key is None else operator_of(key, activation, mobilenetv3)
        entries.append(Entry(source, latency_ms, foreign, spec, reason=reason, what=what))
    ignored = set(header) - {latency, *columns.values()}
    return entries, {name for name in ignored if any(record[name] for _, record in records)}


def _latency_column(header: list[str], path: object, given: str | None) -> str:
    found = [name for name in header if _is_latency(name)] if given is None else [given]
    if len(found) == 1 and found[0] in header:
        return found[0]
    which = "no column" if not found else f"columns {', '.join(found)}" if given is None else f"no column {given}"
    raise UsageError(
        f"{path} has {one_line(which, 200)} of latencies; choose with --latency-column among {one_line(', '.join(header), 300)}"
    )


def _is_latency(name: str) -> bool:
    """Whether a column has a latency's name, with the unit in any form: `latency_us`, `Latency (ms)`."""
    bare = name.lower()
    if unit_in(name) is not None:
        bare = re.sub(r"[\W_]*[a-zµμ]+[\W_]*$", "", bare)
    return bool(_LATENCY.fullmatch(bare))


def _columns(header: list[str], latency: str) -> dict[str, str]:
    by_name = {name.lower(): name for name in header if name != latency}
    found = {what: [by_name[name] for name in names if name in by_name] for what, names in _NAMES.items()}
    return {what: names[0] for what, names in found.items() if names}


def _name(cells: Mapping[str, str]) -> str:
    """The name of an entry without a key: Once-for-All's key if both shapes are there, else the cells in order."""
    shapes = [_shape(cells.get(name, "")) for name in ("input", "output")]
    if all(shapes):
        texts = ["x".join(map(str, shape)) for shape in shapes if shape]
        numbers = ("expand", "kernel", "stride", "idskip", "se", "hs")
        tail = [f"{name}:{cells[name]}" for name in numbers if cells.get(name)]
        return "-".join([cells.get("op") or "operator", f"input:{texts[0]}", f"output:{texts[1]}", *tail])
    return "_".join(
        [cells.get("op") or "operator", *(f"{name}{text}" for name, text in cells.items() if text and name != "op")]
    )


def _shape(text: str) -> tuple[int, int, int] | None:
    """Height, width and channels of the text `HxWxC`, or of channels alone."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    first, *rest = (int(part) for part in match.groups() if part is not None)
    return (first, rest[0], rest[1]) if rest else (1, 1, first)


def _foreign(source: str, cells: Mapping[str, str], what: str) -> OpSpec:
    given, result = _shape(cells.get("input", "")), _shape(cells.get("output", ""))
    sizes: dict[str, int] = {}
    if given is not None:
        sizes = {"height": given[0], "width": given[1], "in": given[2]}
    sizes |= {"out": result[2]} if result is not None else {}
    sizes |= {
        name: whole(cells[name], f"{what}: {name}") for name in ("height", "width", "in", "out") if cells.get(name)
    }
    missing = [name for name in ("height", "width", "in", "out") if name not in sizes]
    if missing:
        raise FileFormatError(
            f"{what} does not say its {' and '.join(missing)}; columns are input and output (HxWxC), or H, W, C_in and C_out"
        )
    names = {"stride": "stride", "kernel_size": "kernel", "dilation": "dilation"}
    known = {ours: whole(cells[name], f"{what}: {name}") for ours, name in names.items() if cells.get(name)}
    place = {
        "height": sizes["height"],
        "width": sizes["width"],
        "in_channels": sizes["in"],
        "out_channels": sizes["out"],
    }
    return foreign_operator(source, what, **place, **known)


def _read(text: str, path: Path, options: ImportOptions) -> Contents:
    read = read_delimited(text, path).require_whole(path)
    if not is_ours(read.header):
        read = read.with_points()
    header, records = read.header, read.records
    if not is_ours(header):
        entries, ignored = read_others(header, records, path, options.unit, options.latency_column, options.activation)
        return Contents(rows_of(entries, path, options.skip_bad), ignored)
    rows, manifest = read_own(records, path)
    options.require_unset("unit", "latency_column", "activation")
    if manifest is not None:
        options.require_unset("cpu_model", "threads", "precision", "batch", "space", "source")
    return Contents(rows, manifest=manifest)


def _recognises(text: str) -> bool:
    first = text.partition("\n")[0]
    return "," in first and ":" not in first


CSV = TableFormat(
    "csv",
    _read,
    lambda table, pairs: write_csv(table, table.manifest),
    endings=(".csv",),
    recognises=_recognises,
    whole=True,
)
