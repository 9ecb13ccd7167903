"""Imports latency tables of other projects, and exports tables of Latlas to their formats.

Every row of an imported table is marked as imported and keeps the entry's name. The table knows of its environment only what
the user said; the rest is unknown. So it merges only with imported tables of the same description, and no predictor takes it
for a measurement of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.latency.formats.ofa import operator_of, parse_key
from latlas.latency.formats.other_files import looks_like, what_else
from latlas.latency.formats.table_format import (
    FORMATS,
    VALUES,
    Contents,
    ImportOptions,
    TableFormat,
    format_of,
    format_to_write,
)
from latlas.latency.machine.environment import UNKNOWN, told_environment
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.row import Row
from latlas.latency.table.table import Table
from latlas.spaces.operators.spec import FOREIGN

MAX_TEXT_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Imported:
    """A table read from another project's file, with the file's format and the fields that the table does not keep."""

    table: Table
    format: str
    ignored: tuple[str, ...]

    @property
    def foreign(self) -> int:
        """How many rows are no operator of Latlas."""
        return sum(row.spec.kind == FOREIGN for row in self.table)

    @property
    def failed(self) -> list[str]:
        """The entries that failed in the file, one line each."""
        return [f"{row.source or row.spec}: {row.reason}" for row in self.table if row.status == "failed"]

    @property
    def slowest_ms(self) -> float | None:
        """The largest latency in milliseconds; None if no row has one."""
        return max((row.latency_ms for row in self.table if row.latency_ms is not None), default=None)

    @property
    def undecided(self) -> int:
        """How many rows are foreign only because nothing says their activation (`ImportOptions.activation`)."""
        keys = (parse_key(row.source) for row in self.table if row.spec.kind == FOREIGN)
        return sum(key is not None and operator_of(key, "relu", False) is not None for key in keys)

    def to_record(self) -> dict[str, Any]:
        """The format, the table's origin and counts, what failed, and what is unknown or was not kept."""
        manifest = self.table.manifest
        return {
            "format": self.format,
            "origin": manifest.origin,
            "entries": len(self.table),
            "foreign": self.foreign,
            "failed": self.failed,
            "unknown": list(manifest.environment.unknown),
            "ignored": list(self.ignored),
            "source": manifest.source,
        }


def import_table(path: Path, format_name: str | None, options: ImportOptions, command: str = "") -> Imported:
    """The table of another project's file, or of a CSV that Latlas wrote; every entry becomes a row.

    Raises:
        UsageError: there is no such file, or its format, unit or column of latencies is not said.
        FileFormatError: the file is broken or hostile, or has impossible values.
    """
    content = _read_bytes(path)
    if found := what_else(content):
        raise FileFormatError(f"{path}: {found}")
    text = _decoded(content, path)
    if found := looks_like(text):
        raise FileFormatError(f"{path}: {found}")
    one = format_of(format_name) if format_name else guess_format(path, text)
    if one.read is None:
        raise UsageError(f"--format is {one.name}; Latlas writes it, and does not read it")
    contents = one.read(text, path, options)
    if contents.manifest is not None:
        return Imported(_table(contents.rows, contents.manifest, path), one.name, ())
    return _imported(path, contents, options, one.name, content, command)


def guess_format(path: Path, text: str) -> TableFormat:
    """The format of a file by its ending, else by how its text begins; raises `UsageError` if neither says it."""
    ending, head = path.suffix.lower(), text[:4096].lstrip()
    tells = (lambda one: one.surely(head), lambda one: ending in one.endings, lambda one: one.recognises(head))
    for tell in tells:
        for one in FORMATS.loadable():
            if tell(one):
                return one
    raise UsageError(f"what format is {path}? Say --format {', '.join(_readable())}")


def _readable() -> list[str]:
    return [one.name for one in FORMATS.loadable() if one.read is not None]


def _imported(
    path: Path, contents: Contents, options: ImportOptions, format_name: str, content: bytes, command: str
) -> Imported:
    (device,) = contents.devices if len(contents.devices) == 1 else (UNKNOWN,)
    environment = told_environment(
        cpu_model=options.cpu_model or device,
        threads=options.threads,
        precision=options.precision or UNKNOWN,
        batch=options.batch,
    )
    said = [f"{path.name}, {format_name}, sha256 {hashlib.sha256(content).hexdigest()}", options.source]
    if options.activation:
        said.append(f"keys without an activation taken as {options.activation}")
    manifest = Manifest(
        environment=environment,
        reference=UNKNOWN,
        space=options.space or UNKNOWN,
        command=command,
        seed=None,
        origin="imported",
        source="; ".join(filter(None, said)),
    )
    names = tuple(sorted(one_line(name, 60) for name in contents.ignored))
    return Imported(_table(contents.rows, manifest, path), format_name, names)


def _table(rows: Sequence[Row], manifest: Manifest, path: Path) -> Table:
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
    """The text of a table in another project's format, and the rows that were left out, each with the reason.

    A row without this latency, or with a latency of 0, is left out: no table may hold a 0. CSV keeps the whole table.

    Raises `UsageError` for an unknown format or value, and if nothing would be left.
    """
    one, write = format_to_write(format_name, value)
    if one.whole:
        return write(table, ()), []
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
    return write(table, pairs), left_out


def _why_not(row: Row, latency: float | None, value: str) -> str:
    if row.status == "failed":
        return f"it failed: {row.reason}"
    return f"no {value} latency" if latency is None else f"its {value} latency is 0"
