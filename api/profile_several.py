"""Measures tables of a space for several precisions, threads, batches or resolutions, and finds changes of rank."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.keywords import keywords
from latlas.api.profile import ProfileOptions, profile
from latlas.api.setting import OnNote, OnProgress, default_table
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.table.compare import Ranks
    from latlas.latency.table.table import Table
    from latlas.spaces.space import SearchSpace

DIMENSIONS = ("precision", "threads", "batch")
"""Tables of one space may differ in these; two tables that differ in exactly one are compared."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A table to measure."""

    space: SearchSpace
    options: ProfileOptions

    @property
    def target(self) -> Path:
        """The path of the table."""
        assert self.options.out is not None
        return Path(self.options.out)


@dataclass(frozen=True, slots=True)
class Profiled:
    """A table, how long it took, and whether it was there already."""

    table: Table
    path: Path
    seconds: float
    there: bool


def variants_in(folder: Path | None, wanted: Sequence[tuple[SearchSpace, ProfileOptions]]) -> list[Variant]:
    """The tables with their files below the folder; raises `UsageError` if it cannot be a folder."""
    if folder is not None and (folder.suffix == ".parquet" or folder.is_file()):
        raise UsageError(f"--out is {folder}; {len(wanted)} tables need a folder")
    return [
        Variant(
            space,
            replace(one, out=default_table(space, one.precision, one.threads, one.batch, folder or Path("tables"))),
        )
        for space, one in wanted
    ]


def profile_several(
    variants: Sequence[Variant], on_note: OnNote, progress_of: Callable[[int], AbstractContextManager[OnProgress]]
) -> list[Profiled]:
    """Measure one table after the other, skip existing ones, and return all in order.

    Everything is checked before anything is measured. `progress_of(index)` gives the progress bar of a table. Raises `UsageError`
    if another table is in the place of one.
    """
    from latlas.files.lock import timing_lock, waiting_at_most
    from latlas.latency.table.table import Table

    for variant in variants:
        variant.options.setting()
    done = {
        index: Table.read(variant.target)
        for index, variant in enumerate(variants)
        if not variant.options.force and variant.target.exists() and is_complete(variant)
    }
    found = []
    with waiting_at_most(variants[0].options.lock_timeout), timing_lock(on_wait=on_note):
        for index, variant in enumerate(variants):
            started = time.monotonic()
            if index in done:
                on_note(f"{variant.target} is there already")
                table = done[index]
            else:
                with progress_of(index) as bar:
                    table = profile(variant.space, **keywords(replace(variant.options, on_progress=bar)))
            found.append(Profiled(table, variant.target, time.monotonic() - started, index in done))
    return found


def is_complete(variant: Variant) -> bool:
    """Whether this table exists already, with every operator; raises `UsageError` if another table has its place."""
    from latlas.latency.table.table import Table

    target = variant.target
    table = Table.read(target)
    there, wanted = table.manifest.environment.key(), variant.options.setting().key("operator")
    differing = [f"{name} {there[name]!r}, not {value!r}" for name, value in wanted.items() if there[name] != value]
    if table.manifest.space != variant.space.text:
        differing.append(f"space {table.manifest.space!r}, not {variant.space.text!r}")
    if differing:
        raise UsageError(f"{target} is there already and of {'; '.join(differing)}; choose another folder, or --force")
    missing = len(set(variant.space.specs()) - {row.spec for row in table})
    if missing and not variant.options.update:
        raise UsageError(f"{target} is there already and lacks {missing} operators; add them with --update")
    return not missing


def changes_of_rank(variants: Sequence[Variant], tables: Sequence[Table]) -> list[dict[str, Any]]:
    """The places where operators change order, for each two tables of a space that differ in one of `DIMENSIONS`."""
    from latlas.latency.table.compare import ranks

    found = []
    for (before, first), (after, second) in combinations(zip(variants, tables, strict=True), 2):
        differing = [name for name in DIMENSIONS if getattr(before.options, name) != getattr(after.options, name)]
        if before.space != after.space or len(differing) != 1:
            continue
        places = ranks(first, second)
        found.append(
            {
                "before": str(before.target),
                "after": str(after.target),
                "dimension": differing[0],
                "values": [getattr(before.options, differing[0]), getattr(after.options, differing[0])],
                "places": len(places),
                "changed": [_ranks_record(place) for place in places if place.reversals],
            }
        )
    return found


def _ranks_record(place: Ranks) -> dict[str, Any]:
    """A place where operators change order. `before` and `after` are the latency of `second` divided by the one of `first`."""
    return {
        "place": str(place.place),
        "operators": place.operators,
        "fastest_before": str(place.best_before),
        "fastest_after": str(place.best_after),
        "flips": [
            {
                "first": str(one.first),
                "second": str(one.second),
                "before": one.before_ratio,
                "after": 1 / one.after_ratio,
            }
            for one in place.reversals
        ],
    }
