"""Tests the predictor on subnets of another campaign, against what people use instead and against randomly drawn subnets.

    python benchmarks/predictor.py --table TABLE.parquet [--train 300] [--test 100] [--samples FILE.csv]

Measures `train` informative and as many random subnets in one campaign, and `test` others, half of them uniform, in another
process's after it. Prints JSON: the noise floor of the test subnets; the error of the predictor by how many subnets it learnt
from, chosen and random (mean of five draws); and with all of `train` its figures, the coverage of its intervals, and beside it
the plain sum of the table, that sum and multiply-adds scaled, and a one-hot ridge. `--samples` keeps what was measured; where
the file is there already, it is analysed and nothing is measured.
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
from sklearn.linear_model import RidgeCV

import latlas.spaces.portrait  # noqa: F401  (registers the space)
from latlas.commands.options import setting_of
from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.fitting.fit import Sample, collect_these, fit_predictor, subnets_to_measure
from latlas.latency.machine.environment import Environment
from latlas.latency.table.table import Table
from latlas.spaces.graph import live_nodes
from latlas.spaces.text import parse_space
from latlas.supernet.operators.build import timing_operator

sys.path.append(str(Path(__file__).resolve().parent.parent))
from benchmarks.kept_samples import Sets, kept

COUNTS = (25, 50, 75, 100, 150, 200, 300)
DRAWS = 5


def measure(table: Table, arguments: argparse.Namespace) -> tuple[Sets, dict[str, Any]]:
    environment = table.manifest.environment
    space = parse_space(table.manifest.only_space("the table"))
    seed = arguments.seed
    chosen, test = subnets_to_measure(space, arguments.train, arguments.test, seed, "informative", table.latency_ms)
    drawn, _ = subnets_to_measure(space, arguments.train, arguments.test, seed, "random")
    setting = setting_of(environment.precision or "f32", environment.threads or 1, seed=seed)
    asked = {"space": space.text, "benchmark": "predictor"}
    sets: Sets = {}
    seconds, references = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, members in (("train", list(dict.fromkeys([*chosen, *drawn]))), ("test", test)):
            started = time.monotonic()
            samples, now = collect_these(
                members,
                asked,
                setting,
                Path(folder) / name,
                build_module=timing_operator,
                on_progress=lambda p: print(p.done, p.total, round(p.eta_seconds or 0), file=sys.stderr, flush=True),
            )
            seconds.append(time.monotonic() - started)
            references.append(now.session_reference_ms)
            found = {sample.architecture: sample for sample in samples}
            groups = {"chosen": chosen, "random": drawn} if name == "train" else {"test": test}
            sets |= {group: [found[one] for one in of if one in found] for group, of in groups.items()}
    return sets, {"seconds": seconds, "references_ms": references, "environment": now.to_record()}


def scaled(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """Prediction of the line through (x, y) that has the least relative squared error."""
    basis = np.stack([train_x, np.ones_like(train_x)], axis=1) / train_y[:, None]
    coefficients, *_ = np.linalg.lstsq(basis, np.ones_like(train_y), rcond=None)
    return coefficients[0] * test_x + coefficients[1]


def others(table: Table, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
    """What people use instead of a predictor such as ours."""

    def column(rows: Sequence[Sample], value: Any) -> Any:
        return np.array([value(row.architecture) for row in rows], dtype=float)

    def table_sum(architecture: Any) -> float:
        graph = architecture.graph()
        return sum(table.latency_ms(graph[index].spec) for index in live_nodes(graph))

    names = sorted({name for options in train[0].architecture.space.choices for name in options})

    def one_hot(architecture: Any) -> list[float]:
        return [float(operator == name) for operator in architecture.operators for name in names]

    y, truth = (np.array([row.latency_ms for row in rows]) for rows in (train, test))
    ridge = RidgeCV(alphas=np.logspace(-4, 2, 13)).fit(column(train, one_hot), y)
    predictions = {
        "table_sum": column(test, table_sum),
        "table_sum_scaled": scaled(column(train, table_sum), y, column(test, table_sum)),
        "macs_scaled": scaled(column(train, lambda a: a.macs), y, column(test, lambda a: a.macs)),
        "one_hot_ridge": ridge.predict(column(test, one_hot)),
    }
    return {name: accuracy(predicted, truth) for name, predicted in predictions.items()}


def curve(table: Table, sets: Sets, environment: Environment, seed: int) -> dict[str, Any]:
    """MAPE and share within 5 % on the test subnets, by the number of subnets learnt from."""
    space, rng = sets["test"][0].architecture.space, np.random.default_rng(seed)

    def error(train: Sequence[Sample]) -> tuple[float, float]:
        figures = fit_predictor(space, table, train, sets["test"], environment).figures
        return figures["mape"], figures["within_5"]

    found: dict[str, Any] = {}
    for count in COUNTS:
        row: dict[str, Any] = {}
        if count <= len(sets.get("chosen", ())):
            row["chosen"] = error(sets["chosen"][:count])
        drawn = sets.get("random", [])
        if count <= len(drawn):
            picks = [[drawn[i] for i in rng.choice(len(drawn), count, replace=False)] for _ in range(DRAWS)]
            row["random"] = tuple(np.mean([error(pick) for pick in picks], axis=0).tolist())
        if row:
            found[str(count)] = row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    sets, how = kept(arguments.samples, lambda: measure(table, arguments))
    environment = table.manifest.environment
    train, test = sets["chosen"][: arguments.train], sets["test"]
    space = test[0].architecture.space
    figures = fit_predictor(space, table, train, test, environment).figures
    without = fit_predictor(space, None, train, test, environment).figures
    record = {
        "train": len(train),
        "test": len(test),
        "noise_floor": figures["noise_floor"],
        "error_over_floor": figures["mape"] / figures["noise_floor"],
        "latlas": figures,
        "latlas_without_table": {key: without[key] for key in ("mape", "within_5", "within_10", "spearman")},
        **others(table, train, test),
        "mape_and_within_5_by_subnets": curve(table, sets, environment, arguments.seed),
        **how,
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
