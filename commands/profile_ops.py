"""`profile-ops` measures a table of a space, or one for each of several precisions, threads, batches or resolutions."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.keywords import keywords
from latlas.api.profile import ProfileOptions, profile, table_file
from latlas.api.setting import Care
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, shown, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.errors import UsageError
from latlas.files.places import require_can_write
from latlas.latency.precisions import PRECISIONS
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.table.table import Table
    from latlas.spaces.space import SearchSpace


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated text; raises `UsageError` if one is no whole number or below 1."""
    values = options.listed(text)
    if not all(value.isdecimal() and 1 <= int(value) < 2**31 for value in values):
        raise UsageError(f"{name} is {text!r}, no whole number of at least 1, nor several parted by commas")
    return tuple(int(value) for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledSpaces:
    """Options: which tables to measure, one or every combination of the listed values."""

    space: str = option(
        "portrait", "Search space, such as portrait or portrait:decoder_channels=24.", offered=options.spaces
    )
    resolution: str = option("", "Input size N or HxW, sets the space's height and width. Commas separate several.")
    precision: str = option("f32", "f32, bf16 or int8. Commas separate several.", choices=PRECISIONS, several=True)
    threads: tuple[int, ...] = option(
        (1,), "Inference threads. Commas separate several.", read=partial(whole_numbers, "--threads"), shown="1"
    )
    batch: tuple[int, ...] = option(
        (1,), "Images in one inference. Commas separate several.", read=partial(whole_numbers, "--batch"), shown="1"
    )
    out: Path | None = option(
        None,
        "Table. Default: tables/<cpu>/<space>-<precision>-t<threads>.parquet. For several tables, a folder.",
        before=require_can_write,
    )
    update: bool = option(False, "Measure only what the table lacks, and add it.")
    force: bool = option(False, "Replace what is there.")
    dry_run: bool = option(False, "List what would be measured.")

    def __post_init__(self) -> None:
        check_options(self)


@with_options
def profile_ops(asked: ProfiledSpaces, care: Care, json: options.JsonOption = False) -> None:
    """Measure every operator of a space by itself, and write a table.

    For several precisions, threads, batches or resolutions it writes a table for each combination, and says which operators
    change rank.
    """
    wanted = tables_of(asked, care)
    if asked.dry_run:
        _print_specs([space for space, _ in wanted], json)
    elif len(wanted) > 1:
        _measure_several(asked.out, wanted, json)
    else:
        _measure_one(*wanted[0], json)


def tables_of(asked: ProfiledSpaces, care: Care) -> list[tuple[SearchSpace, ProfileOptions]]:
    """Every combination of the listed values, in their order."""
    spaces = [options.space_of(asked.space, resolution) for resolution in options.listed(asked.resolution)]
    command = shlex.join(["latlas", *sys.argv[1:]])
    shared = keywords(care) | {"update": asked.update, "force": asked.force, "command": command, "out": asked.out}
    combinations = product(
        spaces,
        options.listed(asked.precision),
        asked.threads,
        asked.batch,
    )
    return [
        (space, ProfileOptions(precision=precision, threads=threads, batch=batch, **shared))
        for space, precision, threads, batch in combinations
    ]


def _print_specs(spaces: Sequence[SearchSpace], json: bool) -> None:
    specs = list(dict.fromkeys(spec for space in spaces for spec in space.specs()))
    print_result([s.to_record() for s in specs], json, lambda: [str(s) for s in specs] + [f"{len(specs)} operators"])


def _measure_one(space: SearchSpace, asked: ProfileOptions, json: bool) -> None:
    from latlas.latency.machine.trouble import listening

    started = time.monotonic()
    with listening() as troubles, bar_of("measuring operators") as bar:
        table = profile(space, **keywords(asked) | {"on_progress": bar})
    record = record_of(table, table_file(space, asked), time.monotonic() - started) | {"warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), line_of(record)])


def _measure_several(folder: Path | None, wanted: Sequence[tuple[SearchSpace, ProfileOptions]], json: bool) -> None:
    from latlas.api.profile_several import changes_of_rank, profile_several, variants_in
    from latlas.latency.machine.trouble import listening

    variants = variants_in(folder, wanted)
    with listening() as troubles:
        found = profile_several(variants, note, lambda index: bar_of(f"table {index + 1} of {len(variants)}"))
    changes = changes_of_rank(variants, [one.table for one in found])
    records = [record_of(one.table, one.path, one.seconds) | {"skipped": one.there} for one in found]
    record = {"tables": records, "rank_changes": changes, "warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), *_lines(records, changes)])


def record_of(table: Table, path: Path, seconds: float) -> dict[str, Any]:
    """The record of a table that `profile-ops` prints."""
    return {
        "table": str(path),
        "entries": len(table),
        "noisy": table.count("noisy"),
        "failed": table.count("failed"),
        "noise_floor": table.manifest.noise_floor,
        "seconds": seconds,
        "environment": table.manifest.environment.to_record(),
    }


def line_of(record: dict[str, Any]) -> str:
    """The record of a table as a line."""
    return (
        f"{record['table']}: {record['entries']} operators ({record['noisy']} noisy, {record['failed']} failed) "
        f"in {record['seconds']:.0f} s; noise floor {shown(record['noise_floor'], 100, 2)} %"
    )


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
