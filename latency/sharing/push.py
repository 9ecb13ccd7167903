"""Pushes tables into a store, and defines the layout of a store.

Beside each table `<path>.parquet` lies its entry, `<path>.parquet.json`. There is no common index to write, so two people
who push at once cannot lose each other's tables. Whoever pulls lists the entries. Nothing can be listed over http: there a
folder's `index.json` is read, or the entry by its name. `pull.py` brings the tables back.

An entry is written after its table, from the table that the store has then. A push that was killed half way leaves a table
without an entry. Nobody pulls such a table, and the next push of it writes the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from pathlib import Path

from latlas.errors import FileFormatError, LatlasError, UsageError
from latlas.files.records import parse_json
from latlas.latency.machine.environment import device_slug
from latlas.latency.sharing.index import (
    INDEX_NAME,
    MAX_ENTRY_BYTES,
    MAX_INDEX_BYTES,
    IndexEntry,
    Loaded,
    load,
    parse_index,
)
from latlas.latency.sharing.names import is_table_path, table_path
from latlas.latency.sharing.publish import CopyResult, another_table
from latlas.latency.sharing.store import Store, open_store
from latlas.latency.table.parquet import MAX_FILE_BYTES

ENTRY_SUFFIX = ".json"
ANY_DEVICE = "any"
_MAX_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tables are wanted; None allows any. `device` is the name of a folder such as `intel-core-i7-8700`."""

    device: str | None = None
    space: str | None = None
    precision: str | None = None
    threads: int | None = None

    def holds(self, entry: IndexEntry) -> bool:
        """Whether the selection includes the entry."""
        pairs = ((getattr(self, name), getattr(entry, name)) for name in ("device", "space", "precision", "threads"))
        return all(wanted is None or wanted == found for wanted, found in pairs)

    @property
    def is_one(self) -> bool:
        """Whether everything is given, so that the name of one table follows."""
        return None not in (self.device, self.space, self.precision, self.threads)

    def __str__(self) -> str:
        said = [
            f"{name} {getattr(self, name)}"
            for name in ("device", "space", "precision", "threads")
            if getattr(self, name)
        ]
        return ", ".join(said) or "any"


def device_of(text: str) -> str | None:
    """The folder name of a device, from a folder name or a CPU's name; None for `any`."""
    return None if text == ANY_DEVICE else device_slug(text)


def push(path: Path | str, url: str, *, force: bool = False, dry_run: bool = False) -> CopyResult:
    """Put a table into a store, and its entry after it; pushing the same table again changes nothing.

    Args:
        path: the table; it is fully checked first.
        url: the store's root, any URL of fsspec that can be written.
        force: replace another table of the same name.
        dry_run: only say what would be done.

    Raises:
        UsageError: another table of that name is there and `force` is false; nothing can be written there.
        FileFormatError: the table is not valid, or the store returned something that is not.
        LatlasError: somebody else replaced it in the same moment.
        UnreachableError: the store failed; the same command continues.
    """
    loaded, store = load(path), open_store(url)
    target = loaded.entry.path
    old = _stored(store, target)
    same = isinstance(old, Loaded) and (old.content == loaded.content or old.table == loaded.table)
    if old is not None and not same and not force:
        raise another_table(store.url(target), old.entry if isinstance(old, Loaded) else None, loaded.entry)
    state = "unchanged" if same else "new" if old is None else "replaced"
    if dry_run:
        if not store.lists:
            raise UsageError(f"{store.name}: nothing can be pushed over {store.protocol}; push to the store behind it")
        return CopyResult(state, loaded.entry, store.url(target))
    if not same:
        try:
            store.put(target, loaded.content, overwrite=force)
        except FileExistsError:  # it appeared just now
            there = _stored(store, target)
            raise another_table(
                store.url(target), there.entry if isinstance(there, Loaded) else None, loaded.entry
            ) from None
    ours = old.entry if same and isinstance(old, Loaded) else loaded.entry
    final = _write_matching_entry(store, target)
    if final != ours:
        raise LatlasError(
            f"{store.url(target)}: another push replaced it in this moment, by the table of {final.created_at}; push again "
            "if yours is to stay"
        )
    return CopyResult(state, final, store.url(target))


