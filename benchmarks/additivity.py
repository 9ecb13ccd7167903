"""How well plain sums of operator latencies (isolated, boundary-corrected, in-network) predict unseen subnets.

    python benchmarks/additivity.py --table TABLE.parquet [--subnets 100] [--test 60] [--samples FILE.csv]

Measures designed subnets, as many random ones and others to test on, all in one campaign and in turn. Prints JSON with the
error of each sum on the test subnets, and of the estimates from the first 25, 50 and 75. `--samples` keeps the measurements;
if the file exists already, it is analysed and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.commands.options import setting_of
from latlas.errors import MissingEntryError
from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.fitting.fit import Sample, collect_these, relative_sd
from latlas.latency.fitting.in_network import estimate_of, in_network_subnets, plain_sum
from latlas.latency.measuring.stopwatch import disagreement
from latlas.latency.predictor.features import CostOf
from latlas.latency.predictor.in_network import InNetworkEstimate, boundary_ms, cost_in, has_boundary
from latlas.latency.table.table import Table
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_space
from latlas.supernet.operators.build import timing_operator

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.kept_samples import Sets, kept


def subnets_of(space: SearchSpace, subnets: int, test: int, seed: int) -> dict[str, list[Architecture]]:
    """The architectures of each set; no test subnet is in another."""
    plan = in_network_subnets(space, subnets, seed)
    rng = np.random.default_rng(seed + 1)
    drawn = [one for one in draw_different(space, 2 * subnets + test, rng) if one not in set(plan)]
    # Half of the test is uniform: `draw_different` has fast, slow and repetitive ones too.
    uniform = [one for one in space.sample(3 * test, rng) if one not in {*plan, *drawn}]
    return {
        "designed": plan,
        "random": drawn[:subnets],
        "test_spread": drawn[subnets : subnets + test // 2],
        "test_uniform": uniform[: test - test // 2],
    }


def measure(table: Table, arguments: argparse.Namespace) -> tuple[Sets, dict[str, Any]]:
    environment = table.manifest.environment
    space = parse_space(table.manifest.space)
    sets = subnets_of(space, arguments.subnets, arguments.test, arguments.seed)
    setting = setting_of(
        environment.precision or "f32", environment.threads or 1, arguments.relative_error, arguments.seed
    )
    asked = {"space": space.text, "benchmark": "additivity", "subnets": arguments.subnets, "test": arguments.test}
    started = time.monotonic()
    journal = Path(f"{arguments.samples}.journal") if arguments.samples else None
    with tempfile.TemporaryDirectory() as folder:
        samples, now = collect_these(
            [one for members in sets.values() for one in members],
            asked,
            setting,
            journal or Path(folder) / "journal",
            build_module=timing_operator,
            on_progress=lambda p: print(p.done, p.total, round(p.eta_seconds or 0), file=sys.stderr, flush=True),
        )
    found = {sample.architecture: sample for sample in samples}
    return {name: [found[one] for one in members if one in found] for name, members in sets.items()}, {
        "seconds": time.monotonic() - started,
        "environment": now.to_record(),
    }


def figures(predicted: Any, test: Sequence[Sample]) -> dict[str, Any]:
    """Accuracy, and the mean relative error with its sign."""
    measured = np.array([s.latency_ms for s in test])
    return {**accuracy(predicted, measured), "bias": float(np.mean(predicted / measured - 1))}


def of_estimate(found: InNetworkEstimate, test: Sequence[Sample]) -> dict[str, Any]:
    graphs, measured = [s.architecture.graph() for s in test], np.array([s.latency_ms for s in test])
    sums, own = found.sums(graphs), np.array([relative_sd(s) for s in test]) * measured
    # As a reader of the table has it: standard errors as if independent.
    rows = found.counts(graphs) ** 2 @ found.se_ms**2 + (found.misfit * sums) ** 2
    off = np.abs(sums - measured)
    return {
        **figures(sums, test),
        "coverage_95": float(np.mean(off <= 1.96 * np.hypot(found.sums_se(graphs), own))),
        "coverage_95_rows_alone": float(np.mean(off <= 1.96 * np.sqrt(rows + own**2))),
        "left_out_mape": found.error,
        "factor": found.factor,
        "spreads": found.spreads,
        "median_se_share": float(np.median(found.se_ms / np.maximum(found.latency_ms, 1e-9))),
    }


def mape_of(samples: Sequence[Sample], table: Table, test: Sequence[Sample]) -> float | None:
    """MAPE of the estimate from these samples; None if an operator is in none of them."""
    found = estimate_of(samples, cost_in(table))
    try:
        sums = found.sums([s.architecture.graph() for s in test])
    except MissingEntryError:
        return None
    return float(np.mean(np.abs(sums / [s.latency_ms for s in test] - 1)))


def analyse(sets: Sets, table: Table) -> dict[str, Any]:
    test = [*sets["test_spread"], *sets["test_uniform"]]
    graphs = [s.architecture.graph() for s in test]
    costs: dict[str, CostOf] = {"isolated": table.latency_ms}
    if has_boundary(table):
        costs["boundary_corrected"] = lambda spec: boundary_ms(table, spec)
    result: dict[str, Any] = {name: len(members) for name, members in sets.items()}
    floor = disagreement(s.pass_ratios for s in test)
    result["noise_floor"] = floor if np.isfinite(floor) else None
    for name, cost_of in costs.items():
        sums = np.array([plain_sum(cost_of, graph) for graph in graphs])
        learnt = [(plain_sum(cost_of, s.architecture.graph()) / s.latency_ms) for s in sets["designed"]]
        result[name] = figures(sums, test)
        result[f"{name}_scaled"] = figures(sums * np.sum(learnt) / np.sum(np.square(learnt)), test)
    curve: dict[str, dict[str, float | None]] = {}
    for name in ("designed", "random"):
        samples = sets[name]
        whole = mape_of(samples, table, test) is not None
        result[f"in_network_{name}"] = of_estimate(estimate_of(samples, cost_in(table)), test) if whole else None
        for count in sorted({25, 50, 75, len(samples)}):
            if count <= len(samples):
                curve.setdefault(str(count), {})[name] = mape_of(samples[:count], table, test)
    found = estimate_of(sets["designed"], cost_in(table))
    for half in ("test_spread", "test_uniform"):
        result[f"in_network_designed_{half}"] = figures(
            found.sums([s.architecture.graph() for s in sets[half]]), sets[half]
        )
    return {**result, "mape_by_subnets": curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--subnets", type=int, default=100)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--relative-error", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    sets, how = kept(arguments.samples, lambda: measure(table, arguments))
    print(json.dumps({**analyse(sets, table), **how}, indent=1))


if __name__ == "__main__":
    main()
