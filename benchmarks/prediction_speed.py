"""How many architectures a second these predict: the predictor with bounds, a table's sum, Once-for-All's lookup; and measuring.

    python benchmarks/prediction_speed.py --predictor DIR --table TABLE.parquet [--count 200000] [--measure 5]

All on one core, in turn in one run, five times each, the fastest counts; from integer codes, and from architectures where an
algorithm takes those. The constraint's verdicts too: of codes, of architectures, and of anybody's with a graph alone, each by
a new constraint, so that compiling is in it. Once-for-All's is its published one (`LatencyTable.query` of its repository): for
each architecture a loop over its blocks, one text key a block, one look into a dictionary. Prints JSON with architectures a
second and ratios, and the seconds of compiling and of learning eight measurements.
"""

from __future__ import annotations

import os

# Before numpy is loaded.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.arrays import Codes, FloatArray
from latlas.files.scratch import scratch_folder
from latlas.latency.measuring.bench import network_of_graph
from latlas.latency.measuring.campaign import measure_all
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.compiled import CHUNK, CompiledPredictor
from latlas.latency.predictor.features import CostOf
from latlas.latency.predictor.predictor_file import load_predictor
from latlas.latency.table.table import Table
from latlas.search.constraint.constraint import LatencyConstraint
from latlas.spaces.codes import Template
from latlas.spaces.graph import Graph
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.space import Architecture
from latlas.supernet.operators.build import timing_operator

REPEATS = 5
FEW = 2000
"""How many architectures the slow methods get."""


class CompiledSum:
    """The plain sum of operators' latencies for codes `(n, columns)`: one look into a small array a column.

    `cost_of` gives an operator's milliseconds; the template's networks have no dead branches.
    """

    def __init__(self, cost_of: CostOf, template: Template) -> None:
        self.constant = sum(cost_of(slot.options[0]) for slot in template.slots if slot.column is None)
        self.unary = [np.zeros(size) for size in template.sizes]
        for slot in template.slots:
            if slot.column is not None:
                self.unary[slot.column] += [cost_of(spec) for spec in slot.options]

    def latency_ms(self, codes: Codes) -> FloatArray:
        """Milliseconds `(n,)`."""
        found = []
        for start in range(0, len(codes), CHUNK):
            part = codes[start : start + CHUNK]
            total = np.full(len(part), self.constant)
            for values, column in zip(self.unary, part.T, strict=True):
                total += values[column]
            found.append(total)
        return np.concatenate(found)


@dataclass(frozen=True)
class GraphAlone:
    """As an architecture of somebody else's search."""

    architecture: Architecture

    def graph(self) -> Graph:
        return self.architecture.graph()


def ofa_key(spec: OpSpec) -> str:
    """A block's key as Once-for-All's table has it."""
    size = spec.output_size
    return "-".join(
        [
            spec.name,
            f"input:{spec.height}x{spec.width}x{spec.in_channels}",
            f"output:{size[0]}x{size[1]}x{spec.out_channels}",
            f"expand:{spec.hidden_channels / spec.in_channels:g}",
            f"kernel:{spec.kernel_size}",
            f"stride:{spec.stride}",
            f"idskip:{int(spec.stride == 1 and spec.in_channels == spec.out_channels)}",
            f"se:{int(spec.squeeze_channels > 0)}",
            f"hs:{int(spec.activation == 'hswish')}",
            f"dilation:{spec.dilation}-scale:{spec.scale}",
        ]
    )


def seconds_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def seconds_a_measured_subnet(setting: Setting, subnets: Sequence[Architecture]) -> float:
    with scratch_folder() as folder:
        library = setting.library(folder, timing_operator)
        networks = [network_of_graph(str(one), library.describe(one.graph())) for one in subnets]
        with setting.bench() as bench:
            started = time.perf_counter()
            measure_all(bench, networks, passes=setting.passes, max_passes=setting.passes, seed=0)
            return (time.perf_counter() - started) / len(subnets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictor", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--measure", type=int, default=5)
    arguments = parser.parse_args()
    saved, table = load_predictor(arguments.predictor), Table.read(arguments.table)
    space = saved.space
    rng = np.random.default_rng(0)
    sizes = [len(options) for options in space.choices]
    codes = rng.integers(0, sizes, (arguments.count, len(sizes)))
    started = time.perf_counter()
    predictor = CompiledPredictor(saved.predictor, space.template())
    compiling = time.perf_counter() - started
    started = time.perf_counter()
    learnt = saved.predictor.updated([one.graph() for one in space.decode(codes[:8])], [1.0] * 8, [0.01] * 8)
    learning = time.perf_counter() - started
    assert learnt is not saved.predictor
    plain = CompiledSum(table.latency_ms, space.template())
    few = space.decode(codes[:FEW])
    graphs = [one.graph() for one in few]
    lookup = {ofa_key(row.spec): {"mean": row.latency_ms} for row in table}

    def ofa() -> list[float]:
        totals = []
        for graph in graphs:
            total = 0.0
            for node in graph:
                total += lookup[ofa_key(node.spec)]["mean"] or 0.0
            totals.append(total)
        return totals

    budget_ms = float(np.median(predictor.latency_ms(codes)))

    def constraint() -> LatencyConstraint:
        return LatencyConstraint(saved.predictor, budget_ms)

    verdicts = [one.feasible for one in constraint().check_all(few)]
    assert verdicts == [one.feasible for one in constraint().check_all([GraphAlone(one) for one in few])]
    assert verdicts == (constraint().screen_codes(space, codes[:FEW]) > 0).tolist()
    np.testing.assert_allclose(ofa(), plain.latency_ms(codes[:FEW]), rtol=1e-9)
    exact = saved.predictor.predict_interval(graphs[:200])
    np.testing.assert_allclose(predictor.predict_interval(codes[:200])[2], [b.upper_ms for b in exact], rtol=1e-6)
    a_second = {
        "predictor_with_bounds": len(codes) / seconds_of(lambda: predictor.predict_interval(codes)),
        "predictor": len(codes) / seconds_of(lambda: predictor.latency_ms(codes)),
        "table_sum": len(codes) / seconds_of(lambda: plain.latency_ms(codes)),
        "predictor_with_bounds_of_graphs": FEW / seconds_of(lambda: saved.predictor.predict_interval(graphs)),
        "constraint_screens_codes": len(codes) / seconds_of(lambda: constraint().screen_codes(space, codes)),
        "constraint_checks_architectures": FEW / seconds_of(lambda: constraint().check_all(few)),
        "constraint_checks_graphs": FEW / seconds_of(lambda: constraint().check_all([GraphAlone(one) for one in few])),
        "once_for_all_lookup": FEW / seconds_of(ofa),
    }
    if arguments.measure:
        environment = saved.environment
        setting = Setting(precision=environment.precision, threads=environment.threads or 1)
        a_second["measuring"] = 1 / seconds_a_measured_subnet(setting, few[: arguments.measure])
    record: dict[str, Any] = {
        "architectures": len(codes),
        "compiling_seconds": compiling,
        "learning_seconds": learning,
        "a_second": a_second,
        "predictor_with_bounds_over": {
            name: a_second["predictor_with_bounds"] / value for name, value in a_second.items()
        },
        "features": len(saved.predictor.names_),
        "cpu": saved.environment.cpu_model,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
