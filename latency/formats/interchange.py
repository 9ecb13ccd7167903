"""Latency tables of other projects into ours, and ours into theirs.

An imported table is marked as such, row by row, keeps each entry's name, and says of its environment only what it was told:
the rest is unknown, so that it merges with no other table and no predictor takes it for a measurement of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.csv_table import is_ours, read_others, read_own, records_of, write_csv
from latlas.latency.formats.entry import UNITS, Entry, rows_of
from latlas.latency.formats.fbnet import read_fbnet, write_fbnet
from latlas.latency.formats.ofa import ACTIVATIONS, operator_of, parse_key, read_ofa, write_ofa
from latlas.latency.machine.environment import UNKNOWN, told_environment
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN

FORMATS = ("ofa", "proxyless", "fbnet", "csv")
EXPORTS = ("ofa", "fbnet", "csv")
VALUES = {"isolated": "latency_ms", "boundary": "boundary_ms", "in-network": "in_network_ms"}
"""What may be exported, and the field of a row that it is."""
MAX_TEXT_BYTES = 32 * 2**20

_ENDINGS = {".yaml": "ofa", ".yml": "ofa", ".json": "fbnet", ".jsonl": "fbnet", ".ndjson": "fbnet", ".csv": "csv"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the user says of a file that it does not say itself; None for nothing.

    `activation` is that of keys which say none (`ofa_format.ACTIVATIONS`), `column` the one of the latencies.
    """

    cpu_model: str | None = None
    threads: int | None = None
    precision: str | None = None
    batch: int | None = None
    space: str | None = None
    unit: str | None = None
    source: str = ""
    column: str | None = None
    activation: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("unit", tuple(UNITS)), ("activation", ACTIVATIONS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise UsageError(f"--{name} is {one_line(value, 60)}; it must be one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Imported:
    """A table read of another project's file, of which format, and the fields of the file that it does not keep."""

    table: Table
    format: str
    ignored: tuple[str, ...]

    @property
    def foreign(self) -> int:
        """How many rows are none of our operators."""
        return sum(row.spec.kind == FOREIGN for row in self.table)

    @property
    def undecided(self) -> int:
        """How many are foreign only as nothing says their activation (`Told.activation`)."""
        keys = (parse_key(row.source) for row in self.table if row.spec.kind == FOREIGN)
        return sum(key is not None and operator_of(key, "relu", False) is not None for key in keys)


def import_table(path: Path, format_name: str | None, told: Told, command: str = "") -> Imported:
    """The table of another project's file, or of a CSV that we wrote; every entry is a row.

    Raises:
        UsageError: there is no such file, or its format, unit or column of latencies is not said.
        FileFormatError: the file is broken or hostile, or says an impossible thing.
    """
    content = _read_bytes(path)
    text = _decoded(content, path)
    format_name = format_name or guess_format(path, text)
    ignored: set[str] = set()
    devices: set[str] = set()
    entries: list[Entry]
    if format_name == "fbnet":
        _require_untold(told, "activation")
        entries, ignored, devices = read_fbnet(text, path, told.unit, told.column)
    elif format_name in ("ofa", "proxyless"):
        _require_untold(told, "column")
        entries, ignored = read_ofa(text, path, told.unit or "ms", told.activation, format_name == "proxyless")
    elif format_name == "csv":
        header, records = records_of(text, path)
        if is_ours(header):
            return _own(path, header, records, told, content, command)
        entries, ignored = read_others(header, records, path, told.unit, told.column, told.activation)
    else:
        raise UsageError(f"--format is {one_line(format_name, 60)}; it must be one of {', '.join(FORMATS)}")
    rows = rows_of(entries, path)
    return _imported(path, rows, told, format_name, content, ignored, devices, command)


def guess_format(path: Path, text: str) -> str:
    """The format of a file by its ending, else by how its text begins; raises `UsageError` where neither says it."""
    ending, head = path.suffix.lower(), text[:4096].lstrip()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    first = head.partition("\n")[0]
    if head.startswith(("{", "[")):
        return "fbnet"
    if "-input:" in first and first.rstrip().endswith(":"):
        return "ofa"
    if "," in first and ":" not in first:
        return "csv"
    raise UsageError(f"what format is {path}? Say --format {', '.join(FORMATS)}")


def _own(
    path: Path, header: list[str], records: list[tuple[str, dict[str, str]]], told: Told, content: bytes, command: str
) -> Imported:
    rows, manifest = read_own(records, path)
    _require_untold(told, "unit", "column", "activation")
    if manifest is None:
        # Row says what of our own columns is wrong with the file; a table says it of rows together.
        return _imported(path, rows, told, "csv", content, set(), set(), command)
    _require_untold(told, "cpu_model", "threads", "precision", "batch", "space", "source")
    return Imported(_table(rows, manifest, path), "csv", ())


def _require_untold(told: Told, *names: str) -> None:
    for name in names:
        if getattr(told, name):
            option = {"column": "latency-column"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option} has no place here: a file of this format says that itself")


def _imported(
    path: Path,
    rows: list[Row],
    told: Told,
    format_name: str,
    content: bytes,
    ignored: set[str],
    devices: set[str],
    command: str,
) -> Imported:
    device = devices.pop() if len(devices) == 1 else UNKNOWN
    environment = told_environment(
        cpu_model=told.cpu_model or device, threads=told.threads, precision=told.precision or UNKNOWN, batch=told.batch
    )
    said = [f"{path.name}, {format_name}, sha256 {hashlib.sha256(content).hexdigest()}", told.source]
    if told.activation:
        said.append(f"keys without an activation taken as {told.activation}")
    manifest = Manifest(
        environment=environment,
        reference=UNKNOWN,
        space=told.space or UNKNOWN,
        command=command,
        seed=None,
        origin="imported",
        source="; ".join(filter(None, said)),
    )
    names = tuple(sorted(one_line(name, 60) for name in ignored))
    return Imported(_table(rows, manifest, path), format_name, names)


def _table(rows: list[Row], manifest: Manifest, path: Path) -> Table:
    try:
        return Table(tuple(rows), manifest)
    except UsageError as error:
        raise FileFormatError(f"{path}: {one_line(str(error), 300)}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if len(content) > MAX_TEXT_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_TEXT_BYTES} bytes; that is no latency table")
    return content


def _decoded(content: bytes, path: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not text in UTF-8: byte {error.start} is wrong; convert it") from None
    if "\0" in text:
        raise FileFormatError(f"{path} is not text: it has a zero byte")
    return text


def export_table(table: Table, format_name: str, value: str = "isolated") -> tuple[str, list[str]]:
    """The text of a table in another project's format, and the rows left out of it, each with the reason.

    What has no such latency, or a latency of 0, which no table of theirs or ours may hold, is left out. CSV is all of the table.

    Raises `UsageError` for an unknown format or value, and where nothing would be left.
    """
    if format_name not in EXPORTS:
        raise UsageError(f"--format is {one_line(format_name, 60)}; it must be one of {', '.join(EXPORTS)}")
    if value not in VALUES:
        raise UsageError(f"--value is {one_line(value, 60)}; it must be one of {', '.join(VALUES)}")
    if format_name == "csv":
        if value != "isolated":
            raise UsageError(f"--value is {value}; CSV has every latency of a row, so leave it out")
        return write_csv(table, table.manifest), []
    pairs: list[tuple[Row, float]] = []
    left_out = []
    for row in table:
        latency = getattr(row, VALUES[value])
        if latency:
            pairs.append((row, latency))
        else:
            left_out.append(f"{row.spec}: {_why_not(row, latency, value)}")
    if not pairs:
        raise UsageError(f"table {table.name} has no {value} latency to export")
    if format_name == "ofa":
        return write_ofa(pairs), left_out
    environment = table.manifest.environment
    return write_fbnet(pairs, environment.batch, environment.cpu_model), left_out


def _why_not(row: Row, latency: float | None, value: str) -> str:
    if row.status == "failed":
        return f"it failed: {row.reason}"
    return f"no {value} latency" if latency is None else f"its {value} latency is 0"
