"""The end of a search: winner and baseline trained, exported and measured as exported, and the record of it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latlas.errors import LatlasError
from latlas.latency.limits.limits import share_record
from latlas.latency.measuring.interval import Interval, pooled
from latlas.latency.predictor.predictor_file import LearntFrom, SavedPredictor
from latlas.search.config import SearchConfig
from latlas.search.constraint.constraint import Learnt
from latlas.search.report.headline import compare
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
from latlas.search.run.finalists import Trainer, train_best
from latlas.search.run.phases import TrainedDistribution, accuracy_record
from latlas.search.run.prepare import Prepared
from latlas.search.run.proxy import ProxyTask
from latlas.search.run.session import Session
from latlas.search.strategies.front import covered
from latlas.search.strategies.halving import Trial
from latlas.search.strategies.loop import Candidate, History
from latlas.spaces.space import Architecture
from latlas.supernet.data.dataset import Dataset
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.training.quality import Quality, score_subnet


def with_learnt(saved: SavedPredictor, learnt: Sequence[Learnt]) -> SavedPredictor:
    """The predictor having learnt a finished search's measurements (`LatencyConstraint.learnt`), which are listed as `search`.

    Its figures stay those of the test that it had: what a search measures is no random sample. What it has learnt already is
    not learnt twice.
    """
    known = {sample.architecture for sample in saved.samples if sample.role != "test"}
    learnt = [one for one in learnt if str(one.architecture) not in known]
    if not learnt:
        return saved
    predictor = saved.predictor.updated(
        [one.architecture.graph() for one in learnt],
        [one.latency_ms for one in learnt],
        [one.relative_sd for one in learnt],
    )
    samples = tuple(
        LearntFrom(str(one.architecture), one.latency_ms, one.lower_ms, one.upper_ms, one.predicted_ms, "search")
        for one in learnt
    )
    return replace(saved, predictor=predictor, samples=(*saved.samples, *samples))


FINAL_REPEATS = 2
"""How often a winner found above the budget at the end is measured again, before it is given up."""
FINAL_PAUSE_SECONDS = 20.0
"""Before measuring again: what made the machine busy may pass."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A network of the comparison, trained, exported and measured."""

    architecture: Architecture
    subnet: Subnet
    steps: int
    quality: Quality
    exported: Exported
    interval: Interval
    onnx: Path | None = None


def contest(
    explored: Explored,
    finalists: Sequence[Candidate],
    trainer: Trainer,
    prepared: Prepared,
    weights: Supernet | ProxyTask,
    training: Dataset,
    validation: Dataset,
    config: SearchConfig,
) -> tuple[Candidate, list[Contestant]]:
    """The best finalist; and it, the baseline and its rivals, trained equally long, exported into the run's folder, measured.

    With `inherit` the baseline is trained longer by as many steps as each of the supernet's operators had, before the search
    and in it.
    """
    space, out = weights.space, trainer.run.path
    options = sum(map(len, space.choices)) / len(space.choices)
    shared_steps = config.supernet_steps + (explored.gradient.weight_steps if explored.gradient else 0)
    longer = round(shared_steps / options) if config.inherit else 0
    baseline_config = replace(config.train, steps=config.train.steps + longer)

    def trained(architecture: Architecture) -> Subnet:
        start = prepared.start_of(architecture)
        name = f"winner-{architecture.hash}"
        return trainer.train(name, start, training, config.train, prepared.calibration)

    winner, subnet = train_best(finalists, trained, trainer.listener)
    networks, names = (
        [(winner.architecture, subnet)],
        ["winner", "baseline", *(f"rival-{one}" for one in config.rivals)],
    )
    baselines = [prepared.baseline, *map(space.baseline, config.rivals)]
    for name, one in zip(names[1:], baselines, strict=True):
        start = prepared.fresh(one)
        networks.append((one, trainer.train(name, start, training, baseline_config, prepared.calibration)))
    exported = [export(*network, out, name) for network, name in zip(networks, names, strict=True)]
    onnx = export_onnx(subnet, out / "winner.onnx", trainer.listener.on_note) if config.onnx else None
    trainer.listener.on_note("measuring the exported networks")
    intervals = measure_final(exported, explored, prepared.baseline, trainer.listener.on_note)
    steps = [config.train.steps, *[baseline_config.steps] * len(baselines)]
    contestants = [
        Contestant(one.architecture, net, took, score_subnet(net, validation), one, intervals[one.architecture])
        for one, (_, net), took in zip(exported, networks, steps, strict=True)
    ]
    return winner, [replace(contestants[0], onnx=onnx), *contestants[1:]]


