"""Repeat error of the stopwatch against a plain median of equal time, in one run.

    python benchmarks/repeatability.py [--subnets 8] [--repeats 6]

Over and over, all subnets are measured by the stopwatch, in six to twenty-four passes each, interleaved, and then each is run,
compiled anew, back to back for as many seconds as the stopwatch took for it, its reference and what it does not count
included and compiling left out. The repeat error of an estimator is the mean relative difference of two
measurements of one subnet. Prints JSON; also the scatter between passes that `PASS_SD` stands for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from latlas.latency import campaign, runtime
from latlas.latency.bench import Bench, Network, network_of_graph
from latlas.latency.environment import StealMeter, machine_state
from latlas.latency.stopwatch import Pass, StopRule
from latlas.supernet.operators import timing_operator
from latlas.supernet.portrait import PortraitSpace


class Timed:
    """A bench that notes how long each network kept it, compiling left out."""

    def __init__(self, bench: Bench) -> None:
        self.rule = bench.rule
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._bench = bench

    def time(self, network: Network) -> Pass:
        """One pass."""
        started = time.perf_counter()
        done = self._bench.time(network)
        self.seconds[network.label] += time.perf_counter() - started - self._bench.last_compile_seconds
        return done


def disagreement(readings: list[list[float]]) -> dict[str, float]:
    """Mean, median and worst relative difference of two readings of one network."""
    pairs = [abs(a - b) / ((a + b) / 2) for row in readings for a, b in combinations(row, 2)]
    return {"mean": statistics.fmean(pairs), "median": statistics.median(pairs), "worst": max(pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subnets", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    options, rng = runtime.CompileOptions(), np.random.default_rng(0)
    graphs = [a.graph() for a in PortraitSpace().sample(arguments.subnets, rng)]
    paired: list[list[float]] = [[] for _ in graphs]
    plain: list[list[float]] = [[] for _ in graphs]
    least: list[list[float]] = [[] for _ in graphs]
    covered: list[tuple[float, float, int]] = []
    passes: list[list[float]] = [[] for _ in graphs]
    steal, started, spent, discarded, rounds = StealMeter(), time.perf_counter(), [], 0, 0
    with Bench(rule=StopRule()) as bench, tempfile.TemporaryDirectory() as folder:
        library = runtime.OperatorLibrary(Path(folder), timing_operator)
        models = [library.stitch(graph) for graph in graphs]
        networks = [network_of_graph(str(index), library.describe(graph)) for index, graph in enumerate(graphs)]
        for repeat in range(arguments.repeats):
            timer = Timed(bench)
            found = campaign.measure_all(timer, networks, passes=6, max_passes=24, seed=repeat)
            for index, measured in enumerate(found.values()):
                reading = measured.reading(bench.rule)
                paired[index].append(reading.ratio)
                covered.append((reading.lower, reading.upper, index))
                passes[index] += measured.pass_ratios()
                discarded, rounds = discarded + reading.discarded, rounds + reading.discarded + reading.rounds
            for index in rng.permutation(len(models)):
                compiled, times = runtime.Compiled(models[index], options), []
                for _ in range(5):
                    compiled.run()
                begun, seconds = time.perf_counter(), timer.seconds[str(index)]
                while time.perf_counter() - begun < seconds:
                    times.append(compiled.run())
                plain[index].append(statistics.median(times))
                least[index].append(min(times))
                spent.append(seconds)
    results = {"stopwatch": disagreement(paired), "plain_median": disagreement(plain), "minimum": disagreement(least)}
    scatter = [statistics.stdev(row) / statistics.fmean(row) for row in passes if len(row) > 1]
    held = [lower <= other <= upper for lower, upper, index in covered for other in paired[index]]
    own = len(covered)
    print(
        json.dumps(
            {
                "subnets": arguments.subnets,
                "repeats": arguments.repeats,
                "seconds_a_measurement": statistics.fmean(spent),
                "repeat_error": results,
                "plain_over_stopwatch": results["plain_median"]["mean"] / results["stopwatch"]["mean"],
                "minimum_over_stopwatch": results["minimum"]["mean"] / results["stopwatch"]["mean"],
                "interval_held_another_reading": (sum(held) - own) / (len(held) - own),
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
