"""Kills a run at random moments: no finished entry is lost, and the resumed run ends with the whole table.

    python benchmarks/kills.py [--kills 50] [--operators 10] [--seed 0]

Runs `latlas profile-ops` on a few operators of a small space and ends it at random moments: the run with SIGKILL, SIGINT or
SIGTERM, or its timing process with SIGKILL, which the run is to survive. The same command is started again until it is
through; then the next run begins, until there were enough kills. The journal is read all the while: what was once in it must
be there after every kill and every start. Checked besides: what SIGINT and SIGTERM return and leave (exit code 4 and a table of
what there is), that no process, temporary file, journal or lock stays, and that each table has the keys of one that was never
interrupted, and no operator failed. Prints JSON with counts; exit code 1 where anything is amiss.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from latlas.errors import LatlasError
from latlas.files.lock import timing_lock
from latlas.latency.measuring.profile import partial_path
from latlas.latency.table.table import Table

SPACE = "portrait:height=32,width=32,stem_channels=8,widths=8.8.16.16,depths=1.1.1.1,aspp_channels=8,decoder_channels=8"
KINDS = {"SIGKILL": 0.45, "SIGINT": 0.2, "SIGTERM": 0.15, "timing process": 0.2}
GONE_SECONDS = 5.0
"""How long a process that its parent left behind may take to end."""
CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in its background jobs
from latlas import cli
from latlas.spaces.space import SearchSpace
specs, few = SearchSpace.specs, int(sys.argv.pop(1))
SearchSpace.specs = lambda self: specs(self)[:: max(1, len(specs(self)) // few)][:few]
cli.raise_on_signals()
print("ready", flush=True)
cli.main()
"""


class Run:
    """One table, measured over many lives of a process."""

    def __init__(self, out: Path, folder: Path, operators: int) -> None:
        self.out = out
        self.journal = Path(f"{out}.journal")
        self.seen: list[bytes] = []
        self.lost = 0
        self._command = [sys.executable, "-P", "-c", CHILD, str(operators), "profile-ops", "--space", SPACE]
        self._command += ["--relative-error", "0.05", "--out", str(out)]
        self._environment = os.environ | {"TMPDIR": str(folder), "OMP_WAIT_POLICY": "PASSIVE"}

    def start(self) -> subprocess.Popen[str]:
        """A life of it; returns where signals are its own affair."""
        process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def look(self) -> int:
        """Compare the journal with what it had before; returns how many records it has."""
        try:
            lines = self.journal.read_bytes().split(b"\n")[1:-1]
        except FileNotFoundError:  # not begun, or through
            return len(self.seen)
        self.lost += sum(before not in lines for before in self.seen) if lines[: len(self.seen)] != self.seen else 0
        self.seen = lines
        return len(lines)


def live(run: Run, rng: random.Random, count: Counter[str], mortal: bool = True) -> bool:
    """One life that ends at a random moment, or the timing process's does; whether the run is through."""
    process = run.start()
    known: set[psutil.Process] = set()
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    begun = run.look()
    # Half of them anywhere from the start on, half of them while it measures.
    measuring, due = rng.random() < 0.5, time.monotonic() + rng.uniform(0, 10)
    started = False
    while process.poll() is None:
        known |= children(process.pid)
        if run.look() > begun and measuring and not started:
            started, due = True, time.monotonic() + rng.uniform(0, 4)
        workers = [one for one in known if one.is_running()]
        if mortal and time.monotonic() > due and (started or not measuring) and (workers or kind != "timing process"):
            count[kind] += 1
            if kind == "timing process":
                for one in workers:
                    one.kill()
                kind, due, started, measuring = "SIGKILL", time.monotonic() + rng.uniform(1, 8), True, True
                continue
            process.send_signal(getattr(signal, kind))
            break
        time.sleep(0.005)
    error = process.communicate()[1]
    through = run.out.exists() and not run.journal.exists()
    # A process that has done all and is about to exit has Python's handlers no more.
    late = (-signal.SIGINT, -signal.SIGTERM) if through else ()
    if process.returncode not in (0, 4, -signal.SIGKILL, *late):
        count["wrong exit codes"] += 1
        print(process.returncode, error, file=sys.stderr)
    if process.returncode == 4:
        count["left in order"] += 1
        partial = partial_path(run.out)
        if partial.exists():
            count["partial tables"] += 1
            count["broken partial tables"] += not len(Table.read(partial)) > 0
    count["processes left"] += len(psutil.wait_procs(known, GONE_SECONDS)[1])
    run.look()
    if process.returncode and run.out.exists():
        count["ended after the table was written"] += 1
    # Between the table and the journal's end it is not through: the same command is to find that out.
    return through


def children(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return set()


def left_in(folder: Path, tables: set[Path]) -> list[str]:
    """Files that a run that is through should not have left."""
    kept = {*(str(one) for one in tables), "latlas-timing.lock", "latlas-timing.holder"}
    return [str(one) for one in folder.iterdir() if one.name not in kept and str(one) not in kept]


def keys(path: Path) -> set[str]:
    return {str(row.spec) for row in Table.read(path)}


def free(lock: Path) -> bool:
    try:
        with timing_lock(0, path=lock):
            return True
    except LatlasError:
        return False


def kill(kills: int, operators: int, seed: int, folder: Path) -> dict[str, Any]:
    """The record of this many kills."""
    rng, count, begun = random.Random(seed), Counter[str](), time.monotonic()
    whole = Run(folder / "whole.parquet", folder, operators)
    if not live(whole, rng, count, mortal=False):
        raise SystemExit("the run that is never interrupted failed; see above")
    tables, unequal, failed, records = {whole.out}, 0, 0, 0
    wanted = keys(whole.out)
    lost = lives = 0
    while sum(count[kind] for kind in KINDS) < kills:
        run = Run(folder / f"run{len(tables)}.parquet", folder, operators)
        through = False
        while not through:
            lives += 1
            through = live(run, rng, count, mortal=sum(count[kind] for kind in KINDS) < kills)
            if count["wrong exit codes"] > 3:
                raise SystemExit("it fails again and again; see above")
        tables.add(run.out)
        unequal += keys(run.out) != wanted
        failed += Table.read(run.out).count("failed")
        lost, records = lost + run.lost, records + len(run.seen)
    left = left_in(folder, tables)
    amiss = ("wrong exit codes", "broken partial tables", "processes left")
    record = {
        "kills": {kind: count[kind] for kind in KINDS},
        "runs": len(tables) - 1,
        "lives": lives,
        "operators": len(wanted),
        "records_seen": records,
        "records_lost": lost,
        "tables_of_other_keys": unequal,
        "failed_operators": failed,
        "interrupted_in_order": count["left in order"],
        "ended_after_the_table_was_written": count["ended after the table was written"],
        "partial_tables": count["partial tables"],
        **{name.replace(" ", "_"): count[name] for name in amiss},
        "files_left": left,
        "lock_is_free": free(folder / "latlas-timing.lock"),
        "seconds": time.monotonic() - begun,
    }
    record["nothing_lost"] = not any(
        (lost, unequal, failed, left, not record["lock_is_free"], *(count[name] for name in amiss))
    )
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--operators", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = kill(arguments.kills, arguments.operators, arguments.seed, Path(folder))
    print(json.dumps(record, indent=1))
    sys.exit(not record["nothing_lost"])


if __name__ == "__main__":
    main()
