"""The one way to write a file or a folder: whole or not at all.

What is written begins in a hidden folder beside its place. It takes its name in one step, after all of it has reached the
disk. Whatever ends the writing before, nothing is left, and what was there before is still there. Only `kill -9` or a power
cut leaves the hidden folder, `.<name>.<random>.tmp`; nothing reads it, and `remove_leftovers` deletes it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE

from latlas.errors import AlreadyExistsError, LatlasError, StorageError, UsageError
from latlas.files.records import one_line

_ENDING = ".tmp"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # how safetensors says the number


@contextmanager
def whole_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Another path to write to; what is there at the end of the `with` block becomes `path`, whole.

    It has the ending of `path`, so that a library that looks at endings writes what is meant. Files that the library writes
    beside it, such as the `.bin` of an OpenVINO `.xml`, take their places first. A file that is replaced keeps its mode; a
    new one has the mode that the umask gives.

    Raises:
        AlreadyExistsError: `path` exists and `overwrite` is false, also where it came while the block ran.
        UsageError: The place cannot be written, or `path` is something else than a file.
        StorageError: The disk is full or failed.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with whole_file(path) as draft:
        ...     _ = draft.write_text("all of it")
        >>> path.read_text()
        'all of it'
    """
    require_free(path, overwrite)
    with _errors_named(path), _hidden_folder(path) as hidden:
        if path.exists() and not path.is_file():
            raise UsageError(f"cannot write {path}: it exists and is no file; choose another path")
        draft = hidden / f".{path.name}"  # hidden too, so that no search for `**/*.parquet` finds half a table
        mode = _mode_by_umask(hidden)
        yield draft
        beside = sorted(file for file in hidden.iterdir() if file != draft)
        for file in (*beside, draft):
            place = path.with_name(file.name[1:])
            os.chmod(file, S_IMODE(place.stat().st_mode) if place.exists() else mode)
            _sync(file)
            if overwrite or file != draft or not _linked(draft, path):
                os.replace(file, place)
        _sync_folder(path.parent)


@contextmanager
def whole_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """Another folder to write files into; at the end of the `with` block it becomes `folder`, whole.

    A folder that is replaced is deleted with all it holds when the new one is in its place; who calls this has looked at it.
    Errors are those of `whole_file`.
    """
    require_free(folder, overwrite)
    with _errors_named(folder), _hidden_folder(folder) as hidden:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"cannot write {folder}: it exists and is no folder; choose another path")
        draft, old = hidden / "new", hidden / "old"
        draft.mkdir()
        yield draft
        for path in sorted(draft.rglob("*")):
            if path.is_file():
                _sync(path)
        if folder.exists():
            os.chmod(draft, S_IMODE(folder.stat().st_mode))
        _sync_folder(draft)
        try:
            if folder.exists():
                os.rename(folder, old)
            os.rename(draft, folder)
        except BaseException:
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            raise
        _sync_folder(folder.parent)


def write_bytes(path: Path, content: bytes, overwrite: bool = False) -> None:
    """Write a file of these bytes; errors as `whole_file`."""
    with whole_file(path, overwrite) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str, overwrite: bool = False) -> None:
    """Write a file of this text in UTF-8, its line ends as they are; errors as `whole_file`."""
    write_bytes(path, text.encode(), overwrite)


def write_json(path: Path, record: object, overwrite: bool = False) -> None:
    """Write a file of this record as JSON, for people to read too; errors as `whole_file`, `ValueError` for NaN."""
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n", overwrite)


def require_free(path: Path, overwrite: bool = False) -> None:
    """Raises `AlreadyExistsError` where something is at `path`, be it a broken link, and may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise AlreadyExistsError(f"{path} exists already; choose another path, or say --force to replace it")


def cannot_write(path: Path | str, error: Exception) -> StorageError | UsageError:
    """Our error for what the operating system, or a library, says of a path that it could not write.

    `StorageError` where the disk is full or failed, or where the library does not say; `UsageError` where another path would
    do: no permission, no such folder, a name too long.
    """
    number = _number_of(error)
    reason = one_line(str(error) or type(error).__name__, 200) if number is None else os.strerror(number)
    if number is None:
        return StorageError(f"cannot write {path}: {reason}; is its disk full?")
    if disk_is_full(error):
        return StorageError(f"cannot write {path}: {reason}; free some space, or choose another path")
    return UsageError(f"cannot write {path}: {reason}; choose another path")


def disk_is_full(error: Exception) -> bool:
    """Whether an error says that the disk is full or failed, so that the same command would do later."""
    return _number_of(error) in _NO_SPACE


def leftovers(path: Path) -> list[Path]:
    """The hidden folders, sorted, that killed runs left beside `path`; raises `OSError` where its folder cannot be read."""
    beginning = _beginning(path)
    found = (entry for entry in path.parent.iterdir() if entry.name.startswith(beginning))
    return sorted(entry for entry in found if entry.name.endswith(_ENDING))


def remove_leftovers(path: Path) -> None:
    """Delete what killed runs left beside `path`; nobody else may be writing it."""
    with suppress(OSError):
        for entry in leftovers(path):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:  # what Latlas 0.2 left is a file
                entry.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    return f".{path.name[:200]}."  # a name may have 255 characters in all


def _number_of(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _RUST_ERROR.search(str(error))
    return int(found[1]) if found else None


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except LatlasError:  # some of ours are OSErrors too
        raise
    except FileExistsError as error:
        raise AlreadyExistsError(f"{path} came while it was written, and was not replaced; look at it") from error
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, which is gone afterwards with all that is in it; the folder of `path` is made."""
    with suppress(FileExistsError):  # a file where a folder should be: what follows says that it is none
        path.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=_beginning(path), suffix=_ENDING, dir=path.parent))
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _mode_by_umask(folder: Path) -> int:
    """The mode that a new file gets; asked of the system, as to read a process's umask is to change it."""
    probe = folder / "mode"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()


def _linked(draft: Path, path: Path) -> bool:
    """Give the draft its name unless that is taken, which a rename would replace; False where there are no hard links.

    Raises `FileExistsError` where the name is taken.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        return False
    return True


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # a new name is on the disk only when its folder is; some systems cannot say so
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
