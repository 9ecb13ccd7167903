"""`fit-predictor --samples`: makes a predictor of anybody's networks from a file of latencies, with figures on left-out lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray, IntArray
from latlas.errors import UsageError
from latlas.latency.fitting.accuracy import accuracy
from latlas.latency.samples.choose_regressor import choose_regressor
from latlas.latency.samples.columns import TabularFeatures
from latlas.latency.samples.drift import speed_along
from latlas.latency.samples.gaussian_process import MAX_SAMPLES, GaussianProcess
from latlas.latency.samples.graph_features import GraphFeatures, design
from latlas.latency.samples.lightgbm import LightGBMRegressor
from latlas.latency.samples.predictor import SampleFeatures, SamplePredictor, centre_of, scores_of
from latlas.latency.samples.read import ARCHITECTURE, SampleFile, architectures_of, columns_of, matrix_of, target_of
from latlas.latency.samples.regressors import Regressor, left_out_error
from latlas.latency.samples.repeats import Repeats
from latlas.spaces.graph import DEAD_BRANCHES
from latlas.spaces.space import SearchSpace

AUTO = "auto"
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A predictor of samples with the figures that `fit-predictor` prints; `test` are the lines that it did not learn from."""

    predictor: SamplePredictor
    figures: dict[str, Any]
    train: IntArray
    test: IntArray


def split(count: int, train: int, test: int | None, seed: int) -> tuple[IntArray, IntArray]:
    """Which of `count` different samples to learn from, and which to test on: all others, or only `test` of them."""
    return Repeats(np.arange(count)).split(train, test, seed)


def fit_tabular(
    samples: SampleFile,
    features: Sequence[str],
    target: str,
    train: int,
    test: int | None = None,
    seed: int = 0,
    in_order: bool = False,
    unit: str | None = None,
) -> Fitted:
    """A predictor from named columns of a file of samples; `unit` is the unit of a target whose name has none.

    `in_order` says that the lines are in the order of measuring. All latencies, also of test lines, are then converted to the
    machine's usual speed, which `speed_along` derives from the lines to learn from. The figures under `without_order` are for
    the latencies as the file has them.
    """
    started = time.monotonic()
    latencies = target_of(samples, target, unit)
    seen = TabularFeatures(columns_of(samples, features))
    matrix = matrix_of(samples, seen.columns)
    repeats = Repeats.of(matrix)
    train_lines, held_out = repeats.split(train, test, seed)
    used_columns = np.flatnonzero(np.ptp(matrix[train_lines], axis=0) > 0)
    if not len(used_columns):
        raise UsageError("every feature is the same in all samples to learn from; name others with --features")
    groups = np.array(seen.groups)[used_columns]
    heads, medians, place = repeats.collapsed(train_lines, latencies)
    regressor = choose_regressor(matrix[heads][:, used_columns], medians, seed, groups=groups.tolist())
    if not in_order:
        return _fitted(
            seen, used_columns, regressor, matrix, latencies, target, train_lines, held_out, repeats, started
        )
    residuals = np.full(len(latencies), np.nan)
    residuals[train_lines] = np.log(latencies[train_lines] / regressor.left_out_[place])
    steady = latencies / speed_along(residuals)
    _, medians, _ = repeats.collapsed(train_lines, steady)
    regressor = choose_regressor(matrix[heads][:, used_columns], medians, seed, groups=groups.tolist())
    done = _fitted(seen, used_columns, regressor, matrix, steady, target, train_lines, held_out, repeats, started)
    done.figures["without_order"] = accuracy(done.predictor.predict(matrix[held_out]), latencies[held_out])
    return done


