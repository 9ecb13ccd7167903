"""The entry of a table in an index, as JSON and as a line of Markdown.

An entry follows from the table's bytes alone. So whoever has a file can make its entry anew, and check the entry that came
with it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import check_timestamp, from_record, one_line, parse_json
from latlas.latency.sharing.names import check_table_path, manifest_path
from latlas.latency.table.manifest import SCHEMA_VERSION
from latlas.latency.table.parquet import MAX_FILE_BYTES, MAX_ROWS, read_bytes, read_rows
from latlas.latency.table.row import ORIGINS
from latlas.latency.table.table import Table

INDEX_NAME = "index.json"
INDEX_VERSION = 1
MAX_ENTRIES = 10_000
MAX_INDEX_BYTES = 32 * 2**20
MAX_ENTRY_BYTES = 64 * 2**10
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A table as an index lists it.

    `path` is relative to the index. `sha256` and `size_bytes` describe the file; `rows_sha256` and `schema_version` are stated in
    the file. `entries` counts all rows, with the `noisy` and `failed` ones. The other fields come from the manifest.
    """

    path: str
    sha256: str
    size_bytes: int
    rows_sha256: str
    device: str
    cpu_model: str
    space: str
    precision: str
    threads: int | None
    batch: int | None
    openvino_version: str
    reference_id: str
    entries: int
    noisy: int
    failed: int
    noise_floor: float | None
    origin: str
    created_at: str
    schema_version: int

    def __post_init__(self) -> None:
        what = "index entry"
        check_table_path(self.path, what)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and (not value or value != one_line(value, 4000)):
                raise UsageError(f"{what}: {field.name} is {one_line(repr(value), 80)}; it must be a line, not empty")
        for name in ("sha256", "rows_sha256"):
            if not _SHA256.fullmatch(getattr(self, name)):
                raise UsageError(f"{what}: {name} is {one_line(getattr(self, name), 80)!r}; it must be 64 hex digits")
        limits = {"size_bytes": MAX_FILE_BYTES, "entries": MAX_ROWS, "noisy": MAX_ROWS, "failed": MAX_ROWS}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise UsageError(
                    f"{what}: {name} is {one_line(repr(getattr(self, name)), 40)}; it must be 0 to {limit}"
                )
        if self.noise_floor is not None and not (math.isfinite(self.noise_floor) and self.noise_floor >= 0):
            raise UsageError(f"{what}: noise_floor is {self.noise_floor!r}; it must be finite and at least 0")
        if self.origin not in ORIGINS:
            raise UsageError(f"{what}: origin is {one_line(repr(self.origin), 40)}; known: {', '.join(ORIGINS)}")
        check_timestamp(f"{what}: created_at", self.created_at)

    def to_record(self) -> dict[str, object]:
        """Every field by name; `IndexEntry.from_record` reads it back."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: object, what: str = "index entry") -> IndexEntry:
        """The entry of a record; raises `FileFormatError` for unknown, missing, mistyped or impossible fields."""
        version = record.get("schema_version") if isinstance(record, dict) else None
        if type(version) is int and version > SCHEMA_VERSION:  # it may have fields that are not known here
            raise FileFormatError(f"{what}: schema_version is {version}; this Latlas reads up to {SCHEMA_VERSION}")
        return from_record(cls, record, what)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table with the bytes of its file and its entry, all from reading the file once."""

    table: Table
    content: bytes
    entry: IndexEntry


def load(path: Path | str, content: bytes | None = None) -> Loaded:
    """The table of a file, fully checked, with its bytes and its entry. If the bytes were read already, they are `content`, and
    the path or URL is only their name.

    Raises as `Table.read` does.
    """
    name, path = str(path), Path(path)
    from_disk = content is None
    content = read_bytes(path) if content is None else content
    try:
        rows, manifest = read_rows(path, content)
    except FileFormatError as error:  # a Path makes one slash of a URL's two
        raise FileFormatError(str(error).replace(str(path), name, 1)) from None
    table = Table(tuple(rows), manifest, path if from_disk else None)
    its = manifest.environment
    entry = IndexEntry(
        path=str(manifest_path(manifest)),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        rows_sha256=manifest.rows_sha256,
        device=manifest_path(manifest).parent.name,
        cpu_model=its.cpu_model,
        space=manifest.space,
        precision=its.precision,
        threads=its.threads,
        batch=its.batch,
        openvino_version=its.openvino_version,
        reference_id=its.reference_id,
        entries=len(table),
        noisy=table.count("noisy"),
        failed=table.count("failed"),
        noise_floor=manifest.noise_floor,
        origin=manifest.origin,
        created_at=manifest.created_at,
        schema_version=manifest.schema_version,
    )
    return Loaded(table, content, entry)