def measure_final(
    exported: Sequence[Exported], explored: Explored, baseline: Architecture, on_note: Callable[[str], None]
) -> dict[Architecture, Interval]:
    """Latencies of the exported files, the winner's first, at the search's speed.

    Where the winner's upper bound is above the budget, all is measured `FINAL_REPEATS` times more and the mean of all counts,
    however the first of them come out. The baseline keeps its first reading, which a budget of `auto` is.
    """
    session, budget_ms = explored.session, explored.constraint.budget_ms
    winner = exported[0].architecture
    readings: list[dict[Architecture, Interval]] = []
    for repeat in range(1 + FINAL_REPEATS):
        if repeat and not session.campaigns.replaying:
            time.sleep(FINAL_PAUSE_SECONDS)
        readings.append(_final_reading(exported, session, baseline, explored.anchors.baseline))
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
        baseline: explored.anchors.baseline
    }


def _final_reading(
    exported: Sequence[Exported], session: Session, baseline: Architecture, before: Interval
) -> dict[Architecture, Interval]:
    """One campaign of the exported files, brought to the search's speed.

    By the subnets that the predictor knows, which say it most closely; where it names none, by the baseline.
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
    """Raises `LatlasError`, the winner's files deleted, where it is above the budget as exported."""
    if winner.interval.latency_ms <= budget_ms:
        return
    for file in out.glob("winner.*"):
        file.unlink()
    raise LatlasError(
        f"{winner.architecture} takes {winner.interval.latency_ms:.3f} ms as exported, above the budget of "
        f"{budget_ms:.3f} ms; the machine is unsteady, see `latlas doctor`, and search again with --force or another --out"
    )


def result_record(
    explored: Explored,
    winner: Candidate,
    searched: Contestant,
    baseline: Contestant,
    rivals: Sequence[Contestant],
    finalists: Sequence[Candidate],
    trials: Sequence[Trial[Candidate]],
) -> dict[str, Any]:
    """What a search found, as JSON, but for what it was asked for and how long it took."""
    constraint, history = explored.constraint, explored.history
    counts, of_trial = asdict(constraint.counts), {one.candidate.architecture: one for one in trials}
    return {
        **_network_record(searched),
        "onnx": str(searched.onnx) if searched.onnx else None,
        "budget_ms": constraint.budget_ms,
        "supernet_miou": winner.quality,
        "predicted_ms": constraint.predict([winner.architecture])[0].latency_ms,
        "evaluated": len(history.candidates),
        "filtered": history.filtered,
        "unused": history.unused,
        "measured": counts["measured"],
        "false_accepts": counts["false_accepts"],
        "constraint": counts,
        "prediction": constraint.calibration.report(),
        "space_size": winner.architecture.space.size,
        "feasible": share_record(
            constraint.predictor, winner.architecture.space, constraint.budget_ms / constraint.scale
        ),
        "baseline": _network_record(baseline),
        "rivals": [_network_record(one) for one in rivals],
        "finalists": [_finalist_record(one, of_trial.get(one.architecture)) for one in finalists],
        "architecture_training": _training_record(explored.gradient),
        "accuracy_predictor": accuracy_record(explored.accuracy, explored.file.path.parent),
        "study": explored.shared.to_record() if explored.shared else None,
        "front": [_front_record(one) for one in explored.front],
        "front_hypervolume": covered(History(explored.front), constraint.budget_ms) if explored.front else None,
        "reference_ms": explored.session.reference_ms,
        "fastest_ms": explored.anchors.fastest.latency_ms,
        "slowest_ms": explored.anchors.slowest_ms,
        "all_fit": explored.anchors.slowest_ms <= constraint.budget_ms,
        "certified": searched.interval.upper_ms <= constraint.budget_ms,
        "against_baseline": compare(searched.quality.by_image, baseline.quality.by_image).to_record(),
        "environment": explored.session.environment.to_record(),
    }


def _training_record(trained: TrainedDistribution | None) -> dict[str, Any] | None:
    if trained is None:
        return None
    return {"steps": trained.steps, "weight_steps": trained.weight_steps, "entropy": trained.distribution.entropy()}


def _finalist_record(finalist: Candidate, trial: Trial[Candidate] | None) -> dict[str, Any]:
    return {
        "architecture": str(finalist.architecture),
        "latency_ms": finalist.verdict.latency_ms,
        "supernet_miou": finalist.quality,
        "trial_steps": trial.steps if trial else 0,
        "trial_miou": trial.quality if trial else None,
    }


def _front_record(one: Candidate) -> dict[str, Any]:
    interval = {name: getattr(one.verdict, name) for name in ("latency_ms", "lower_ms", "upper_ms")}
    return {"architecture": str(one.architecture), **interval, "supernet_miou": one.quality}


def _network_record(one: Contestant) -> dict[str, Any]:
    return {
        "architecture": str(one.architecture),
        "latency_ms": one.interval.latency_ms,
        "lower_ms": one.interval.lower_ms,
        "upper_ms": one.interval.upper_ms,
        "miou": one.quality.miou,
        "person_iou": one.quality.person_iou,
        "boundary_f": one.quality.boundary_f,
        "miou_by_source": {name: found.miou for name, found in one.quality.by_source.items()},
        "macs": one.architecture.macs,
        "params": one.architecture.params,
        "model": str(one.exported.model),
        "train_steps": one.steps,
    }
