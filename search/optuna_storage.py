"""Where Optuna keeps a study that several processes share: a database or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latlas.latency.errors import UsageError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

SQLITE_SECONDS = 60
"""How long a process waits for another one's writing."""


def open_storage(text: str | None) -> BaseStorage | None:
    """The storage of a text: a database's URL, such as `sqlite:///search.db`, or `journal:` and the path of a file.

    None for one that lives in this process. Raises `UsageError` where it cannot be opened.
    """
    if text is None:
        return None
    from optuna import storages
    from optuna.exceptions import OptunaError
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy.exc import SQLAlchemyError

    kind, separator, path = text.partition(":")
    if not separator or not path or kind == "redis":
        # Optuna's Redis storage unpickles what it finds there.
        raise UsageError(f"storage {text!r} is not known; write journal:PATH, sqlite:///PATH or another database's URL")
    try:
        if kind == "journal":
            return storages.JournalStorage(JournalFileBackend(path))
        if not kind.startswith("sqlite"):
            return storages.RDBStorage(text)
        storage = storages.RDBStorage(text, engine_kwargs={"connect_args": {"timeout": SQLITE_SECONDS}})
        _write_ahead(storage)
        return storage
    except (OptunaError, SQLAlchemyError, OSError, ImportError, ValueError) as error:
        raise UsageError(f"storage {text!r} cannot be opened: {str(error).splitlines()[0]}") from None


def _write_ahead(storage: RDBStorage) -> None:
    """A trial is some twenty transactions: with a write-ahead log these need not wait for the disk, nor readers for writers.

    What a machine that loses its power loses is the last of them, not the file.
    """
    from sqlalchemy import event, text

    @event.listens_for(storage.engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with storage.engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
    storage.engine.dispose()  # connections made before
