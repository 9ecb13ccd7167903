"""The predictor on unseen subnets, against what people use instead, from the same measurements.

    python benchmarks/predictor.py --table TABLE.parquet [--train 150] [--test 50]

Measures train + test subnets once, fits on the first, and prints JSON with the error of each method on the second: ours,
the plain sum of the table, that sum scaled by least squares, multiply-adds scaled, and a one-hot ridge. The noise floor,
two passes of the test subnets compared, stands beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

import latlas.supernet.portrait  # noqa: F401  (registers the space)
from latlas.latency.graph import live_nodes
from latlas.latency.profile import Setting
from latlas.latency.table import Table
from latlas.search.fit import Sample, accuracy, collect, fit_predictor
from latlas.supernet.space import parse_space


def scaled(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """Prediction of the line through (x, y) that has the least relative squared error."""
    basis = np.stack([train_x, np.ones_like(train_x)], axis=1) / train_y[:, None]
    coefficients, *_ = np.linalg.lstsq(basis, np.ones_like(train_y), rcond=None)
    return coefficients[0] * test_x + coefficients[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--train", type=int, default=150)
    parser.add_argument("--test", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    environment = table.manifest.environment
    space = parse_space(table.manifest.only_space("the table"))
    setting = Setting(precision=environment.precision, threads=environment.threads or 1, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        samples, now = collect(space, arguments.train + arguments.test, setting, Path(folder) / "journal")
    train, test = samples[: arguments.train], samples[arguments.train :]
    figures = fit_predictor(space, table, train, test, now, seed=arguments.seed).figures
    without = fit_predictor(space, None, train, test, now, seed=arguments.seed).figures

    def column(rows: list[Sample], value: Any) -> Any:
        return np.array([value(row.architecture) for row in rows], dtype=float)

    def table_sum(architecture: Any) -> float:
        graph = architecture.graph()
        return sum(table.latency_ms(graph[index].spec) for index in live_nodes(graph))

    names = sorted({name for options in space.choices for name in options})

    def one_hot(architecture: Any) -> list[float]:
        return [float(operator == name) for operator in architecture.operators for name in names]

    y, truth = (np.array([row.latency_ms for row in rows]) for rows in (train, test))
    ridge = RidgeCV(alphas=np.logspace(-4, 2, 13)).fit(column(train, one_hot), y)
    others = {
        "table_sum": column(test, table_sum),
        "table_sum_scaled": scaled(column(train, table_sum), y, column(test, table_sum)),
        "macs_scaled": scaled(column(train, lambda a: a.macs), y, column(test, lambda a: a.macs)),
        "one_hot_ridge": ridge.predict(column(test, one_hot)),
    }
    print(
        json.dumps(
            {
                "train": len(train),
                "test": len(test),
                "noise_floor": figures["noise_floor"],
                "latlas": figures,
                "latlas_without_table": {key: without[key] for key in ("mape", "within_5", "within_10", "spearman")},
                **{name: accuracy(predicted, truth) for name, predicted in others.items()},
                "environment": now.to_dict(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
