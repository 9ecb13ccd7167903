"""`predictor show`: describes a saved predictor by its file and by its samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from latlas.errors import FileFormatError, LatlasError
from latlas.files.records import one_line
from latlas.latency.fitting.accuracy import COVERAGES, accuracy
from latlas.latency.fitting.explain import LAYER, explain
from latlas.latency.limits.limits import budgets_of
from latlas.latency.predictor.saved import ROLES, PredictorSample, SavedPredictor
from latlas.latency.samples.predictor import SavedSamplePredictor
from latlas.spaces.graph import Graph
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_architecture

NETWORKS = 40
"""How many networks the list of important operators is averaged over; a quarter of these if the predictor is not linear."""
SHOWN_OPERATORS = 12


def described(saved: SavedPredictor, space: SearchSpace | None) -> dict[str, Any]:
    """A record of provenance, figures, calibration and operators. `space` is the predictor's space, None if it is not known here.

    Raises `FileFormatError` if a sample is not of the space.
    """
    counts = Counter(sample.role for sample in saved.samples)
    test = [sample for sample in saved.samples if sample.role == "test"]
    return {
        "kind": saved.predictor.kind,
        "space": saved.space_text,
        "environment": saved.environment.to_record(),
        "samples": {role: counts.get(role, 0) for role in ROLES},
        "range_ms": [float(value) for value in saved.predictor.range_ms_],
        "adapted_from": list(saved.adapted_from),
        "figures": saved.figures,
        "roles": {
            role: _accuracy([one for one in saved.samples if one.role == role]) for role in ROLES if counts[role]
        },
        "calibration": None if space is None or not test else calibration(saved, test, space),
        "operators": None if space is None else operators(saved, space),
        "budgets": None if space is None else _budgets(saved, space),
    }


def _budgets(saved: SavedPredictor, space: SearchSpace) -> dict[str, Any] | None:
    found = budgets_of(saved.predictor, space)
    if found is None:
        return None
    within = [{"share": share, "latency_ms": latency_ms} for share, latency_ms in found.within]
    return {"fastest_ms": found.fastest_ms, "slowest_ms": found.slowest_ms, "networks": space.size, "within": within}


def calibration(saved: SavedPredictor, test: Sequence[PredictorSample], space: SearchSpace) -> list[dict[str, float]]:
    """How often intervals of each confidence held test samples; each share has a 95 % interval (Wilson 1927)."""
    predicted, spreads = saved.predictor.predict_spread(graphs_of(test, space))
    off = np.abs(np.array([one.latency_ms for one in test]) / predicted - 1)
    found = []
    for level in COVERAGES:
        margins = saved.predictor.margins(spreads, level)
        held = int(np.sum(off <= margins))
        lower, upper = wilson(held, len(test), 0.95)
        found.append(
            {
                "confidence": level,
                "held": held / len(test),
                "held_lower": lower,
                "held_upper": upper,
                "margin": float(np.median(margins)),
            }
        )
    return found


def wilson(held: int, count: int, confidence: float) -> tuple[float, float]:
    """The interval of a share when `held` of `count` were seen (Wilson 1927, without a correction for continuity)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, scale = held / count, 1 + z**2 / count
    middle = (share + z**2 / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / scale
    # Rounding must not put the share that was seen outside the interval.
    return max(0.0, middle - half) if held else 0.0, min(1.0, middle + half) if held < count else 1.0


def operators(saved: SavedPredictor, space: SearchSpace, seed: int = 0) -> list[dict[str, Any]]:
    """Mean milliseconds and share of each operator or fixed part in networks of the space, the largest first."""
    rng = np.random.default_rng(seed)
    networks = space.sample(min(NETWORKS, space.size), rng)
    first = explain(saved.predictor, networks[0], seed, alternatives=False)
    if first.method != "linear":
        networks = networks[: NETWORKS // 4]
    found = [first, *(explain(saved.predictor, one, seed, alternatives=False) for one in networks[1:])]
    totals: dict[str, float] = {}
    times: Counter[str] = Counter()
    for explanation in found:
        for part in explanation.parts:
            name = part.operator if part.part.startswith(LAYER) else part.part
            totals[name] = totals.get(name, 0.0) + part.latency_ms
            times[name] += 1
    whole = sum(one.latency_ms for one in found)
    rows = [
        {
            "operator": name,
            "mean_ms": total / times[name],
            "per_network": times[name] / len(found),
            "share": total / whole,
        }
        for name, total in totals.items()
    ]
    return sorted(rows, key=lambda row: -abs(float(str(row["share"]))))


def graphs_of(samples: Sequence[PredictorSample], space: SearchSpace) -> list[Graph]:
    """The graphs of samples; raises `FileFormatError` for one that is not of the space."""
    found: list[Architecture] = []
    for sample in samples:
        try:
            found.append(parse_architecture(sample.architecture, space))
        except LatlasError as error:
            what = one_line(sample.architecture, 80)
            raise FileFormatError(
                f"the predictor's sample {what!r}: {one_line(str(error), 200)}; fit it again"
            ) from None
    return [one.graph() for one in found]


def described_samples(saved: SavedSamplePredictor) -> dict[str, Any]:
    """A record of a predictor that was learnt from somebody's samples; their environment is not known."""
    features = saved.predictor.features.to_record()
    return {
        "kind": "samples",
        "target": saved.predictor.target,
        "regressor": saved.predictor.regressor.name,
        "features": {name: value for name, value in features.items() if isinstance(value, str | int | bool)},
        "columns": len(saved.predictor.kept),
        "figures": saved.figures,
    }


def described_samples_lines(record: Mapping[str, Any]) -> list[str]:
    """The record of `described_samples` as lines of text."""
    of = ", ".join(f"{name} {value}" for name, value in record["features"].items())
    lines = [
        f"{record['predictor']}: predictor of {one_line(record['target'], 100)}, learnt from somebody's samples",
        f"  regressor     {record['regressor']} on {record['columns']} features ({one_line(of, 200)})",
    ]
    plain = {k: v for k, v in record["figures"].items() if isinstance(v, int | float | str) and not isinstance(v, bool)}
    return lines + [f"  {one_line(str(name), 40):<24}{one_line(str(value), 100)}" for name, value in plain.items()]


def described_lines(record: Mapping[str, Any]) -> list[str]:
    """The record of `described` as lines of text; whatever comes from the file is reduced to printable text."""
    its, counts = record["environment"], record["samples"]
    lines = [
        f"{record['predictor']}: {one_line(str(record['kind']), 40)} predictor of {one_line(str(record['space']), 200)}",
        f"  environment   {its['cpu_model']}, {its['precision']}, {its['threads']} thread(s), batch {its['batch']}, "
        f"OpenVINO {its['openvino_version']}",
        f"  measured      {its['started_at']}, reference {its['reference_id']} at {_ms(its['reference_ms'])}",
        f"  samples       {counts['train']} learnt from, {counts['search']} of searches, {counts['test']} tested on, "
        f"{record['range_ms'][0]:.3f} to {record['range_ms'][1]:.3f} ms",
    ]
    for source in record["adapted_from"]:
        lines += _source_lines(source, "  adapted from  ")
    for role, figures in record["roles"].items():
        what = {"train": "left out", "test": "tested on", "search": "in searches"}[role]
        lines.append(
            f"  {what:<12}  MAPE {100 * figures['mape']:.2f} %, within 1/5/10 %: {100 * figures['within_1']:.0f}/"
            f"{100 * figures['within_5']:.0f}/{100 * figures['within_10']:.0f} %"
        )
    if record["calibration"]:
        lines.append("  intervals     stated  held (95 % interval of that)  margin")
        lines += [
            f"                {100 * row['confidence']:5.0f} %  {100 * row['held']:5.1f} % "
            f"({100 * row['held_lower']:.0f} to {100 * row['held_upper']:.0f} %)  +-{100 * row['margin']:.2f} %"
            for row in record["calibration"]
        ]
    if record["budgets"]:
        its = record["budgets"]
        within = ", ".join(f"{100 * row['share']:g} % {row['latency_ms']:.3f}" for row in its["within"])
        lines += [
            f"  budgets, ms   fastest {its['fastest_ms']:.3f}, slowest {its['slowest_ms']:.3f} of {its['networks']:.3g} networks",
            f"                within which is {within}",
        ]
    if record["operators"]:
        lines.append("  operators     share of a network  mean ms each  times a network")
        lines += [
            f"                {100 * row['share']:6.1f} %  {row['mean_ms']:8.3f}  {row['per_network']:5.1f}  {row['operator']}"
            for row in record["operators"][:SHOWN_OPERATORS]
        ]
    return lines


def _source_lines(source: Any, head: str, depth: int = 0) -> list[str]:
    """A line for each predictor that this one was adapted from, and for each that those were adapted from."""
    if not isinstance(source, Mapping) or depth > 8:
        return []
    its = source.get("environment")
    its = its if isinstance(its, Mapping) else {}
    said = [f"{key} {its.get(key)}" for key in ("cpu_model", "precision", "threads") if key in its]
    text = (
        f"{source.get('name')} ({', '.join(said)}; {source.get('learnt_from')} samples, sha256 {source.get('sha256')})"
    )
    lines = [head + one_line(text, 300)]
    before = source.get("adapted_from")
    for one in before if isinstance(before, list) else []:
        lines += _source_lines(one, head + "  ", depth + 1)
    return lines


def _accuracy(samples: Sequence[PredictorSample]) -> dict[str, float | None]:
    return accuracy(np.array([s.predicted_ms for s in samples]), np.array([s.latency_ms for s in samples]))


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f} ms"
