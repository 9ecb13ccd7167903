"""Predictors of published latencies, learnt from a few hundred networks, on those that they did not learn from.

    python benchmarks/public_data.py --nasbench201 FILE.csv --hat FILE.csv [--train 900] [--seeds 3]

FILE.csv of NAS-Bench-201 has a column `architecture` and columns `latency_ms_DEVICE` (HELP's devices); that of HAT ten
features, `latency_mean_encoder` and `latency_mean_decoder`. Prints JSON: of each device and count the figures of
`fit-predictor --samples` for each seed and their means, and beside them, learnt and tested on the same lines: a line through
multiply-adds, a ridge on the architecture's one-hot codes, and LightGBM on them (of HAT: on its features).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

from latlas.latency.lightgbm_regressor import LightGBMRegressor
from latlas.search.fit import accuracy
from latlas.search.fit_samples import Fitted, fit_graphs, fit_tabular
from latlas.search.samples import architectures_of, columns_of, matrix_of, read_samples, target_of
from latlas.supernet.spaces import NasBench201

DEVICE = "latency_ms_"
HAT_TARGET = "latency_mean_encoder+latency_mean_decoder"
SHOWN = ("mape", "within_1", "within_5", "within_10", "spearman", "coverage_90", "coverage_95", "width_90", "width_95")


def line(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """A line, by least relative squares."""
    basis = np.column_stack([train_x, np.ones(len(train_x))]) / train_y[:, None]
    slope, offset = np.linalg.lstsq(basis, np.ones_like(train_y), rcond=None)[0]
    return slope * test_x[:, 0] + offset


def ridge(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """A ridge on the logarithm, its penalty by cross-validation."""
    model = RidgeCV(np.logspace(-3, 3, 13)).fit(train_x, np.log(train_y))
    return np.exp(model.predict(test_x))


def boosted(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """LightGBM on the logarithm."""
    return LightGBMRegressor().fit(train_x, train_y).predict(test_x)


def beside(fitted: Fitted, latencies: Any, methods: dict[str, tuple[Callable[..., Any], Any]]) -> dict[str, Any]:
    """Figures of a fit and of each method on its lines."""
    learnt, held_out = fitted.train, fitted.test
    shown = {name: fitted.figures[name] for name in (*SHOWN, "fit_seconds")}
    found: dict[str, Any] = {"latlas": shown | {"regressor": fitted.figures["regressor"]}}
    if "dead_branches" in fitted.figures:
        found["latlas"]["dead_branches"] = fitted.figures["dead_branches"]
    for name, (method, matrix) in methods.items():
        found[name] = accuracy(method(matrix[learnt], latencies[learnt], matrix[held_out]), latencies[held_out])
    return found


def means(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of each method's numbers, and what it chose."""
    found: dict[str, Any] = {}
    for method in runs[0]:
        values = {name: [run[method][name] for run in runs] for name in runs[0][method]}
        found[method] = {
            name: float(np.mean(of)) if isinstance(of[0], float) else sorted(set(of)) for name, of in values.items()
        }
    return found


def nasbench201(path: Path, counts: list[int], seeds: int, devices: list[str], dead_branches: str) -> dict[str, Any]:
    space, samples = NasBench201(), read_samples(path)
    architectures = architectures_of(samples, space)
    codes = space.encode(architectures)
    one_hot = np.eye(5)[codes].reshape(len(codes), -1)
    macs = np.array([[a.macs / 1e8] for a in architectures])
    found: dict[str, Any] = {}
    for column in (name for name in samples.header if name.startswith(DEVICE)):
        if devices and column.removeprefix(DEVICE) not in devices:
            continue
        latencies = target_of(samples, column)
        methods = {"macs line": (line, macs), "one-hot ridge": (ridge, one_hot), "lightgbm": (boosted, one_hot)}
        for count in counts:
            runs = [
                beside(
                    fit_graphs(samples, space, column, count, seed=seed, dead_branches=dead_branches),
                    latencies,
                    methods,
                )
                for seed in range(seeds)
            ]
            found.setdefault(column.removeprefix(DEVICE), {})[str(count)] = {"mean": means(runs), "seeds": runs}
    return found


def hat(path: Path, counts: list[int], seeds: int) -> dict[str, Any]:
    samples = read_samples(path)
    features = [name for name in samples.header if not name.startswith("latency")]
    matrix = matrix_of(samples, columns_of(samples, features))
    latencies = target_of(samples, HAT_TARGET)
    methods: dict[str, tuple[Callable[..., Any], Any]] = {"ridge": (ridge, matrix), "lightgbm": (boosted, matrix)}
    found: dict[str, Any] = {}
    for count in counts:
        runs = [
            beside(fit_tabular(samples, features, HAT_TARGET, count, seed=seed), latencies, methods)
            for seed in range(seeds)
        ]
        for seed, run in enumerate(runs):
            ordered = fit_tabular(samples, features, HAT_TARGET, count, seed=seed, in_order=True).figures
            run["latlas, lines in order"] = {name: ordered[name] for name in SHOWN}
        found[str(count)] = {"mean": means(runs), "seeds": runs}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nasbench201", type=Path)
    parser.add_argument("--hat", type=Path)
    parser.add_argument("--train", type=int, nargs="+", default=[900])
    parser.add_argument("--hat-train", type=int, nargs="+", default=[1600])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--devices", nargs="*", default=[])
    parser.add_argument("--dead-branches", default="auto")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.nasbench201 is not None:
        found["nasbench201"] = nasbench201(
            given.nasbench201, given.train, given.seeds, given.devices, given.dead_branches
        )
    if given.hat is not None:
        found["hat"] = hat(given.hat, given.hat_train, given.seeds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
