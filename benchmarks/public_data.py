"""Predictors of published latencies: learnt from a few hundred networks, and tested on all others.

    python benchmarks/public_data.py --nasbench201 FILE.csv --hat FILE.csv [--train 900] [--seeds 3]

FILE.csv of NAS-Bench-201 has a column `architecture` and columns `latency_ms_DEVICE` (HELP's devices); that of HAT ten
features, `latency_mean_encoder` and `latency_mean_decoder`. Prints JSON: of each device and count the figures of
`fit-predictor --samples` for each seed and their means, of NAS-Bench-201 also by what is taken to be done with dead branches, of
which `latlas` is the one that errs least on left-out samples. Beside them, learnt and tested on the same lines, what people use
instead: a line through multiply-adds, a cost an operator by least relative squares, a ridge, LightGBM, and a perceptron of three
layers of 400 (HAT's), on the architecture's one-hot codes, of HAT on its features. `over_latlas` has each one's mean relative
error, and its share beyond 5 and 10 %, over those of `latlas`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.fitting.fit_samples import Fitted, fit_graphs, fit_tabular
from latlas.latency.samples.lightgbm import LightGBMRegressor
from latlas.latency.samples.read import architectures_of, columns_of, matrix_of, read_samples, target_of
from latlas.spaces.graph import DEAD_BRANCHES
from latlas.spaces.nasbench201 import NasBench201

DEVICE = "latency_ms_"
HAT_TARGET = "latency_mean_encoder+latency_mean_decoder"
Methods = dict[str, tuple[Callable[[Any, Any, Any], Any], Any]]
"""How each predicts, of what matrix."""
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


def costs(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """A cost of each operator at each place; their sums have the least relative squares."""
    shares = np.column_stack([train_x, np.ones(len(train_x))]) / train_y[:, None]
    found = np.linalg.lstsq(shares, np.ones_like(train_y), rcond=None)[0]
    return np.maximum(np.column_stack([test_x, np.ones(len(test_x))]) @ found, train_y.min() / 10)


def perceptron(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """Three layers of 400 on standardised features and the logarithm, stopped on a tenth of the samples."""
    inner = MLPRegressor(
        hidden_layer_sizes=(400, 400, 400), early_stopping=True, n_iter_no_change=20, max_iter=500, random_state=0
    )
    model = TransformedTargetRegressor(make_pipeline(StandardScaler(), inner), transformer=StandardScaler())
    return np.exp(model.fit(train_x, np.log(train_y)).predict(test_x))


def boosted(train_x: Any, train_y: Any, test_x: Any) -> Any:
    """LightGBM on the logarithm."""
    return LightGBMRegressor().fit(train_x, train_y).predict(test_x)


def shown(fitted: Fitted) -> dict[str, Any]:
    """The figures of a fit that are printed."""
    found = {name: fitted.figures[name] for name in (*SHOWN, "fit_seconds", "regressor")}
    if "dead_branches" in fitted.figures:
        found["dead_branches"] = fitted.figures["dead_branches"]
        found["left_out_error"] = fitted.figures["left_out_error"][found["dead_branches"]]
    return found


def others(fitted: Fitted, latencies: Any, methods: Methods) -> dict[str, Any]:
    """Figures of each method on the lines of a fit."""
    learnt, held_out = fitted.train, fitted.test
    return {
        name: accuracy(method(matrix[learnt], latencies[learnt], matrix[held_out]), latencies[held_out])
        for name, (method, matrix) in methods.items()
    }


def means(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of each method's numbers, what it chose, and its errors over those of `latlas`."""
    found: dict[str, Any] = {}
    for method in runs[0]:
        values = {name: [run[method][name] for run in runs] for name in runs[0][method]}
        found[method] = {
            name: float(np.mean(of)) if isinstance(of[0], float) else sorted(set(of)) for name, of in values.items()
        }
    ours = found["latlas"]
    for of in found.values():
        of["over_latlas"] = {
            "mape": of["mape"] / ours["mape"],
            **{f"beyond_{k}": (1 - of[f"within_{k}"]) / max(1 - ours[f"within_{k}"], 1e-9) for k in (5, 10)},
        }
    return found


def nasbench201(path: Path, counts: list[int], seeds: int, devices: list[str], options: list[str]) -> dict[str, Any]:
    space, samples = NasBench201(), read_samples(path)
    architectures = architectures_of(samples, space)
    codes = space.encode(architectures)
    one_hot = np.eye(5)[codes].reshape(len(codes), -1)
    macs = np.array([[a.macs / 1e8] for a in architectures])
    methods: Methods = {
        "macs line": (line, macs),
        "cost an operator": (costs, one_hot),
        "one-hot ridge": (ridge, one_hot),
        "lightgbm": (boosted, one_hot),
        "perceptron": (perceptron, one_hot),
    }
    found: dict[str, Any] = {}
    for column in (name for name in samples.header if name.startswith(DEVICE)):
        device = column.removeprefix(DEVICE)
        if devices and device not in devices:
            continue
        latencies = target_of(samples, column)
        for count in counts:
            runs: list[dict[str, Any]] = []
            for seed in range(seeds):
                fits = [fit_graphs(samples, space, column, count, seed=seed, dead_branches=one) for one in options]
                by_option = [shown(one) for one in fits]
                best = min(by_option, key=lambda one: one["left_out_error"])
                told = {f"latlas, dead branches {one['dead_branches']}": one for one in by_option}
                runs.append({"latlas": best, **told, **others(fits[0], latencies, methods)})
            found.setdefault(device, {})[str(count)] = {"mean": means(runs), "seeds": runs}
            note({device: {name: brief(of) for name, of in found[device][str(count)]["mean"].items()}})
    return found


def hat(path: Path, counts: list[int], seeds: int) -> dict[str, Any]:
    samples = read_samples(path)
    features = [name for name in samples.header if not name.startswith("latency")]
    matrix = matrix_of(samples, columns_of(samples, features))
    latencies = target_of(samples, HAT_TARGET, "ms")
    methods: Methods = {
        "ridge": (ridge, matrix),
        "lightgbm": (boosted, matrix),
        "perceptron": (perceptron, matrix),
    }
    found: dict[str, Any] = {}
    for count in counts:
        runs: list[dict[str, Any]] = []
        for seed in range(seeds):
            fitted = fit_tabular(samples, features, HAT_TARGET, count, seed=seed, unit="ms")
            ordered = fit_tabular(samples, features, HAT_TARGET, count, seed=seed, in_order=True, unit="ms")
            told = {"latlas": shown(fitted), "latlas, lines in order": shown(ordered)}
            runs.append(told | others(fitted, latencies, methods))
        found[str(count)] = {"mean": means(runs), "seeds": runs}
        note({"hat": {name: brief(of) for name, of in found[str(count)]["mean"].items()}})
    return found


def brief(of: dict[str, Any]) -> dict[str, float]:
    return {name: round(of[name], 4) for name in ("mape", "within_5", "within_10", "spearman")}


def note(what: dict[str, Any]) -> None:
    print(json.dumps(what), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nasbench201", type=Path)
    parser.add_argument("--hat", type=Path)
    parser.add_argument("--train", type=int, nargs="+", default=[900])
    parser.add_argument("--hat-train", type=int, nargs="+", default=[1600])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--devices", nargs="*", default=[])
    parser.add_argument("--dead-branches", nargs="+", choices=DEAD_BRANCHES, default=list(DEAD_BRANCHES))
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
