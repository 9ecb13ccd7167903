"""Pulls tables from a store into a folder. Each table is checked, and kept in a cache.

Each store has a cache folder with the layout of a store, so reading the cache is pulling from it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

from latlas.errors import FileFormatError, LatlasError, UnreachableError, UsageError
from latlas.latency.sharing.index import IndexEntry, Loaded, load, require_described
from latlas.latency.sharing.publish import CopyResult, another_table, inside, place, table_at
from latlas.latency.sharing.push import ENTRY_SUFFIX, Selection, entries_in
from latlas.latency.sharing.store import Store, open_store
from latlas.latency.table.parquet import MAX_FILE_BYTES

MAX_PULL_BYTES = 512 * 2**20
"""The most that all tables of one pull may have: they stay in memory until all are checked, and a store may be a stranger's."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The result of a pull: `tables` with their places. `offline` says that they come from the cache because the store was not
    asked; then `reason` says why, and `age_s` how long ago the store was last seen to have the oldest of them."""

    url: str
    tables: tuple[CopyResult, ...]
    offline: bool = False
    age_s: float | None = None
    reason: str = ""

    def to_record(self) -> dict[str, Any]:
        """The store, whether it was asked, and a record of each table."""
        return {
            "url": self.url,
            "offline": self.offline,
            "age_s": self.age_s,
            "tables": [copied.to_record() for copied in self.tables],
        }


def pull(
    url: str,
    folder: Path | str,
    wanted: Selection,
    *,
    force: bool = False,
    offline: bool = False,
    cache: Path | None = None,
) -> Pulled:
    """Bring the wanted tables of a store into a folder, under their names; none appears if one of them is broken.

    Each is checked before it appears: the size and sha256 of the file, the whole table, and that it matches its entry. If the
    store cannot be reached, or with `offline`, the tables come from the cache.

    Args:
        url: the store's root, any URL of fsspec.
        folder: where the tables go, as `<device>/<name>.parquet`.
        wanted: which tables to pull.
        force: replace other tables of the same names.
        offline: only ask the cache.
        cache: a cache folder to use instead of `cache_folder()`.

    Raises:
        LatlasError: there is no such table.
        UsageError: another table of that name is in the folder and `force` is false.
        FileFormatError: an entry or a table is broken, or they do not match.
        UnreachableError: the store failed, and the cache has nothing of it.
    """
    # Names of stores have no credentials, so the cache has none either.
    store, folder = open_store(url), Path(folder)
    at = (cache_folder() if cache is None else cache) / "tables" / hashlib.sha256(store.name.encode()).hexdigest()[:16]
    cache_store = open_store(str(at))
    found: list[IndexEntry] = []
    loaded: list[Loaded] = []
    reason, age = "as told", None
    if not offline:
        try:
            found = _bounded(entries_in(store, wanted), store)
            loaded = [_fetched(store, entry, cache_store) for entry in found]
        except UnreachableError as error:
            offline, reason = True, str(error)
            had = {entry.path for entry in entries_in(cache_store, wanted)}
            if not had or any(entry.path not in had for entry in found):
                raise UnreachableError(f"{error}; the cache has not all of that either") from None
    if offline:
        found = _bounded(entries_in(cache_store, wanted), cache_store)
        loaded = [_checked(cache_store, entry) for entry in found]
        age = max((_age_s(at / entry.path) for entry in found), default=None)
    if not loaded:
        where = f"the cache of {store.name}" if offline else store.name
        raise LatlasError(f"{where} has no table of {wanted}; it has {_there(cache_store if offline else store)}")
    _check_free(loaded, folder, force)
    copied = tuple(place(one, folder, force) for one in loaded)
    return Pulled(store.name, copied, offline, age, reason if offline else "")


def _bounded(entries: list[IndexEntry], store: Store) -> list[IndexEntry]:
    total = sum(entry.size_bytes for entry in entries)
    if total > MAX_PULL_BYTES:
        raise UsageError(
            f"{store.name}: {len(entries)} tables of {total} bytes are wanted, at most {MAX_PULL_BYTES} at once; name fewer: "
            "--cpu, --space, --precision, --threads"
        )
    return entries


def _check_free(tables: Iterable[Loaded], folder: Path, force: bool) -> None:
    """Raises `UsageError` for the first table that may not go to its place, before any table does."""
    for one in tables:
        target = inside(folder, one.entry)
        if force or not os.path.lexists(target):
            continue
        there = table_at(target)
        if there is None or there.table != one.table:
            raise another_table(str(target), there.entry if there else None, one.entry)


def _fetched(store: Store, entry: IndexEntry, cache: Store) -> Loaded:
    """The table of an entry: from the cache if that has this very file, else from the store, and then also put into the cache."""
    found = None
    with suppress(LatlasError):
        found = _checked(cache, entry)
    if found is None:
        found = _checked(store, entry)
    _put_in_cache(cache, found)
    return found


def _checked(store: Store, entry: IndexEntry) -> Loaded:
    """The table of an entry; raises `FileFormatError` if the file does not match the entry."""
    what = store.url(entry.path)
    content = store.read(entry.path, entry.size_bytes)
    if content is None:
        raise FileFormatError(f"{what} is missing, and its entry is there; push it again")
    checksum = hashlib.sha256(content).hexdigest()
    if len(content) != entry.size_bytes or checksum != entry.sha256:
        raise FileFormatError(
            f"{what} is not whole: {len(content)} bytes of sha256 {checksum[:12]}, and {entry.size_bytes} of "
            f"{entry.sha256[:12]} by its entry; if a push is under way try again, else push it again"
        )
    loaded = load(what, content)
    require_described(loaded, entry, what)
    return loaded


def _put_in_cache(cache: Store, loaded: Loaded) -> None:
    """Put a table that its store has now into the cache; a cache that cannot be written is no error."""
    with suppress(LatlasError):
        if cache.read(loaded.entry.path, MAX_FILE_BYTES) != loaded.content:
            cache.put(loaded.entry.path, loaded.content, overwrite=True)
        text = dumps(loaded.entry.to_record(), allow_nan=False).encode()
        cache.put(loaded.entry.path + ENTRY_SUFFIX, text, overwrite=True)  # the file's time is when the table was seen


def _age_s(path: Path) -> float:
    try:
        return max(0.0, time.time() - os.stat(f"{path}{ENTRY_SUFFIX}").st_mtime)
    except OSError:
        return 0.0


def _there(store: Store) -> str:
    """The tables of a store, in a few words."""
    try:
        entries = entries_in(store, Selection())
    except LatlasError:
        return "nothing that could be listed"
    paths = [entry.path for entry in entries]
    return ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "") if paths else "none at all"


def cache_folder() -> Path:
    """Where pulled tables are kept: `LATLAS_CACHE`, else the system's folder for caches."""
    told = os.environ.get("LATLAS_CACHE")
    if told:
        return Path(told).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("latlas", appauthor=False)
