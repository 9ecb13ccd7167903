"""Writes and reads the Parquet file of a latency table, and believes nothing in a file that it reads.

A file may come from a stranger. Its size, the sizes it claims, its schema and its manifest are checked before its rows
are built, so that a small hostile file neither runs code nor fills the memory. `benchmarks/fuzz_tables.py` tests this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.files.write import whole_file
from latlas.latency.machine.environment import KEY_FIELDS, Environment
from latlas.latency.table.manifest import Manifest
from latlas.latency.table.parquet_guard import MAX_ROWS, check_parquet
from latlas.latency.table.place import no_table
from latlas.latency.table.row import COUNTS, ESTIMATES, NUMBERS, ROW_FIELDS, Row, rows_checksum
from latlas.spaces.operators.spec import OpSpec

__all__ = ["CHECKSUM_KEY", "COLUMNS", "MAX_ROWS", "METADATA_KEY", "read_rows", "to_arrow", "write_rows"]

METADATA_KEY = b"latlas"
CHECKSUM_KEY = b"latlas_sha256"
"""The metadata key of the SHA-256 of the manifest's text."""
MAX_FILE_BYTES = 64 * 2**20
MAX_MANIFEST_BYTES = 2**20
MAX_TEXT_BYTES = 16 * 2**10

# pyarrow raises these on broken files; its ArrowInvalid is a ValueError, its ArrowMemoryError a MemoryError.
_BROKEN = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


def _column_types() -> dict[str, pa.DataType]:
    text = {"kind", "activation", "status", "reason", "cpu_model", "cpu_flags", "precision", "openvino_version"}
    text |= {"reference_id", "label", "origin", "source"}
    types = {name: pa.float64() for name in (*NUMBERS, *ESTIMATES)} | {name: pa.int64() for name in COUNTS}
    columns = (*ROW_FIELDS, *KEY_FIELDS)
    return {name: pa.string() if name in text else types.get(name, pa.int64()) for name in columns}


COLUMNS: dict[str, pa.DataType] = _column_types()
_TEXT_COLUMNS = frozenset(name for name, kind in COLUMNS.items() if kind == pa.string())


def to_arrow(rows: Sequence[Row], manifest: Manifest) -> pa.Table:
    """The rows as an Arrow table with the `COLUMNS` of the file; each row has the key fields of the environment."""
    key = manifest.environment.key()
    return pa.Table.from_pylist([{**row.to_record(), **key} for row in rows], schema=pa.schema(list(COLUMNS.items())))


def write_rows(path: Path, rows: Sequence[Row], manifest: Manifest, overwrite: bool = False) -> None:
    """Write the rows and their manifest as one Parquet file, whole or not at all.

    Raises as `files.write.whole_file` does.
    """
    text = canonical_json(manifest.to_record()).encode()
    metadata = {METADATA_KEY: text, CHECKSUM_KEY: hashlib.sha256(text).hexdigest().encode()}
    table = to_arrow(rows, manifest)
    # Without Arrow's own copy of the schema, the file has one schema, and a reader need not trust a second.
    options = {"compression": "zstd", "store_schema": False, "write_page_checksum": True}
    with (
        whole_file(path, overwrite) as draft,
        draft.open("wb") as file,
        pq.ParquetWriter(file, table.schema, **options) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)


def read_rows(path: Path, content: bytes | None = None) -> tuple[list[Row], Manifest]:
    """The rows and the manifest of a table's file, all checked; `content` are its bytes if they were read already.

    Raises `UsageError` if the file is missing or cannot be read. Raises `FileFormatError` for anything that is not a whole and
    consistent table of this schema; its one line names the file, what is wrong and the value.
    """
    content = read_bytes(path) if content is None else content
    try:
        check_parquet(content)
        file = _opened(content)
        manifest = _read_manifest(path, file.metadata.metadata or {})
        columns = (*ROW_FIELDS, *KEY_FIELDS)
        _check_columns(path, file.schema_arrow, columns)
        # With text as dictionaries, a long text that a hundred thousand rows repeat is stored only once.
        table = _opened(content, [name for name in columns if name in _TEXT_COLUMNS]).read(use_threads=False)
        values = _values(path, table, columns)
    except FileFormatError:
        raise
    except _BROKEN as error:
        problem = one_line(str(error), 200) or type(error).__name__
        raise FileFormatError(f"{path} is not a readable Parquet file: {problem}") from None
    rows = list(_rows(path, values, manifest.environment))
    checksum = rows_checksum(rows)
    if checksum != manifest.rows_sha256:
        claimed = one_line(repr(manifest.rows_sha256), 80)
        raise FileFormatError(f"{path}: the rows were changed: their sha256 is {checksum}, the manifest says {claimed}")
    return rows, manifest


