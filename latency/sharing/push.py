"""Sharing tables through a store: how they lie there, and push.

Beside each table `<path>.parquet` lies its entry, `<path>.parquet.json`. There is no common index to write, so that two who
push at once cannot lose each other's tables; whoever pulls lists the entries. Over http, where nothing is listed, a folder's
`index.json` is read, or the entry by its name. `pulling.py` brings them back.

An entry is written after its table, and told from what the store has then: a push that was killed half way leaves a table
without an entry, which nobody pulls, and which the next push of it completes.
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
from latlas.latency.sharing.publish import Placed, another_table
from latlas.latency.sharing.store import Store, open_store
from latlas.latency.table.parquet import MAX_FILE_BYTES

ENTRY_SUFFIX = ".json"
ANY_DEVICE = "any"
_SETTLE_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tables are meant; None for any. `device` is a folder's name such as `intel-core-i7-8700`."""

    device: str | None = None
    space: str | None = None
    precision: str | None = None
    threads: int | None = None

    def holds(self, entry: IndexEntry) -> bool:
        """Whether the entry is of these."""
        pairs = ((getattr(self, name), getattr(entry, name)) for name in ("device", "space", "precision", "threads"))
        return all(wanted is None or wanted == found for wanted, found in pairs)

    @property
    def is_one(self) -> bool:
        """Whether everything is told, so that a name follows of it."""
        return None not in (self.device, self.space, self.precision, self.threads)

    def __str__(self) -> str:
        said = [
            f"{name} {getattr(self, name)}"
            for name in ("device", "space", "precision", "threads")
            if getattr(self, name)
        ]
        return ", ".join(said) or "any"


def device_of(text: str) -> str | None:
    """The folder's name of a device that is given as one or as a CPU's name; None for `any`."""
    return None if text == ANY_DEVICE else device_slug(text)


def push(path: Path | str, url: str, *, force: bool = False, dry_run: bool = False) -> Placed:
    """Put a table into a store, its entry after it; the same table again changes nothing.

    Args:
        path: the table, checked from top to bottom first.
        url: the store's root, any URL of fsspec that can be written.
        force: replace another table of the same name.
        dry_run: only say what would be done.

    Raises:
        UsageError: another table of that name is there and `force` is false; nothing can be written there.
        FileFormatError: the table is not valid, or what the store gave back is not.
        LatlasError: somebody else replaced it in the same moment.
        UnreachableError: the store failed; the same command goes on.
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
        return Placed(state, loaded.entry, store.url(target))
    if not same:
        try:
            store.put(target, loaded.content, overwrite=force)
        except FileExistsError:  # it came in this moment
            there = _stored(store, target)
            raise another_table(
                store.url(target), there.entry if isinstance(there, Loaded) else None, loaded.entry
            ) from None
    ours = old.entry if same and isinstance(old, Loaded) else loaded.entry
    final = _settle(store, target)
    if final != ours:
        raise LatlasError(
            f"{store.url(target)}: another push replaced it in this moment, by the table of {final.created_at}; push again "
            "if yours is to stay"
        )
    return Placed(state, final, store.url(target))


def _stored(store: Store, path: str) -> Loaded | bytes | None:
    """The table that a store has, its bytes where they are no table, None where there is none."""
    content = store.read(path, MAX_FILE_BYTES)
    if content is None:
        return None
    try:
        return load(store.url(path), content)
    except FileFormatError:
        return content


def _settle(store: Store, path: str) -> IndexEntry:
    """Write the entry of the table that the store has, until it is of the one it has afterwards.

    Everybody who pushes ends with this; so whoever does so last leaves the entry of the last table.
    """
    for _ in range(_SETTLE_ROUNDS):
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
    """The entries of a store's tables that are wanted, sorted by path.

    Where the store lists its files, those beside the tables, and those of `index.json`, where tables were published; over
    http, the one of the name that device, space, precision and threads tell, else those of `index.json`.

    Raises `FileFormatError` for an entry or index that is broken, `UnreachableError` where the store fails.
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
    """The entry of the name that the wanted device, space, precision and threads tell, where all are told."""
    if wanted.device is None or wanted.space is None or wanted.precision is None or wanted.threads is None:
        return []
    path = str(table_path(wanted.device, wanted.space, wanted.precision, wanted.threads))
    try:
        entry = _entry_at(store, path)
    except UsageError:  # not allowed: what S3 answers for a name that is not there, too
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
