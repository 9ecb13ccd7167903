"""Compares whole, independent `profile-ops` runs: how much they disagree, and how often their intervals hold.

    python benchmarks/repeatability.py [--runs 2] [--space portrait] [--resolution 256] [--precision f32] [--threads 1]
    python benchmarks/repeatability.py first.parquet second.parquet ...

Each run is a command of its own; or tables of one environment are given. Prints JSON: over all operators and pairs of runs the
relative difference of the two latencies, by ratio to the reference and by millisecond; the share in which the interval of one
run holds the other's value (90 to 99 % would be right of 95 % intervals); seconds and noisy rows of each run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from latlas.latency.machine.environment import StealMeter
from latlas.latency.table.table import Table


def profiled(folder: Path, run: int, options: Sequence[str]) -> tuple[Table, float]:
    """The table of a run, and the seconds it took."""
    path = folder / f"{run}.parquet"
    command = [sys.executable, "-m", "latlas.cli", "profile-ops", "--out", str(path), "--seed", str(run), *options]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Table.read(path), time.perf_counter() - started


def figures(differences: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and worst, in per cent."""
    return {
        "median": 100 * float(np.median(differences)),
        "p95": 100 * float(np.quantile(differences, 0.95)),
        "worst": 100 * max(differences),
    }


def compare(tables: Sequence[Table]) -> dict[str, Any]:
    """Figures over all pairs of tables."""
    by_ratio, by_ms, held = [], [], []
    for a, b in combinations(tables, 2):
        for row in a:
            if row.spec not in a or row.spec not in b:
                continue
            other = b[row.spec]
            assert row.ratio and row.ratio_lower and row.ratio_upper and row.latency_ms
            assert other.ratio and other.ratio_lower and other.ratio_upper and other.latency_ms
            by_ratio.append(abs(row.ratio - other.ratio) / ((row.ratio + other.ratio) / 2))
            by_ms.append(abs(row.latency_ms - other.latency_ms) / ((row.latency_ms + other.latency_ms) / 2))
            held.append(row.ratio_lower <= other.ratio <= row.ratio_upper)
            held.append(other.ratio_lower <= row.ratio <= other.ratio_upper)
    return {
        "pairs": len(by_ratio),
        "disagreement_percent": figures(by_ratio),
        "disagreement_ms_percent": figures(by_ms),
        "interval_held_the_other": sum(held) / len(held),
        "median_half_width_percent": 100
        * float(np.median([row.relative_half_width for table in tables for row in table])),
        "entries": [len(table) for table in tables],
        "noisy": [table.count("noisy") for table in tables],
        "failed": [table.count("failed") for table in tables],
        "noise_floor": [table.manifest.noise_floor for table in tables],
        "reference_ms": [table.manifest.environment.reference_ms for table in tables],
        "environment": tables[0].manifest.environment.to_record(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="*")
    parser.add_argument("--runs", type=int, default=2)
    for option, default in (("space", "portrait"), ("resolution", "256"), ("precision", "f32"), ("threads", "1")):
        parser.add_argument(f"--{option}", default=default)
    arguments = parser.parse_args()
    if arguments.tables:
        print(json.dumps(compare([Table.read(path) for path in arguments.tables]), indent=1))
        return
    options = [
        text
        for name in ("space", "resolution", "precision", "threads")
        for text in (f"--{name}", getattr(arguments, name))
    ]
    steal = StealMeter()
    with tempfile.TemporaryDirectory() as folder:
        runs = [profiled(Path(folder), run, options) for run in range(arguments.runs)]
    result = compare([table for table, _ in runs])
    print(json.dumps(result | {"seconds": [took for _, took in runs], "stolen_share": steal.read()}, indent=1))


if __name__ == "__main__":
    main()
