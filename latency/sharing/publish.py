"""Publishes a table into a folder such as `tables/`, which has two indexes of its tables.

`index.json` is for programs, a section of `README.md` for people. Both are made anew from all tables of the folder each
time. So they list exactly the tables that are there, and two people who publish at once lose nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latlas.errors import AlreadyExistsError, FileFormatError, LatlasError, UsageError
from latlas.files.listing import files_below
from latlas.files.records import one_line
from latlas.files.write import write_bytes, write_text
from latlas.latency.sharing.index import (
    BEGIN,
    END,
    INDEX_NAME,
    MAX_ENTRIES,
    MAX_INDEX_BYTES,
    IndexEntry,
    Loaded,
    format_index,
    format_section,
    load,
    parse_index,
)

README_NAME = "README.md"
INTRODUCTION = """\
# Published latency tables

Each table is one Parquet file, `<cpu>/<space>-<precision>-t<threads>.parquet`, of one environment, which the file states.
"""
_MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result of copying a table to a folder or a store: `state` is `new`, `replaced` or `unchanged`."""

    state: str
    entry: IndexEntry
    place: str

    def to_record(self) -> dict[str, Any]:
        """Place, state, and all that the entry says."""
        return {"table": self.place, "state": self.state, **self.entry.to_record()}


def publish(path: Path | str, folder: Path | str, *, force: bool = False, imported: bool = False) -> CopyResult:
    """Put a table into the folder under its name, and make both indexes anew.

    Args:
        path: the table, which stays where it is.
        folder: `tables/`, or another folder with the same layout.
        force: replace another table of the same name.
        imported: allow an imported table: it is other people's data, under their licence.

    Raises:
        UsageError: another table of that name is there and `force` is false; the table is imported; it cannot be written.
        FileFormatError: the table is not valid, or another table in the folder is not valid, or does not lie where its
            name says; nothing was changed.
    """
    loaded, folder = load(path), Path(folder)
    if loaded.entry.origin != "measured" and not imported:
        source = loaded.table.manifest.source or "not said"
        raise UsageError(
            f"{path} is imported (source: {source}): others' data, whose licence must allow that it is published; "
            "say --imported where it does"
        )
    entries_of(folder, but=loaded.entry.path)  # all other tables must be in order before anything is changed
    copied = place(loaded, folder, force)
    write_indexes(folder)
    return copied


def place(loaded: Loaded, folder: Path, force: bool) -> CopyResult:
    """Put the table under its name below a folder, whole or not at all.

    Raises `UsageError` if another table is there and `force` is false, or if the table cannot be written.
    """
    target = inside(folder, loaded.entry)
    old = table_at(target)
    if old is not None and (old.content == loaded.content or old.table == loaded.table):
        return CopyResult("unchanged", old.entry, str(target))
    exists = os.path.lexists(target)
    if exists and not force:
        raise another_table(str(target), None if old is None else old.entry, loaded.entry)
    try:
        write_bytes(target, loaded.content, overwrite=force)
    except AlreadyExistsError:  # it appeared just now
        raise another_table(str(target), None, loaded.entry) from None
    return CopyResult("replaced" if exists else "new", loaded.entry, str(target))


def another_table(target: str, there: IndexEntry | None, ours: IndexEntry) -> UsageError:
    """The error for a table that would replace another; its message describes both."""
    said = "" if there is None else f" of {there.created_at}, rows {there.rows_sha256[:12]}"
    return UsageError(
        f"{target} exists already and is another table{said} (this one: {ours.created_at}, rows {ours.rows_sha256[:12]}); "
        "say --force to replace it"
    )


def inside(folder: Path, entry: IndexEntry) -> Path:
    """The path of an entry's file below a folder; raises `UsageError` if a link leads out of the folder."""
    target = folder / entry.path
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target.parent} is a link that leads out of {folder}; remove it")
    return target


def entries_of(folder: Path | str, but: str = "") -> list[IndexEntry]:
    """The entries of all tables below a folder, sorted by path. The table at the path `but` is not read.

    Raises `FileFormatError` for a table that is not valid or not where it belongs.
    """
    folder = Path(folder)
    paths = files_below(folder, ".parquet")
    if len(paths) > MAX_ENTRIES:
        raise FileFormatError(f"{folder} has {len(paths)} tables; an index holds at most {MAX_ENTRIES}")
    entries = []
    for path in (path for path in paths if path.relative_to(folder).as_posix() != but):
        entry = load(path).entry
        if path.relative_to(folder).as_posix() != entry.path:
            raise FileFormatError(f"{path} belongs at {folder / entry.path}, as its content says; move it there")
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry.path)


def write_indexes(folder: Path | str) -> list[IndexEntry]:
    """Make `index.json` and the README's section anew from the folder's tables; other text of the README stays.

    Somebody who publishes at the same time may have written an older list in between, so repeat until nothing changes.
    """
    folder = Path(folder)
    entries = entries_of(folder)
    for _ in range(_MAX_ROUNDS):
        for path, text in _indexes(folder, entries).items():
            if _text(path) != text:
                write_text(path, text, overwrite=True)
        again = entries_of(folder)
        if again == entries and all(_text(path) == text for path, text in _indexes(folder, entries).items()):
            return entries
        entries = again
    raise LatlasError(f"{folder} changes faster than its index can be written; publish once more")


def check_published(folder: Path | str) -> list[str]:
    """How the indexes and the tables of a folder disagree, one line for each difference; empty if they agree.

    Raises `UsageError` if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    try:
        entries = entries_of(folder)
    except FileFormatError as error:
        return [str(error)]
    index = folder / INDEX_NAME
    problems = []
    try:
        text = _text(index)
        listed = {entry.path: entry for entry in parse_index(text or "", str(index))} if text is not None else None
    except FileFormatError as error:
        listed, text = {}, None
        problems.append(str(error))
    if listed is None:
        problems.append(f"{index} is missing")
    else:
        there = {entry.path: entry for entry in entries}
        problems += [f"{path} is in {index}, and there is no such table" for path in sorted(set(listed) - set(there))]
        problems += [f"{folder / path} is not in {index}" for path in sorted(set(there) - set(listed))]
        problems += [
            f"{folder / path} is another table than {index} says"
            for path in sorted(set(listed) & set(there))
            if listed[path] != there[path]
        ]
    wanted = _indexes(folder, entries)
    if not problems and text != wanted[index]:
        problems.append(f"{index} was edited")
    readme = folder / README_NAME
    if _text(readme) != wanted[readme]:
        problems.append(f"the list of tables in {readme} does not agree with the folder")
    return problems


def _indexes(folder: Path, entries: list[IndexEntry]) -> Mapping[Path, str]:
    readme = folder / README_NAME
    text, section = _text(readme), format_section(entries)
    if text is None:
        text = INTRODUCTION
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        text = before + section + after
    elif begin or END in text:
        raise FileFormatError(f"{readme} has one of the two lines that the list of tables stands between; restore both")
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    return {folder / INDEX_NAME: format_index(entries), readme: text}


def table_at(path: Path) -> Loaded | None:
    """The table at a path; None if there is none or it is broken."""
    if not path.is_file():
        return None
    try:
        return load(path)
    except FileFormatError:
        return None


def _text(path: Path) -> str | None:
    """The text of a file, None if there is none; raises `FileFormatError` if it is too large or no text."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_INDEX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_INDEX_BYTES:
        raise FileFormatError(f"{path} has more than {MAX_INDEX_BYTES} bytes; that is no index")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not UTF-8: {one_line(str(error), 120)}") from None
