"""The result of a search as JSON, and the predictor after it learnt the search's measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from latlas.latency.limits.limits import share_record
from latlas.latency.predictor.predictor_file import PredictorSample, SavedPredictor
from latlas.search.constraint.constraint import Learnt
from latlas.search.report.headline import compare
from latlas.search.run.accuracy_phase import accuracy_record
from latlas.search.run.comparison import Contestant
from latlas.search.run.explore import Explored
from latlas.search.run.gradient_phase import TrainedDistribution
from latlas.search.strategies.front import covered
from latlas.search.strategies.halving import Trial
from latlas.search.strategies.loop import Candidate, History


def with_learnt(saved: SavedPredictor, learnt: Sequence[Learnt]) -> SavedPredictor:
    """The predictor after it learnt a finished search's measurements (`LatencyConstraint.learnt`).

    Its samples list them with the role `search`. Its accuracy figures stay the same, because the measurements of a search are not
    a random sample for a test. An architecture that it has learnt already is not learnt twice.
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
        PredictorSample(str(one.architecture), one.latency_ms, one.lower_ms, one.upper_ms, one.predicted_ms, "search")
        for one in learnt
    )
    return replace(saved, predictor=predictor, samples=(*saved.samples, *samples))


def result_record(
    explored: Explored,
    winner: Candidate,
    searched: Contestant,
    baseline: Contestant,
    rivals: Sequence[Contestant],
    finalists: Sequence[Candidate],
    trials: Sequence[Trial[Candidate]],
) -> dict[str, Any]:
    """What a search found, as JSON. Its options and its duration are not in it."""
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
        "fastest_ms": explored.landmarks.fastest.latency_ms,
        "slowest_ms": explored.landmarks.slowest_ms,
        "all_fit": explored.landmarks.slowest_ms <= constraint.budget_ms,
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