def _opened(content: bytes, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
    # The limits keep a hostile footer from asking for gigabytes.
    return pq.ParquetFile(
        pa.BufferReader(content),
        read_dictionary=list(dictionaries),
        thrift_string_size_limit=4 * MAX_MANIFEST_BYTES,
        thrift_container_size_limit=MAX_ROWS,
        page_checksum_verification=True,
    )


def read_bytes(path: Path) -> bytes:
    """The bytes of a table's file; raises `UsageError` if there is none, `FileFormatError` if it is too large for a table."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise no_table(path) from None
    except OSError as error:
        raise UsageError(f"cannot read the table {path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_FILE_BYTES} bytes; that is no latency table")
    return content


def _read_manifest(path: Path, metadata: dict[bytes, bytes]) -> Manifest:
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise FileFormatError(f"{path} is a Parquet file without a manifest of Latlas; it is no latency table")
    if len(text) > MAX_MANIFEST_BYTES:
        raise FileFormatError(f"{path}: the manifest has {len(text)} bytes; at most {MAX_MANIFEST_BYTES} are read")
    unknown = sorted(metadata.keys() - {METADATA_KEY, CHECKSUM_KEY})
    if unknown:  # a key of ours with a flipped bit would be a checksum that nobody checks
        names = one_line(", ".join(name.decode("utf-8", "replace") for name in unknown), 200)
        raise FileFormatError(
            f"{path}: unknown metadata: {names}; a table has {METADATA_KEY.decode()} and its checksum"
        )
    if metadata.get(CHECKSUM_KEY, sha := hashlib.sha256(text).hexdigest().encode()) != sha:
        raise FileFormatError(f"{path}: the manifest was changed: it has not the sha256 that the file says")
    return Manifest.from_record(parse_json(text, f"{path}: the manifest"), f"{path}: manifest")


def _check_columns(path: Path, schema: pa.Schema, columns: Sequence[str]) -> None:
    names = list(schema.names)
    problems = {
        "missing columns": [name for name in columns if name not in names],
        "unknown columns": [name for name in names if name not in columns],
        "columns given twice": sorted({name for name in names if names.count(name) > 1}),
    }
    for problem, wrong in problems.items():
        if wrong:
            raise FileFormatError(f"{path}: {problem}: {one_line(', '.join(wrong), 300)}")
    for name in columns:
        wanted, found = COLUMNS[name], schema.field(name).type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if found != wanted:
            raise FileFormatError(f"{path}: column {name} is of type {one_line(str(found), 80)}; it must be {wanted}")


def _values(path: Path, table: pa.Table, names: Sequence[str]) -> dict[str, list[Any]]:
    """The columns as plain values; the length of each text is checked before rows repeat it."""
    columns: dict[str, list[Any]] = {}
    for name in names:
        values: list[Any] = []
        for chunk in table.column(name).chunks:
            chunk.validate(full=True)
            if isinstance(chunk, pa.DictionaryArray):
                texts = chunk.dictionary
                if texts.nbytes > MAX_FILE_BYTES or any(text.as_buffer().size > MAX_TEXT_BYTES for text in texts):
                    raise FileFormatError(f"{path}: column {name} has a text of more than {MAX_TEXT_BYTES} bytes")
                shared = texts.to_pylist()
                values += [None if index is None else shared[index] for index in chunk.indices.to_pylist()]
            else:
                values += chunk.to_pylist()
        columns[name] = values
    return columns


def _rows(path: Path, columns: dict[str, list[Any]], environment: Environment) -> Iterator[Row]:
    """The rows one by one, so that reading stops at the first repeated operator."""
    key, seen = environment.key(), dict[OpSpec, int]()
    for number, values in enumerate(zip(*columns.values(), strict=True)):
        record = dict(zip(columns, values, strict=True))
        for name, value in key.items():
            if record[name] != value:
                raise FileFormatError(
                    f"{path}, row {number}: {name} is {one_line(repr(record[name]), 80)}; the manifest says {value!r}"
                )
        row = Row.from_record({name: record[name] for name in ROW_FIELDS}, f"{path}, row {number}")
        if row.spec in seen:
            raise FileFormatError(f"{path}: rows {seen[row.spec]} and {number} are of one operator, {row.spec}")
        seen[row.spec] = number
        yield row
