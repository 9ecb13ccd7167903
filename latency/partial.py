"""What an interrupted run leaves: its journal, and beside it a table of what it has so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from latlas.latency.errors import InterruptedRunError, LatlasError
from latlas.latency.journal import Journal
from latlas.latency.table import Table


def partial_path(out: Path) -> Path:
    """Where an interrupted run that would have written `out` leaves what it has; no `*.parquet` of a folder finds it."""
    return Path(f"{out}.partial")


@contextmanager
def kept_on_stop(journal: Journal, out: Path, wanted: int, so_far: Callable[[], Table | None]) -> Iterator[None]:
    """Turn `KeyboardInterrupt` into `InterruptedRunError`, and write the table so far before; gone when all went well.

    `so_far` makes it of the journal's records, None where there are none; `wanted` is how many rows it will have.
    """
    partial = partial_path(out)
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(_left(journal, partial, wanted, so_far)) from None
    partial.unlink(missing_ok=True)


def _left(journal: Journal, partial: Path, wanted: int, so_far: Callable[[], Table | None]) -> str:
    go_on = f"the same command goes on from {journal.path}"
    try:
        table = so_far()
        if table is None:
            return f"stopped before any of {wanted} operators was measured; {go_on}"
        table.write(partial, overwrite=True)
    except (LatlasError, OSError) as error:  # a full disk, say: the journal has it all
        return f"stopped; {go_on} (what it has so far could not be written: {error})"
    done = sum(row.status == "ok" for row in table)
    return f"stopped with {len(table)} of {wanted} operators in {partial}, {done} of them done; {go_on}"
