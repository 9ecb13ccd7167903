"""The journal of a run: finished work, one JSON object in each line, so that a killed run loses nothing.

The first line is the header: the run's settings. A run goes on from a journal only if its own header agrees.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from latlas.errors import EnvironmentMismatchError, FileFormatError, LatlasError, StorageError, UsageError
from latlas.files.records import canonical_json, one_line, parse_json
from latlas.files.write import cannot_write

# Version 1 (0.1.0): {"latlas_journal": 1, "header": {...}}, then one object for each finished pass, which consists of rounds.
# Version 2 (0.2.0): a pass consists of samples of the reference and of the network.
JOURNAL_VERSION = 2
MAX_BYTES = 256 * 2**20
_MAGIC = b'{"latlas_journal":'

Record = dict[str, Any]


class Journal:
    """An append-only file of finished records that outlives the process, `kill -9` included.

    The constructor makes the file or goes on with it: `records` are the records of earlier runs with the same header. A last
    line that was cut off while it was written is dropped. Any other line that is no record is an error.

    Args:
        path: The file; it is made if it does not exist.
        header: Everything that must be equal for a run to go on: environment key, settings; JSON values.
        begin_again: How to begin again, for the message if the header differs.
        replaces: The run began anew with `--force`, and replaces the existing result at its end. The journal stores this, so the
            run goes on without `--force`. For an existing journal the attribute `replaces` is the stored value.
        option_of: The option, such as `--seed`, of a field of the header, which is given as a dotted name; "" for none.

    Raises:
        EnvironmentMismatchError: The file was begun with another header; the message names the field and both values.
        FileFormatError: The file is no journal, or is broken before its last line.
        UsageError: The file cannot be made or written, or the header is not JSON.
        StorageError: The disk is full.
        LatlasError: Another process has the journal open.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.journal"
        >>> with Journal(path, {"precision": "f32"}) as journal:
        ...     journal.append({"operator": "skip", "latency_ms": 0.1})
        >>> with Journal(path, {"precision": "f32"}) as journal:
        ...     journal.records
        [{'latency_ms': 0.1, 'operator': 'skip'}]
    """

    def __init__(
        self,
        path: Path | str,
        header: Mapping[str, object],
        begin_again: str = "or delete the file to begin again",
        option_of: Callable[[str], str] = lambda name: "",
        replaces: bool = False,
    ) -> None:
        self.path = Path(path)
        self.replaces = replaces
        self._option_of = option_of
        self._begin_again = begin_again
        try:
            first = canonical_json(header)
        except (TypeError, ValueError) as error:
            raise UsageError(f"journal {self.path}: the header is not JSON: {error}") from None
        self._header: Record = parse_json(first, "header")
        self._descriptor = -1
        self._open()
        try:
            self.records, self._end = self._read()
            if self._end == 0:
                self._truncate(0)
                try:
                    mark = ',"replaces":true' if replaces else ""
                    self._write(_MAGIC + f'{JOURNAL_VERSION},"header":{first}{mark}}}\n'.encode())
                except StorageError:
                    self.path.unlink(missing_ok=True)  # it holds nothing
                    raise
        except BaseException:
            self.close()
            raise

    def append(self, record: Mapping[str, object]) -> None:
        """Add one finished record; it is on the disk when this returns.

        It is not kept in memory: `records` holds only records of earlier runs, `reread` gives all. Raises `UsageError` if the
        record is not JSON (NaN is not) and `StorageError` if the disk is full; the journal is then unchanged.
        """
        try:
            line = canonical_json(record)
        except (TypeError, ValueError) as error:
            raise UsageError(f"journal {self.path}: a record is not JSON: {error}") from None
        self._write(line.encode() + b"\n")

    def reread(self) -> list[Record]:
        """All records on the disk, with the records of this run."""
        return self._read()[0]

    def finish(self) -> None:
        """Delete the journal, as the result now holds its records."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file and keep it, so that a later run goes on from it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Open the file and lock it; try again if the run that held it has deleted it meanwhile."""
        linked = False
        while not linked:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            except OSError as error:
                raise cannot_write(f"the journal {self.path}", error) from error
            try:
                _lock(self._descriptor, self.path)
                linked = os.fstat(self._descriptor).st_nlink > 0
            finally:
                if not linked:
                    self.close()

    def _read(self) -> tuple[list[Record], int]:
        """The records, and the position where the last whole line ends; 0 for a new file."""
        records: list[Record] = []
        size = os.fstat(self._descriptor).st_size
        if size > MAX_BYTES:
            raise FileFormatError(f"journal {self.path} has {size} bytes; more than {MAX_BYTES} is no journal of ours")
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        with open(self._descriptor, "rb", closefd=False) as file:
            content = file.read()
        end = content.rfind(b"\n") + 1
        if end == 0 and (content.startswith(_MAGIC) or _MAGIC.startswith(content)):
            return records, 0  # new, or killed while the header was written
        lines = content[:end].split(b"\n")[:-1]
        if not lines or not lines[0].startswith(_MAGIC):
            raise FileFormatError(f"{self.path} is not a journal of Latlas; it is left as it is, choose another path")
        for number, line in enumerate(lines, start=1):
            record = parse_json(line, f"journal {self.path}, line {number},")
            if not isinstance(record, dict):
                raise FileFormatError(f"journal {self.path}, line {number}, is no record: {one_line(repr(record), 80)}")
            if number == 1:
                if len(lines) == 1 and self._is_ours(record) and record["header"] != self._header:
                    return [], 0  # nothing was finished, so the run may begin with other settings
                self._check_header(record, self._header)
                self.replaces = record.get("replaces") is True
            else:
                records.append(record)
        if end < len(content):
            self._truncate(end)
        return records, end

    def _is_ours(self, found: Record) -> bool:
        return found.get("latlas_journal") == JOURNAL_VERSION and isinstance(found.get("header"), dict)

    def _check_header(self, found: Record, header: Record) -> None:
        if not self._is_ours(found):
            version = found.get("latlas_journal")
            raise FileFormatError(f"journal {self.path} has version {version!r}; this Latlas reads {JOURNAL_VERSION}")
        before, now = _flat(found["header"]), _flat(header)
        pairs = {name: (before.get(name, "absent"), now.get(name, "absent")) for name in sorted({*before, *now})}
        differing = {name: (was, is_now) for name, (was, is_now) in pairs.items() if was != is_now}
        if differing:
            options = {name: self._option_of(name) for name in differing}
            listed = "; ".join(
                f"{options[name] or one_line(name, 80)} was {one_line(repr(was), 200)}, is {one_line(repr(is_now), 200)}"
                for name, (was, is_now) in differing.items()
            )
            typed = [typed_option(options[name], was) for name, (was, _) in differing.items() if options[name]]
            same = " ".join(typed) if len(typed) == len(differing) else "the same settings"
            raise EnvironmentMismatchError(
                f"journal {self.path} was begun by another run: {listed}; go on with {one_line(same, 300)}, "
                f"{self._begin_again}"
            )

    def _write(self, line: bytes) -> None:
        try:
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            self._truncate(self._end)  # half a line in the middle would spoil what is appended after it
            raise cannot_write(f"the journal {self.path}", error) from error
        self._end += len(line)

    def _truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)


def typed_option(option: str, value: object) -> str:
    """An option with its value as it is typed: `--seed 0`, `--inherit`, `without --time-limit`."""
    if value is None or value is False or value == "absent":
        return f"without {option}"
    if value is True:
        return option
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return f"{option} {shlex.quote(str(value))}"


def begun_by_force(path: Path) -> bool:
    """Whether there is a journal of a run that began with `--force`; such a run goes on without `--force`."""
    try:
        with path.open("rb") as file:
            first = file.readline(MAX_BYTES)
        return bool(parse_json(first, str(path)).get("replaces") is True)
    except (OSError, FileFormatError, AttributeError):
        return False


def goes_on(path: Path) -> str:
    """The end of a message that says how a stopped run goes on: `the same command goes on from t.parquet.journal`."""
    without = ", without --force," if begun_by_force(path) else ""
    return f"the same command{without} goes on from {path}"


def remove_journal(path: Path) -> None:
    """Delete a journal if there is one, whatever it holds; raises `LatlasError` if a run has it open."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        _lock(descriptor, path)
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LatlasError(f"journal {path} is in use by another run; wait for it, or end it") from None


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """The record with dotted names for nested fields, so that a difference can be named."""
    flat: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