def require_described(loaded: Loaded, entry: IndexEntry, what: str) -> None:
    """Raises `FileFormatError` if a table differs from its entry in an index; the message names each field."""
    found, said = loaded.entry.to_record(), entry.to_record()
    wrong = [
        f"{name} is {one_line(repr(found[name]), 80)}, the index says {one_line(repr(said[name]), 80)}"
        for name in found
        if found[name] != said[name]
    ]
    if wrong:
        raise FileFormatError(f"{what} is not the table of its entry: {'; '.join(wrong[:4])}")


def format_index(entries: Iterable[IndexEntry]) -> str:
    """The JSON text of an index: one line for each entry, sorted by path; the same tables give the same text."""
    from json import dumps

    lines = [
        f"  {dumps(entry.to_record(), allow_nan=False)}" for entry in sorted(entries, key=lambda entry: entry.path)
    ]
    body = "\n" + ",\n".join(lines) + "\n " if lines else ""
    return f'{{\n "index_version": {INDEX_VERSION},\n "tables": [{body}]\n}}\n'


def parse_index(text: str | bytes, what: str) -> list[IndexEntry]:
    """The entries in the text of an index; raises `FileFormatError` if it is broken, hostile or of another version."""
    record = parse_json(text, what)
    version = record.get("index_version") if isinstance(record, dict) else None
    if type(version) is not int or version != INDEX_VERSION:
        raise FileFormatError(
            f"{what}: index_version is {one_line(repr(version), 80)}; this Latlas reads {INDEX_VERSION}"
        )
    tables = record.get("tables")
    if not isinstance(tables, list) or len(tables) > MAX_ENTRIES or set(record) != {"index_version", "tables"}:
        raise FileFormatError(f"{what}: it must hold index_version and at most {MAX_ENTRIES} tables, nothing else")
    entries = [IndexEntry.from_record(one, f"{what}, table {number}") for number, one in enumerate(tables)]
    if len({entry.path for entry in entries}) < len(entries):
        raise FileFormatError(f"{what}: two entries are of one path")
    return entries


BEGIN = "<!-- begin of the list of tables: written by `latlas tables publish`, do not edit -->"
END = "<!-- end of the list of tables -->"
_HEAD = (
    "| table | CPU | space | precision | threads | batch | operators | noise floor | OpenVINO | measured | rows' sha256 |\n"
    "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- | --- |"
)


def format_section(entries: Sequence[IndexEntry]) -> str:
    """The list of tables in Markdown, between its markers: one line for each table, sorted by path. Widths are not padded, so a
    new or changed table changes one line."""
    lines = [_line(entry) for entry in sorted(entries, key=lambda entry: entry.path)]
    body = "\n".join([_HEAD, *lines]) if lines else "No table is published yet."
    return f"{BEGIN}\n\n{body}\n\n{END}"


def _line(entry: IndexEntry) -> str:
    odd = [f"{count} {name}" for name, count in (("noisy", entry.noisy), ("failed", entry.failed)) if count]
    cells = (
        f"[{_cell(entry.path.rpartition('/')[2])}]({entry.path})",  # the form of a path needs no escapes in a link
        _cell(entry.cpu_model),
        _cell(entry.space),
        _cell(entry.precision),
        "?" if entry.threads is None else str(entry.threads),
        "?" if entry.batch is None else str(entry.batch),
        f"{entry.entries}" + (f" ({', '.join(odd)})" if odd else ""),
        "?" if entry.noise_floor is None else f"{100 * entry.noise_floor:.2f} %",
        _cell(entry.openvino_version),
        entry.created_at[:10] if entry.origin == "measured" else f"{entry.origin} {entry.created_at[:10]}",
        f"`{entry.rows_sha256[:12]}`",
    )
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """A text that Markdown shows unchanged in a cell: a stranger's table cannot add markup."""
    return re.sub(r"([\\`*_\[\]|<>~#&$])", r"\\\1", one_line(text, 120))
