"""Latency tables shared with others: published in a folder, pushed to a store and pulled from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.errors import UnknownSpaceError
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.sharing.publish import CopyResult
    from latlas.latency.sharing.pull import Pulled


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """Where a table is published, and what may be published or recopied."""

    tables_dir: Path = option(Path("tables"), "Folder of published tables.")
    force: bool = option(False, "Replace what is there.")
    imported: bool = option(False, "Publish a table of others' data; its licence must allow it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """What a push may replace, and whether it only says what it would do."""

    force: bool = option(False, "Replace what is there.")
    dry_run: bool = option(False, "Check and say what would be done.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """Which tables of a store are pulled, and where they go. Raises `UsageError` for threads below 1."""

    cpu: str = option("", "CPU of the wanted tables, by name or folder name; `any` for all. Default: this one.")
    space: str = option("", "Only tables of this search space.")
    precision: str = option("", "Only tables of this precision.")
    threads: int | None = option(None, "Only tables of this many threads.", at_least=1)
    out: Path = option(Path("tables"), "Folder for the tables, each under its name.")
    force: bool = option(False, "Replace what is there.")
    offline: bool = option(False, "Use only the cache.")

    def __post_init__(self) -> None:
        check_options(self)


def publish_table(path: Path, options: PublishOptions) -> CopyResult:
    """The table's place in the folder of published tables, whose two indexes are brought up to date; raises as `publish`."""
    from latlas.latency.sharing.publish import publish

    return publish(path, options.tables_dir, force=options.force, imported=options.imported)


def published_record(folder: Path) -> dict[str, Any]:
    """How many tables a folder of published tables has, and how its indexes differ from them: `problems` is empty if they agree.

    `tables` is None if there are problems. Raises `UsageError` if there is no such folder.
    """
    from latlas.latency.sharing.publish import check_published, entries_of

    problems = check_published(folder)
    return {"folder": str(folder), "tables": None if problems else len(entries_of(folder)), "problems": problems}


def push_table(path: Path, url: str, options: PushOptions) -> CopyResult:
    """The table's place in a shared store; raises as `latlas.latency.sharing.push.push`."""
    from latlas.latency.sharing.push import push

    return push(path, url, force=options.force, dry_run=options.dry_run)


def pull_tables(url: str, options: PullOptions) -> Pulled:
    """The wanted tables of a shared store, each checked and put into a folder; raises as `latlas.latency.sharing.pull.pull`."""
    from latlas.latency.machine.environment import cpu_model
    from latlas.latency.sharing.pull import pull
    from latlas.latency.sharing.push import Selection, device_of

    wanted = Selection(
        device_of(options.cpu or cpu_model()),
        _space_text(options.space) or None,
        options.precision or None,
        options.threads,
    )
    return pull(url, options.out, wanted, force=options.force, offline=options.offline)


def _space_text(text: str) -> str:
    """The space's own text, so that `portrait:resolution=192` is found; for an unknown space the given text."""
    from latlas.api.spaces import space

    try:
        return space(text).text if text else ""
    except UnknownSpaceError:
        return text
