"""The one way to write a file or a folder: whole or not at all.

A file or folder is first written in a hidden folder beside its place. It takes its name in one step, after all of it has reached
the disk. If anything ends the writing earlier, nothing of it is left, and an earlier file is still there. Only `kill -9` or a
power cut leaves the hidden folder, `.<name>.<random>.tmp`; nothing reads it, and `remove_leftovers` deletes it.
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
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # how safetensors writes the number


@contextmanager
def whole_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A draft path to write to; at the end of the `with` block the file there becomes `path`, whole.

    The draft has the ending of `path`, because some libraries choose the format by it. Other files that the library writes
    beside it, such as the `.bin` of an OpenVINO `.xml`, take their places first. A replaced file keeps its mode; a new one gets
    its mode from the umask.

    Raises:
        AlreadyExistsError: `path` exists and `overwrite` is false, even if it appeared while the block ran.
        UsageError: The place cannot be written, or `path` is not a file.
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
    """A draft folder to write files into; at the end of the `with` block it becomes `folder`, whole.

    A replaced folder is deleted with all its files once the new one is in its place; the caller must have checked it. The errors
    are the same as for `whole_file`.
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
    """Write a file of these bytes; raises as `whole_file`."""
    with whole_file(path, overwrite) as draft:
        draft.write_bytes(content)


def write_text(path: Path, text: str, overwrite: bool = False) -> None:
    """Write a file of this text in UTF-8, with unchanged line ends; raises as `whole_file`."""
    write_bytes(path, text.encode(), overwrite)


def write_json(path: Path, record: object, overwrite: bool = False) -> None:
    """Write this record as a JSON file that people can read; raises as `whole_file`, and `ValueError` for NaN."""
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n", overwrite)


def require_free(path: Path, overwrite: bool = False) -> None:
    """Raises `AlreadyExistsError` if something is at `path`, even a broken link, and may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise AlreadyExistsError(f"{path} exists already; choose another path, or say --force to replace it")


def cannot_write(path: Path | str, error: Exception) -> StorageError | UsageError:
    """Our error for an error of the operating system, or of a library, that could not write a path.

    It is a `StorageError` if the disk is full or failed, or if the library gives no reason. It is a `UsageError` if another path
    would work: no permission, no such folder, a name that is too long.
    """
    number = _number_of(error)
    reason = one_line(str(error) or type(error).__name__, 200) if number is None else os.strerror(number)
    if number is None:
        return StorageError(f"cannot write {path}: {reason}; is its disk full?")
    if disk_is_full(error):
        return StorageError(f"cannot write {path}: {reason}; free some space, or choose another path")
    return UsageError(f"cannot write {path}: {reason}; choose another path")


def disk_is_full(error: Exception) -> bool:
    """Whether an error says that the disk is full or failed, so that the same command may work later."""
    return _number_of(error) in _NO_SPACE


def leftovers(path: Path) -> list[Path]:
    """The hidden folders that killed runs left beside `path`, sorted; raises `OSError` if the place cannot be read."""
    beginning = _beginning(path)
    found = (entry for entry in path.parent.iterdir() if entry.name.startswith(beginning))
    return sorted(entry for entry in found if entry.name.endswith(_ENDING))


def remove_leftovers(path: Path) -> None:
    """Delete what killed runs left beside `path`; nobody may be writing `path` meanwhile."""
    with suppress(OSError):
        for entry in leftovers(path):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:  # Latlas 0.2 left files
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
    except LatlasError:  # some of our errors are OSErrors too
        raise
    except FileExistsError as error:
        raise AlreadyExistsError(f"{path} came while it was written, and was not replaced; look at it") from error
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def _hidden_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, deleted at the end with all its files; the folder of `path` is made if missing."""
    with suppress(FileExistsError):  # a file where a folder should be: the next step fails and says so
        path.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=_beginning(path), suffix=_ENDING, dir=path.parent))
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _mode_by_umask(folder: Path) -> int:
    """The mode of a new file. It is found by making one, as the umask can only be read by changing it."""
    probe = folder / "mode"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        probe.unlink()


def _linked(draft: Path, path: Path) -> bool:
    """Give the draft its name unless the name is taken; a rename would replace that file. False without hard links.

    Raises `FileExistsError` if the name is taken.
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
    with suppress(OSError):  # a new name is on the disk only when its folder is; some systems cannot do this
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
