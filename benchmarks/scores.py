"""The scores of benchmarks/strategies.py: a supernet's scores as in a search, all kept; and figures over seeds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student

from benchmarks.constraint import Known
from benchmarks.kept_lines import KeptLines
from benchmarks.photographs import loaded
from latlas.search.run.export import calibration_images
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset, parted, subset
from latlas.supernet.networks.network import Supernet
from latlas.supernet.training.quality import score


@dataclass
class Scores:
    """The supernet's scores, on images that searches go by and on held-out ones; `seconds` of those asked for, kept or not."""

    supernet: Supernet
    calibration: list[torch.Tensor]
    scored: Dataset
    rest: Dataset
    held_out: Dataset
    kept: KeptLines
    seconds: float = 0.0

    def __call__(self, one: Architecture) -> float:
        """The score a search goes by, 0..1."""
        found = self.kept.get(one, "score", lambda: self._score(one, self.scored))
        self.seconds += found["seconds"]
        return float(found["miou"])

    def of_held_out(self, one: Architecture) -> float:
        """The score on held-out images, 0..1."""
        return float(self.kept.get(one, "held out", lambda: self._score(one, self.held_out))["miou"])

    def _score(self, one: Architecture, images: Dataset) -> dict[str, Any]:
        return {"miou": score(self.supernet, one, self.calibration, images).miou}


def scores_of(arguments: argparse.Namespace, known: Known) -> Scores:
    """Supernet and images, as a search uses them."""
    given = loaded(arguments, known.space, known.space)
    scored, rest = parted(given.training, min(arguments.score_images, len(given.training) // 2), 0)
    setting = {
        **given.setting(arguments.data), "scored": len(scored), "held_out": len(given.validation),
        "calibration": arguments.calibration_images,
    }  # fmt: skip
    calibration = calibration_images(subset(given.training, arguments.calibration_images, 1).images)
    return Scores(given.supernet, calibration, scored, rest, given.validation, KeptLines(arguments.scores, setting))


def over_seeds(values: Sequence[float]) -> list[float | None]:
    """Mean and the 95 % interval of it over seeds, Student's; no bounds of one seed."""
    mean = float(np.mean(values)) if len(values) else None
    if mean is None or len(values) < 2:
        return [mean, None, None]
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return [mean, mean - half, mean + half]


def summary(
    runs: Sequence[dict[str, Any]], again: dict[str, list[float]], against: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A method's figures over its runs; differences to the runs `against` of the same budget and seed."""
    rivals = {(run["budget_ms"], run["seed"]): run for run in against}
    pairs = [(run, rivals[key]) for run in runs if (key := (run["budget_ms"], run["seed"])) in rivals]
    shares = [again[one][0] / run["budget_ms"] for run in runs for one in run["returned"] if one in again]
    surely = [again[one][1] > run["budget_ms"] for run in runs for one in run["returned"] if one in again]
    found: dict[str, Any] = {"runs": len(runs), "returned_nothing": sum(not run["returned"] for run in runs)}
    for name in ("miou", "held_out_miou"):
        found[name] = over_seeds([run[name] for run in runs if run[name] is not None])
        both = [(a[name], b[name]) for a, b in pairs if a[name] is not None and b[name] is not None]
        found[f"{name}_above_random"] = over_seeds([a - b for a, b in both])
    return found | {
        "violations": sum(share > 1 for share in shares),
        "violations_beyond_the_interval": sum(surely),
        "measured_again": len(shares),
        "worst_over": max([0.0, *(share - 1 for share in shares)]),
        "used": over_seeds(shares)[0],
        **{name: over_seeds([run[name] for run in runs])[0] for name in ("seconds", "measured", "evaluated")},
    }
