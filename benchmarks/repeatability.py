"""Repeat error of the stopwatch against a plain median of equal time, in one run.

    python benchmarks/repeatability.py [--subnets 12] [--passes 6]

Each subnet is measured in several passes minutes apart, compiled anew each time: first by the stopwatch, then by running
it for as many seconds as the stopwatch took. The repeat error of an estimator is the mean relative difference of two
passes of one subnet. Prints JSON; also the scatter between passes that `LAYOUT_SD` stands for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np

from latlas.latency import runtime
from latlas.latency.environment import StealMeter, machine_state
from latlas.latency.lock import timing_lock
from latlas.latency.stopwatch import StopRule, run_pass
from latlas.latency.worker import CANDIDATE_BLOCK_MS, reference_sampler, sampler
from latlas.supernet.operators import timing_operator
from latlas.supernet.portrait import PortraitSpace


def disagreement(readings: list[list[float]]) -> dict[str, float]:
    """Mean, median and worst relative difference of two readings of one network."""
    pairs = [abs(a - b) / ((a + b) / 2) for row in readings for a, b in combinations(row, 2)]
    return {"mean": statistics.fmean(pairs), "median": statistics.median(pairs), "worst": max(pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subnets", type=int, default=12)
    parser.add_argument("--passes", type=int, default=6)
    arguments = parser.parse_args()
    options, rule, rng = runtime.CompileOptions(), StopRule(), np.random.default_rng(0)
    graphs = [a.graph() for a in PortraitSpace().sample(arguments.subnets, rng)]
    paired: list[list[float]] = [[] for _ in graphs]
    plain: list[list[float]] = [[] for _ in graphs]
    least: list[list[float]] = [[] for _ in graphs]
    steal, started, spent, discarded, rounds = StealMeter(), time.perf_counter(), [], 0, 0
    with timing_lock(), tempfile.TemporaryDirectory() as folder:
        library = runtime.OperatorLibrary(Path(folder), timing_operator)
        reference = reference_sampler(runtime.Host(options))
        models = [library.stitch(graph) for graph in graphs]
        for _ in range(arguments.passes):
            for index in rng.permutation(len(models)):
                candidate = runtime.Compiled(models[index], options)
                run = sampler(candidate, CANDIDATE_BLOCK_MS)
                begun = time.perf_counter()
                done = run_pass(run, reference, rule, time.perf_counter)
                seconds = time.perf_counter() - begun
                again = runtime.Compiled(models[index], options)
                run, times, begun = sampler(again, CANDIDATE_BLOCK_MS), [], time.perf_counter()
                while time.perf_counter() - begun < seconds:
                    times.append(run())
                paired[index].append(done.ratio)
                plain[index].append(statistics.median(times))
                least[index].append(min(times))
                spent.append(seconds)
                discarded, rounds = discarded + done.discarded, rounds + len(done.rounds)
    results = {"stopwatch": disagreement(paired), "plain_median": disagreement(plain), "minimum": disagreement(least)}
    scatter = [statistics.stdev(row) / statistics.fmean(row) for row in paired]
    print(
        json.dumps(
            {
                "subnets": arguments.subnets,
                "passes": arguments.passes,
                "seconds_a_measurement": statistics.fmean(spent),
                "repeat_error": results,
                "plain_over_stopwatch": results["plain_median"]["mean"] / results["stopwatch"]["mean"],
                "minimum_over_stopwatch": results["minimum"]["mean"] / results["stopwatch"]["mean"],
                "scatter_between_passes_sd": float(np.sqrt(np.mean(np.square(scatter)))),
                "discarded_share": discarded / rounds,
                "stolen_share": steal.read(),
                "load_1m": machine_state().load_1m,
                "openvino": runtime.openvino_version(),
                "seconds": time.perf_counter() - started,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