def _stored(store: Store, path: str) -> Loaded | bytes | None:
    """The table at a path of a store; its bytes if they are no table, None if there is nothing."""
    content = store.read(path, MAX_FILE_BYTES)
    if content is None:
        return None
    try:
        return load(store.url(path), content)
    except FileFormatError:
        return content


def _write_matching_entry(store: Store, path: str) -> IndexEntry:
    """Write the entry of the table in the store, again and again until the store still has that table afterwards.

    Every push ends with this, so the last one leaves the entry of the last table.
    """
    for _ in range(_MAX_ROUNDS):
        content = store.read(path, MAX_FILE_BYTES)
        if content is None:
            break
        entry = load(store.url(path), content).entry
        text = (dumps(entry.to_record(), indent=1, allow_nan=False) + "\n").encode()
        if store.read(path + ENTRY_SUFFIX, MAX_ENTRY_BYTES) != text:
            store.put(path + ENTRY_SUFFIX, text, overwrite=True)
        if store.read(path, MAX_FILE_BYTES) == content:
            return entry
    raise LatlasError(f"{store.url(path)} is being replaced or taken away again and again; push once more")


def entries_in(store: Store, wanted: Selection) -> list[IndexEntry]:
    """The entries of the wanted tables in a store, sorted by path.

    If the store lists its files, these are the entries beside the tables, and the entries of `index.json` if tables were
    published. Over http, it is the entry whose name follows from device, space, precision and threads, else the entries of
    `index.json`.

    Raises `FileFormatError` if an entry or index is broken, `UnreachableError` if the store fails.
    """
    entries = _listed(store, wanted) if store.lists else _named(store, wanted)
    if entries and not store.lists:
        return entries
    text = store.read(INDEX_NAME, MAX_INDEX_BYTES)
    if text is not None:
        found = {entry.path: entry for entry in parse_index(text, store.url(INDEX_NAME)) if wanted.holds(entry)}
        entries = list({**found, **{entry.path: entry for entry in entries}}.values())
    elif not store.lists and not wanted.is_one:
        raise UsageError(
            f"{store.name} has no {INDEX_NAME}, and nothing is listed over {store.protocol}; name the table: "
            "--cpu, --space, --precision and --threads"
        )
    return sorted(entries, key=lambda entry: entry.path)


def _named(store: Store, wanted: Selection) -> list[IndexEntry]:
    """The entry whose name follows from the wanted device, space, precision and threads, if all are given."""
    if wanted.device is None or wanted.space is None or wanted.precision is None or wanted.threads is None:
        return []
    path = str(table_path(wanted.device, wanted.space, wanted.precision, wanted.threads))
    try:
        entry = _entry_at(store, path)
    except UsageError:  # not allowed: S3 also answers that for a name that is not there
        return []
    return [entry] if entry is not None and wanted.holds(entry) else []


def _listed(store: Store, wanted: Selection) -> list[IndexEntry]:
    devices = [wanted.device] if wanted.device else store.names()
    entries = []
    for device in devices:
        if not is_table_path(f"{device}/x.parquet"):
            continue
        for name in store.names(device):
            path = f"{device}/{name.removesuffix(ENTRY_SUFFIX)}"
            if name.endswith(ENTRY_SUFFIX) and is_table_path(path):
                entry = _entry_at(store, path)
                if entry is not None and wanted.holds(entry):
                    entries.append(entry)
    return sorted(entries, key=lambda entry: entry.path)


def _entry_at(store: Store, path: str) -> IndexEntry | None:
    text = store.read(path + ENTRY_SUFFIX, MAX_ENTRY_BYTES)
    if text is None:
        return None
    what = store.url(path + ENTRY_SUFFIX)
    entry = IndexEntry.from_record(parse_json(text, what), what)
    if entry.path != path:
        raise FileFormatError(f"{what} is the entry of another table, {entry.path}")
    return entry
