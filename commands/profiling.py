"""`profile-ops` of several precisions, threads, batches or resolutions: a table each, and what changes rank between them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, shown
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.measuring.profile import Setting
    from latlas.latency.table.compare import Ranks
    from latlas.latency.table.table import Table
    from latlas.spaces.space import SearchSpace

DIMENSIONS = ("precision", "threads", "batch")
"""In which tables of one space may differ; those that differ in one are compared."""


@dataclass(frozen=True)
class Variant:
    """One table to be measured."""

    space: SearchSpace
    precision: str
    threads: int
    batch: int

    def setting(self, relative_error: float, seed: int) -> Setting:
        """How it is measured."""
        return options.setting_of(self.precision, self.threads, relative_error, seed, self.batch)

    def table(self, folder: Path = Path("tables")) -> Path:
        """Where it is kept below a folder."""
        return options.default_table(self.space, self.precision, self.threads, self.batch, folder)


def variants_of(space: str, resolutions: str, precisions: str, threads: str, batches: str) -> list[Variant]:
    """Every combination of what the options list, in their order."""
    spaces = [options.space_of(space, resolution) for resolution in options.listed(resolutions)]
    every = product(spaces, options.listed(precisions), options.listed(threads), options.listed(batches))
    return [Variant(chosen, precision, int(count), int(batch)) for chosen, precision, count, batch in every]


def profile_several(
    variants: Sequence[Variant],
    folder: Path | None,
    relative_error: float,
    seed: int,
    command: str,
    *,
    force: bool,
    update: bool,
    json: bool,
) -> None:
    """Measure a table after the other into the folder, pass over those that are there, and print what changes rank.

    All is checked before anything is measured. Raises `UsageError` where a table is there that is another's.
    """
    from latlas.files.lock import timing_lock
    from latlas.latency.table.table import Table

    if folder is not None and (folder.suffix == ".parquet" or folder.is_file()):
        raise UsageError(f"--out is {folder}; {len(variants)} tables need a folder")
    settings = {variant: variant.setting(relative_error, seed) for variant in variants}
    targets = {variant: variant.table(folder or Path("tables")) for variant in variants}
    done = {
        variant: Table.read(target)
        for variant, target in targets.items()
        if not force and target.exists() and _complete(target, variant, settings[variant], update)
    }
    records: list[dict[str, Any]] = []
    tables: dict[Variant, Table] = {}
    with timing_lock(on_wait=note):
        for index, (variant, target) in enumerate(targets.items()):
            started = time.monotonic()
            if variant in done:
                note(f"{target} is there already")
                tables[variant] = done[variant]
            else:
                title = f"table {index + 1} of {len(targets)}"
                tables[variant] = measure_table(variant, target, settings[variant], command, force, update, title)
            records.append(record_of(tables[variant], target, started) | {"skipped": variant in done})
    changes = compare(tables, targets)
    print_result({"tables": records, "rank_changes": changes}, json, lambda: _lines(records, changes))


def measure_table(
    variant: Variant, target: Path, setting: Setting, command: str, force: bool, update: bool, title: str
) -> Table:
    """The table of a variant, measured into `target` with a progress bar."""
    from latlas.latency.measuring.profile import profile
    from latlas.supernet.operators.timed import timing_operator

    with bar_of(title) as bar:
        return profile(
            variant.space.specs(),
            timing_operator,
            target,
            setting,
            space=variant.space.text,
            command=command,
            force=force,
            update=update,
            on_convert=lambda done, total: bar(done, total, "", None, "converting operators"),
            on_progress=lambda p: bar(p.done, p.total, p.label, p.eta_seconds, p.phase),
        )


def record_of(table: Table, target: Path, started: float) -> dict[str, Any]:
    """What `profile-ops` prints of a table."""
    return {
        "table": str(target),
        "entries": len(table),
        "noisy": table.count("noisy"),
        "failed": table.count("failed"),
        "noise_floor": table.manifest.noise_floor,
        "seconds": time.monotonic() - started,
        "environment": table.manifest.environment.to_record(),
    }


def line_of(record: dict[str, Any]) -> str:
    """The same in a line."""
    return (
        f"{record['table']}: {record['entries']} operators ({record['noisy']} noisy, {record['failed']} failed) "
        f"in {record['seconds']:.0f} s; noise floor {shown(record['noise_floor'], 100, 2)} %"
    )


def compare(tables: dict[Variant, Table], targets: dict[Variant, Path]) -> list[dict[str, Any]]:
    """For each two tables of a space that differ in one of `DIMENSIONS`: the places where operators change order."""
    from latlas.latency.table.compare import ranks

    found = []
    for before, after in combinations(tables, 2):
        differing = [name for name in DIMENSIONS if getattr(before, name) != getattr(after, name)]
        if before.space != after.space or len(differing) != 1:
            continue
        places = ranks(tables[before], tables[after])
        found.append(
            {
                "before": str(targets[before]),
                "after": str(targets[after]),
                "dimension": differing[0],
                "values": [getattr(before, differing[0]), getattr(after, differing[0])],
                "places": len(places),
                "changed": [_ranks_record(place) for place in places if place.reversals],
            }
        )
    return found


def _ranks_record(place: Ranks) -> dict[str, Any]:
    """A place where operators change order; `before` and `after` are the latency of `second` over that of `first`."""
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


def _complete(target: Path, variant: Variant, setting: Setting, update: bool) -> bool:
    """Whether the table there is this one, with every operator; raises `UsageError` where it stands in the way."""
    from latlas.latency.table.table import Table

    table = Table.read(target)
    there, wanted = table.manifest.environment.key(), setting.key("operator")
    differing = [f"{name} {there[name]!r}, not {value!r}" for name, value in wanted.items() if there[name] != value]
    if table.manifest.space != variant.space.text:
        differing.append(f"space {table.manifest.space!r}, not {variant.space.text!r}")
    if differing:
        raise UsageError(f"{target} is there already and of {'; '.join(differing)}; choose another folder, or --force")
    missing = len(set(variant.space.specs()) - {row.spec for row in table})
    if missing and not update:
        raise UsageError(f"{target} is there already and lacks {missing} operators; add them with --update")
    return not missing


def _lines(records: Sequence[dict[str, Any]], changes: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{r['table']}: there already, {r['entries']} operators" if r["skipped"] else line_of(r) for r in records]
    for change in changes:
        before, after = change["values"]
        title = f"{change['dimension']} {before} -> {after} ({change['before']}, {change['after']})"
        lines.append(f"{title}: operators change order at {len(change['changed'])} of {change['places']} places")
        for place in change["changed"]:
            flip, count = place["flips"][0], len(place["flips"])
            fastest = [place[f"fastest_{when}"].split()[0] for when in ("before", "after")]
            lines.append(
                f"  {place['place']}: fastest {' -> '.join(dict.fromkeys(fastest))}; {count} pairs, the clearest "
                f"{flip['second'].split()[0]} over {flip['first'].split()[0]}: {flip['before']:.2f} -> {flip['after']:.2f}"
            )
    return lines
