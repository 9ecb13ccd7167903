"""Memory over thousands of models, in the timing process, in the run that drives it, and while converting.

    python benchmarks/memory.py [--models 2000] [--unrecycled 300] [--conversions 2000] [--unforgotten 200]

Each part runs in a process of its own. `recycled`: a campaign of different networks, four of five stitched subnets and one an
operator, one short pass each, as `profile-ops` and `fit-predictor` run them; `unrecycled`: the same with one timing process
for all. `converted`: operators converted anew, over and over; `unforgotten`: the same without dropping what torch keeps of
each traced module. Resident memory is read before each model. Slopes are least squares over the second half, in KiB a model;
`flat` says that a part grows by less than 2 % of its memory over its second half. Prints JSON; exit code 1 where `recycled`
or `converted` is not flat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from latlas.files.journal import Journal
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, Network, network_of_graph
from latlas.latency.measuring.stopwatch import StopRule
from latlas.latency.measuring.time_left import Progress
from latlas.latency.runtime import conversion
from latlas.latency.runtime import plugin as runtime
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.operators.build import timing_operator

FLAT_SHARE = 0.02
RULE = StopRule(
    relative_half_width=0.5, pass_seconds=0.005, min_rounds=1, quiet_tolerance=1e6
)  # no pass is measured again
NEVER = 10**9


def networks_of(models: int, space: PortraitSpace, library: conversion.OperatorLibrary) -> list[Network]:
    """Different networks: of five, four random subnets and one operator."""
    subnets = iter(dict.fromkeys(space.sample(2 * models, np.random.default_rng(0))))
    specs = space.specs()
    return [
        Network(f"{index}", file=str(library.path(specs[index // 5 % len(specs)])))
        if index % 5 == 4
        else network_of_graph(f"{index}", library.describe(next(subnets).graph()))
        for index in range(models)
    ]


def timed(models: int, space: PortraitSpace, recycle_after: int) -> dict[str, Any]:
    """Memory of the run and of its timing process, a model at a time."""
    run, mine, workers, pids = psutil.Process(), list[int](), list[int](), list[int]()

    def look(progress: Progress) -> None:
        mine.append(run.memory_info().rss)
        with suppress(psutil.Error):
            for worker in run.children():  # none where the last one was given up
                workers.append(worker.memory_info().rss)
                pids.append(worker.pid)

    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "run.journal", {}) as journal:
        library = conversion.OperatorLibrary(Path(folder), timing_operator)
        networks = networks_of(models, space, library)
        with Bench(rule=RULE, recycle_after=recycle_after) as bench:
            found = campaign.measure_all(
                bench, networks, passes=1, max_passes=1, repeat_noisy=False, journal=journal, on_progress=look
            )
    lives = [[rss for rss, pid in zip(workers, pids, strict=True) if pid == one] for one in dict.fromkeys(pids)]
    return {
        "models": models,
        "recycle_after": None if recycle_after == NEVER else recycle_after,
        "failed": sum(not one.passes for one in found.values()),
        "run": figures(mine),
        "timing_process": figures(workers)
        | {
            "processes": len(lives),
            "kib_a_model_within_a_process": float(np.median([slope(one[len(one) // 4 :]) for one in lives])),
        },
    }


def converted(conversions: int, space: PortraitSpace, forget: bool) -> dict[str, Any]:
    """Memory of a process that converts operators over and over."""
    if not forget:
        conversion._forget_traces = lambda: None
    run, mine = psutil.Process(), list[int]()
    specs = space.specs()
    left = conversions
    while left:
        with tempfile.TemporaryDirectory() as folder:
            library = conversion.OperatorLibrary(Path(folder), timing_operator)
            for spec in specs[:left]:
                library.path(spec)
                mine.append(run.memory_info().rss)
        left = conversions - len(mine)
    return {"conversions": conversions, "run": figures(mine)}


def figures(rss: Sequence[int]) -> dict[str, Any]:
    """Peak and level in MiB, growth in KiB a model, and whether that is flat."""
    second = rss[len(rss) // 2 :]
    growth = slope(second)
    level = float(np.median(second)) / 1024
    return {
        "first_mib": rss[0] / 2**20,
        "peak_mib": max(rss) / 2**20,
        "median_mib": level / 1024,
        "kib_a_model": growth,
        "flat": bool(abs(growth) * len(second) <= FLAT_SHARE * level),
    }


def slope(rss: Sequence[int]) -> float:
    """Growth in KiB a model, by least squares."""
    return float(np.polyfit(range(len(rss)), np.array(rss) / 1024, 1)[0]) if len(rss) > 1 else 0.0


def in_a_process(part: str, number: int, resolution: int) -> dict[str, Any]:
    """A part's record, from a process of its own."""
    command = [sys.executable, "-P", __file__, "--part", part, "--number", str(number), "--resolution", str(resolution)]
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    record: dict[str, Any] = json.loads(done.stdout)
    record["seconds"] = time.monotonic() - started
    print(part, json.dumps(record), file=sys.stderr)
    return record


PARTS: dict[str, Callable[[int, PortraitSpace], dict[str, Any]]] = {
    "recycled": lambda number, space: timed(number, space, 100),
    "unrecycled": lambda number, space: timed(number, space, NEVER),
    "converted": lambda number, space: converted(number, space, True),
    "unforgotten": lambda number, space: converted(number, space, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--unrecycled", type=int, default=300)
    parser.add_argument("--conversions", type=int, default=2000)
    parser.add_argument("--unforgotten", type=int, default=200)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        space = PortraitSpace(height=arguments.resolution, width=arguments.resolution)
        print(json.dumps(PARTS[arguments.part](arguments.number, space)))
        return
    numbers = {
        "recycled": arguments.models,
        "unrecycled": arguments.unrecycled,
        "converted": arguments.conversions,
        "unforgotten": arguments.unforgotten,
    }
    record: dict[str, Any] = {
        part: in_a_process(part, number, arguments.resolution) for part, number in numbers.items() if number
    }
    judged = [record[part] for part in ("recycled", "converted") if part in record]
    record["flat"] = all(part[who]["flat"] for part in judged for who in ("run", "timing_process") if who in part)
    record["openvino"] = runtime.openvino_version()
    print(json.dumps(record, indent=1))
    sys.exit(not record["flat"])


if __name__ == "__main__":
    main()
