"""Keeps measured subnets with every pass as a CSV file, so that benchmarks can analyse them again without measuring."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latlas.latency.fitting.fit import Sample
from latlas.spaces.text import parse_architecture

FIELDS = ("set", "architecture", "latency_ms", "lower_ms", "upper_ms", "ratio", "status", "pass_ratios")
Sets = dict[str, list[Sample]]


def write_samples(path: Path, sets: Sets) -> None:
    """Write named sets of samples, one a line."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FIELDS)
        for name, members in sets.items():
            for one in members:
                passes = " ".join(f"{ratio:.6f}" for ratio in one.pass_ratios)
                numbers = [f"{value:.6f}" for value in (one.latency_ms, one.lower_ms, one.upper_ms, one.ratio)]
                writer.writerow([name, str(one.architecture), *numbers, one.status, passes])


def kept(path: Path | None, measure: Callable[[], tuple[Sets, dict[str, Any]]]) -> tuple[Sets, dict[str, Any]]:
    """The sets of a file that is there already; else what `measure` gives, kept in it, with what it tells of the measuring."""
    if path is not None and path.exists():
        return read_samples(path), {}
    sets, how = measure()
    if path is not None:
        write_samples(path, sets)
    return sets, how


def read_samples(path: Path) -> Sets:
    """The sets that `write_samples` wrote, with all a sample has."""
    sets: Sets = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            latency, lower, upper, ratio = (float(row[name]) for name in FIELDS[2:6])
            passes = tuple(float(one) for one in row["pass_ratios"].split())
            architecture = parse_architecture(row["architecture"])
            sample = Sample(architecture, latency, lower, upper, ratio, row["status"], passes)
            sets.setdefault(row["set"], []).append(sample)
    return sets
