"""The first line of a search's result: whether its winner is certified within the budget, and whether it beat its baseline."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.supernet.training.quality import Confusion

CONFIDENCE = 0.95
"""The confidence that a difference called `ahead` or `behind` is not chance."""
TRAINING_SD = 0.006
"""Standard deviation of one network's mIoU (0..1) over trainings that differ only in their seed.

Measured on networks of the `portrait` space at 64x64 on drawn portraits, with two or three seeds each: 0.4 points after 200
steps, 0.2 after 400, 0.1 to 0.9 after 700, 0.5 after 800. Trainings that have converged differ less.
"""
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The winner's mIoU minus the baseline's (as shares, not percent), and how large a difference chance alone can make.

    `verdict` is `ahead`, `level` or `behind`. It is `level` if the difference is at most the margin.
    """

    verdict: str
    miou_difference: float
    margin: float

    def to_record(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return asdict(self)


def compare(winner: Sequence[Confusion], baseline: Sequence[Confusion], training_sd: float = TRAINING_SD) -> Comparison:
    """Compares two networks by their confusions on the same images, one confusion per image.

    The margin has two parts: the choice of the images, by resampling them (paired bootstrap), and the seeds of the two trainings
    (`training_sd` for each).
    """
    tables = [_table(one) for one in (winner, baseline)]
    difference = float(np.subtract(*(_miou(table.sum(axis=0)) for table in tables)))
    count = len(tables[0])
    weights = np.random.default_rng(0).multinomial(count, [1 / count] * count, RESAMPLES)
    drawn = np.subtract(*(_miou(weights @ table) for table in tables))
    margin = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * math.hypot(float(drawn.std()), math.sqrt(2) * training_sd)
    verdict = "level" if abs(difference) <= margin else "ahead" if difference > 0 else "behind"
    return Comparison(verdict, difference, margin)


def _table(confusions: Sequence[Confusion]) -> npt.NDArray[np.int64]:
    """The confusions as an array `(images, 4)`: true, false and missed person, true background."""
    rows = [(one.true_person, one.false_person, one.missed_person, one.true_background) for one in confusions]
    return np.array(rows, dtype=np.int64)


def _miou(counts: npt.NDArray[np.int64]) -> FloatArray:
    """The mean IoU `(...)` of pooled counts `(..., 4)`."""
    true, false, missed, background = np.moveaxis(counts, -1, 0).astype(float)
    wrong = false + missed
    shares = [np.where(one + wrong > 0, one / np.maximum(one + wrong, 1), 1.0) for one in (true, background)]
    return np.asarray(np.mean(shares, axis=0), dtype=float)


def headline(result: Mapping[str, Any]) -> str:
    """The first line of a result: the certificate, then the verdict."""
    budget = f"{result['budget_ms']:.3f} ms"
    interval = f"{result['latency_ms']:.3f} ms [{result['lower_ms']:.3f}, {result['upper_ms']:.3f}]"
    if result["certified"]:
        certificate = f"certified within {budget}: {interval}"
    else:
        certificate = f"NOT certified within {budget}: {interval} ends above it"
    return f"{certificate}; {verdict_text(result)}"


def verdict_text(result: Mapping[str, Any]) -> str:
    """A text that compares the winner with the baseline: their quality, the margin of chance, and the baseline's latency."""
    found, baseline = result["against_baseline"], result["baseline"]
    name = baseline["architecture"].rsplit("/", 1)[-1]
    word = {"ahead": "ahead of", "level": "level with", "behind": "behind"}[found["verdict"]]
    return (
        f"{word} {name} at {baseline['latency_ms']:.3f} ms: {100 * result['miou']:.1f} % mIoU against "
        f"{100 * baseline['miou']:.1f} % ({100 * found['miou_difference']:+.1f} points, chance alone makes up to "
        f"{100 * found['margin']:.1f})"
    )


def what_settles(result: Mapping[str, Any]) -> list[str]:
    """Lines that say how to certify an uncertain winner; none for a certified one."""
    if result["certified"]:
        return []
    measure = shlex.join(["latlas", "measure", result["model"], "--predictor", result["predictor"]])
    return [
        f"no network of this search is certified; {result['architecture']} is the best uncertain one: its latency is within "
        f"the budget, its upper bound is not",
        f"to settle it, measure it on a quiet machine: {measure}; it is within the budget if the interval ends at or below "
        f"{result['budget_ms']:.3f} ms",
        f"or search again with a smaller --relative-error, or with --budget-ms {result['upper_ms']:.3f}",
    ]


def all_fit_text(result: Mapping[str, Any]) -> str:
    """A sentence that the budget decided nothing, if all networks of the space fit it; else empty."""
    if not result["all_fit"]:
        return ""
    return (
        f"all networks of the space fit the budget: the slowest takes {result['slowest_ms']:.3f} ms (predicted); the budget "
        "decided nothing, quality alone did"
    )
