"""`fit-predictor --samples` and `predict` with a predictor made by it: latencies that somebody else measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.commands import options
from latlas.commands.output import note, print_result, shown
from latlas.errors import UsageError

if TYPE_CHECKING:
    from latlas.latency.samples.predictor import SavedSamplePredictor


def fit(
    path: Path,
    *,
    space: str,
    resolution: str,
    features: str,
    target: str,
    train: int | None,
    test: int | None,
    dead_branches: str,
    in_order: bool,
    out: Path,
    force: bool,
    seed: int,
    json: bool,
    unit: str | None = None,
    column: str = "architecture",
    skip_bad: bool = False,
) -> None:
    """Learn from a file of samples, by named columns or by the graphs of a space; print the figures, keep the predictor."""
    from latlas.latency.fitting.fit_samples import fit_graphs, fit_tabular
    from latlas.latency.predictor.predictor_file import check_replaceable
    from latlas.latency.samples.predictor import SavedSamplePredictor, save_sample_predictor
    from latlas.latency.samples.read import read_samples, usable

    started = time.monotonic()
    if not target:
        raise UsageError("--samples needs --target, the column of latencies, or several as a+b")
    if bool(space) == bool(features):
        raise UsageError(
            "--samples needs --space, for a file of architectures, or --features, for one of named columns"
        )
    if in_order and space:
        raise UsageError("--in-order is of --features; give it without --space")
    if train is None:
        raise UsageError("--samples needs --train, how many samples to learn from; the others are tested on")
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    check_replaceable(out)
    samples = read_samples(path, skip_bad=skip_bad)
    chosen, named = options.space_of(space, resolution) if space else None, options.listed(features) if features else []
    left_out: list[str] = []
    if skip_bad:
        samples, left_out = usable(samples, target, unit, features=named, space=chosen, column=column)
        for line in left_out:
            note(f"left out: {line}")
    if chosen is not None:
        fitted = fit_graphs(
            samples, chosen, target, train, test, seed, dead_branches, on_note=note, unit=unit, column=column
        )
    else:
        fitted = fit_tabular(samples, named, target, train, test, seed, in_order, unit)
    fitted.figures["left_out"] = len(left_out)
    fitted.figures["seconds"] = time.monotonic() - started
    save_sample_predictor(out, SavedSamplePredictor(fitted.predictor, fitted.figures), overwrite=force)
    record = {"predictor": str(out), **fitted.figures}
    print_result(record, json, lambda: [_line(record)])


def _line(record: dict[str, Any]) -> str:
    branches = f", dead branches {record['dead_branches']}" if "dead_branches" in record else ""
    if "without_order" in record:
        branches = (
            f", at the speed of the lines around; as they stand MAPE {100 * record['without_order']['mape']:.2f} %"
        )
    repeated = ""
    if record["repeated"]:
        repeated = (
            f"; {record['repeated']} of {record['networks']} networks stand several times, and two of their latencies differ by "
            f"{shown(record['noise_floor'], 100, 2)} % (noise floor)"
        )
    left_out = f"; {record['left_out']} lines left out" if record["left_out"] else ""
    return (
        f"{record['predictor']}: learnt {record['target']} from {record['train']} samples ({record['regressor']}{branches}); on "
        f"{record['test']} others MAPE {100 * record['mape']:.2f} %, within 5 %: {100 * record['within_5']:.1f} %, within "
        f"10 %: {100 * record['within_10']:.1f} %, Spearman {shown(record['spearman'], 1, 4)}, 95 % interval "
        f"+-{100 * record['margin']:.1f} % holds {100 * record['coverage']:.1f} %{repeated}{left_out}"
    )


def predict(
    saved: SavedSamplePredictor,
    architectures: Sequence[str],
    samples: Path | None,
    random: int,
    confidence: float,
    seed: int,
    json: bool,
    column: str = "architecture",
) -> None:
    """Predict architectures, or the lines of a file that has the columns that were learnt from."""
    from latlas.latency.samples.graph_features import GraphFeatures

    predictor = saved.predictor
    names: list[dict[str, Any]]
    if isinstance(predictor.features, GraphFeatures):
        import numpy as np

        from latlas.latency.fitting.fit_samples import graph_matrix
        from latlas.latency.samples.read import architectures_of, read_samples

        space = options.space_of(predictor.features.space, "")
        chosen = [options.architecture_of(text, space) for text in architectures]
        chosen += architectures_of(read_samples(samples), space, column) if samples is not None else []
        chosen += space.sample(random, np.random.default_rng(seed)) if random else []
        if not chosen:
            raise UsageError("nothing to predict; give architectures, --samples FILE.csv, or --random N")
        matrix = graph_matrix(predictor.features, space, space.encode(chosen))
        names = [{"architecture": str(architecture)} for architecture in chosen]
    else:
        from latlas.latency.samples.read import matrix_of, read_samples

        if samples is None or architectures or random:
            columns = ", ".join(column.name for column in predictor.features.columns)
            raise UsageError(f"this predictor is of columns {columns}; give it a file of them with --samples FILE.csv")
        file = read_samples(samples)
        matrix = matrix_of(file, predictor.features.columns)
        names = [{"line": int(line.rpartition(" ")[2])} for line, _ in file.lines]
    latency, lower, upper = predictor.predict_interval(matrix, confidence)
    record = [
        name | {"latency_ms": float(ms), "lower_ms": float(low), "upper_ms": float(high)}
        for name, ms, low, high in zip(names, latency, lower, upper, strict=True)
    ]
    print_result(
        record,
        json,
        lambda: [
            f"{r['latency_ms']:.4g} ms [{r['lower_ms']:.4g}, {r['upper_ms']:.4g}]  "
            + str(r.get("architecture") or f"line {r['line']}")
            for r in record
        ],
    )