def fit_graphs(
    samples: SampleFile,
    space: SearchSpace,
    target: str,
    train: int,
    test: int | None = None,
    seed: int = 0,
    dead_branches: str = AUTO,
    on_note: Notify | None = None,
    unit: str | None = None,
    column: str = ARCHITECTURE,
) -> Fitted:
    """A predictor from the graphs of a space's architectures, which a column of the file holds.

    `unit` is the unit of a target whose name has none. `dead_branches` says what the runtime does with nodes that change nothing;
    "auto" takes the option with the smaller error on left-out samples.
    """
    started = time.monotonic()
    if dead_branches not in (AUTO, *DEAD_BRANCHES):
        raise UsageError(f"--dead-branches is {dead_branches!r:.40}; it must be {', '.join(DEAD_BRANCHES)} or {AUTO}")
    latencies = target_of(samples, target, unit)
    codes = space.encode(architectures_of(samples, space, column))
    repeats = Repeats.of(codes)
    train_lines, held_out = repeats.split(train, test, seed)
    heads, medians, _ = repeats.collapsed(train_lines, latencies)
    found: dict[str, tuple[GraphFeatures, IntArray, Regressor]] = {}
    for option in DEAD_BRANCHES if dead_branches == AUTO else (dead_branches,):
        seen = GraphFeatures(space.text, option)
        matrix, group, used_columns = design(seen.blocks(space.template(), codes[heads]))
        if not len(used_columns):
            raise UsageError("the networks to learn from do not differ; give other samples")
        candidates: list[Regressor] = []
        if len(heads) <= MAX_SAMPLES:
            candidates.append(GaussianProcess(group.tolist(), np.flatnonzero(group == 0).tolist(), seed))
        if len(heads) > MAX_SAMPLES:
            candidates.append(LightGBMRegressor(seed))
        regressor = choose_regressor(matrix, medians, seed, candidates=candidates)
        found[option] = seen, used_columns, regressor
        if on_note is not None:
            error = left_out_error(regressor, medians)
            on_note(f"dead branches {option}: left-out error {100 * error:.2f} % ({regressor.name})")
    chosen = min(found, key=lambda option: left_out_error(found[option][2], medians))
    seen, used_columns, regressor = found[chosen]
    matrix = graph_matrix(seen, space, codes)
    done = _fitted(seen, used_columns, regressor, matrix, latencies, target, train_lines, held_out, repeats, started)
    done.figures["dead_branches"] = chosen
    done.figures["left_out_error"] = {
        option: left_out_error(regressor, medians) for option, (_, _, regressor) in found.items()
    }
    return done


def graph_matrix(features: GraphFeatures, space: SearchSpace, codes: npt.ArrayLike) -> FloatArray:
    """The features `(n, features)` of codes of the space."""
    return np.hstack(list(features.blocks(space.template(), codes).values()))


def _fitted(
    features: SampleFeatures,
    used_columns: IntArray,
    regressor: Regressor,
    matrix: FloatArray,
    latencies: FloatArray,
    target: str,
    train_lines: IntArray,
    held_out: IntArray,
    repeats: Repeats,
    started: float,
    confidence: float = 0.95,
) -> Fitted:
    _, medians, place = repeats.collapsed(train_lines, latencies)
    factor = centre_of(regressor, medians)
    scores = scores_of(regressor, latencies[train_lines], factor, place)
    predictor = SamplePredictor(features, tuple(int(k) for k in used_columns), regressor, scores, target, factor)
    measured = latencies[held_out]
    figures: dict[str, Any] = {"train": len(train_lines), "test": len(held_out)}
    for asked in (0.9, 0.95):
        predicted, lower, upper = predictor.predict_interval(matrix[held_out], asked)
        if asked == 0.9:
            figures |= accuracy(predicted, measured)
        name = f"{round(100 * asked)}"
        figures[f"coverage_{name}"] = float(np.mean((lower <= measured) & (measured <= upper)))
        figures[f"width_{name}"] = float(np.median((upper - lower) / predicted))
    return Fitted(
        predictor,
        figures
        | {
            "noise_floor": repeats.noise_floor(latencies),
            "networks": int(repeats.group.max()) + 1,
            "repeated": repeats.repeated,
            "coverage": figures["coverage_95"],
            "confidence": confidence,
            "margin": figures["width_95"] / 2,
            "cv_mape": float(np.mean(np.abs(factor * regressor.left_out_[place] / latencies[train_lines] - 1))),
            "additive_mape": None,
            "lightgbm": regressor.name == LightGBMRegressor.name,
            "regressor": regressor.name,
            "target": target,
            "fit_seconds": time.monotonic() - started,
        },
        train_lines,
        held_out,
    )
