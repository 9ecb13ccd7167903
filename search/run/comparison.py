"""The end of a search: winner, baseline and rivals are trained equally long and exported, and the files are measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latlas.errors import LatlasError
from latlas.latency.measuring.interval import Interval, pooled
from latlas.search.run.explore import Explored
from latlas.search.run.export import (
    Exported,
    averaged,
    export,
    export_onnx,
    measure_exported,
    networks_of,
    rescaled,
)
from latlas.search.run.finalists import train, train_best
from latlas.search.run.search_run import SearchRun
from latlas.search.run.session import Session
from latlas.search.strategies.loop import Candidate
from latlas.spaces.space import Architecture
from latlas.supernet.networks.network import Subnet
from latlas.supernet.training.quality import Quality, score_subnet

FINAL_REPEATS = 2
"""How often all is measured again if the winner's upper bound is above the budget at the end."""
FINAL_PAUSE_SECONDS = 20.0
"""Pause before measuring again: whatever made the machine busy may have ended then."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A network of the comparison after it was trained, exported and measured."""

    architecture: Architecture
    subnet: Subnet
    steps: int
    quality: Quality
    exported: Exported
    interval: Interval
    onnx: Path | None = None


def compare_with_baseline(
    run: SearchRun, explored: Explored, finalists: Sequence[Candidate]
) -> tuple[Candidate, list[Contestant]]:
    """The winner, and all contestants: the winner first, then the baseline and its rivals.

    They are trained equally long, exported into the run's folder and measured. With `inherit`, the baseline and its rivals are
    trained longer, by the number of steps that each operator of the supernet had before and during the search.
    """
    config, task, images, space, out = run.config, run.task, run.prepared, run.space, run.folder.path
    options = sum(map(len, space.choices)) / len(space.choices)
    shared_steps = config.supernet_steps + (explored.gradient.weight_steps if explored.gradient else 0)
    longer = round(shared_steps / options) if config.inherit else 0
    baseline_config = replace(config.train, steps=config.train_steps + longer)

    def trained(architecture: Architecture) -> Subnet:
        start = images.start_of(architecture)
        return train(run, f"winner-{architecture.hash}", start, task.training, config.train, images.calibration)

    winner, subnet = train_best(finalists, trained, run.listener)
    networks, names = (
        [(winner.architecture, subnet)],
        ["winner", "baseline", *(f"rival-{one}" for one in config.rivals)],
    )
    baselines = [images.baseline, *map(space.baseline, config.rivals)]
    for name, one in zip(names[1:], baselines, strict=True):
        start = images.fresh(one)
        networks.append((one, train(run, name, start, task.training, baseline_config, images.calibration)))
    exported = [export(*network, out, name) for network, name in zip(networks, names, strict=True)]
    onnx = export_onnx(subnet, out / "winner.onnx", run.note) if config.onnx is not False else None
    run.note("measuring the exported networks")
    intervals = measure_final(exported, explored, images.baseline, run.note)
    steps = [config.train_steps, *[baseline_config.steps] * len(baselines)]
    contestants = [
        Contestant(one.architecture, net, took, score_subnet(net, task.validation), one, intervals[one.architecture])
        for one, (_, net), took in zip(exported, networks, steps, strict=True)
    ]
    return winner, [replace(contestants[0], onnx=onnx), *contestants[1:]]


def measure_final(
    exported: Sequence[Exported], explored: Explored, baseline: Architecture, on_note: Callable[[str], None]
) -> dict[Architecture, Interval]:
    """Latencies of the exported files, the winner's first, at the machine's speed during the search.

    If the winner's upper bound is above the budget, all files are measured `FINAL_REPEATS` times more, and the mean of all
    measurements counts. The baseline keeps its first reading, because a budget of `auto` is that reading.
    """
    session, budget_ms = explored.session, explored.constraint.budget_ms
    winner = exported[0].architecture
    readings: list[dict[Architecture, Interval]] = []
    for repeat in range(1 + FINAL_REPEATS):
        if repeat and not session.campaigns.replaying:
            time.sleep(FINAL_PAUSE_SECONDS)
        readings.append(_final_reading(exported, session, baseline, explored.landmarks.baseline))
        first = readings[0][winner]
        if first.upper_ms <= budget_ms:
            break
        if not repeat:
            on_note(
                f"{first.latency_ms:.3f} ms [{first.lower_ms:.3f}, {first.upper_ms:.3f}]: the upper bound is above the budget; "
                f"measuring {FINAL_REPEATS} times more, the mean counts"
            )
    if session.anchored is None:
        return averaged(readings)
    return {one: pooled([reading[one] for reading in readings]) for one in readings[0]} | {
        baseline: explored.landmarks.baseline
    }


def _final_reading(
    exported: Sequence[Exported], session: Session, baseline: Architecture, before: Interval
) -> dict[Architecture, Interval]:
    """One campaign of the exported files, rescaled to the machine's speed during the search.

    The scale comes from subnets that the predictor knows, which give it most precisely; if there are none, from the baseline.
    """
    if session.anchored is None:
        careful = replace(session.setting, passes=session.setting.careful_passes)
        found = measure_exported(session.campaigns, exported, careful, session.reference_ms)
        return rescaled(found, baseline, before)
    by_label = session.measure_networks(networks_of(exported), session.setting.careful_passes, repeat_noisy=True)
    for one in exported:
        if str(one.architecture) not in by_label:
            raise LatlasError(f"{one.model} could not be measured; see the warning above")
    return {one.architecture: by_label[str(one.architecture)] for one in exported}


def require_within(winner: Contestant, budget_ms: float, out: Path) -> None:
    """If the exported winner is above the budget, delete its files and raise `LatlasError`."""
    if winner.interval.latency_ms <= budget_ms:
        return
    for file in out.glob("winner.*"):
        file.unlink()
    raise LatlasError(
        f"{winner.architecture} takes {winner.interval.latency_ms:.3f} ms as exported, above the budget of "
        f"{budget_ms:.3f} ms; the machine is unsteady, see `latlas doctor`, and search again with --force or another --out"
    )
