"""`search`: supernet, predictor and budget -> a measured, trained, exported network and its comparison with a baseline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latlas.latency.errors import LatlasError, UsageError
from latlas.latency.predictor_file import SavedPredictor, save_predictor
from latlas.latency.profile import Setting
from latlas.latency.scratch import scratch_folder
from latlas.search.constraint import LatencyConstraint
from latlas.search.finish import (
    Exported,
    averaged,
    calibration_images,
    export,
    measure_exported,
    rescaled,
    write_json,
)
from latlas.search.halving import Trial, successive_halving
from latlas.search.interval import Interval
from latlas.search.learnt import with_learnt
from latlas.search.loop import Candidate, History, run_search
from latlas.search.report import write_report
from latlas.search.session import SETTLE_SECONDS, Session, elect, open_session
from latlas.search.strategy import make_strategy
from latlas.supernet.augment import Augmentation
from latlas.supernet.data import Dataset, parted, resized, subset
from latlas.supernet.network import Subnet, Supernet
from latlas.supernet.operators import timing_operator
from latlas.supernet.quality import Quality
from latlas.supernet.recalibrate import recalibrate
from latlas.supernet.score import score, score_subnet
from latlas.supernet.space import Architecture
from latlas.supernet.train import TrainConfig, TrainProgress, train_subnet, training_device

CALIBRATION_IMAGES = 64
"""Training images from which batch normalisation's statistics are set."""
FINAL_REPEATS = 2
"""How often a winner found above the budget at the end is measured again, before it is given up."""
FINAL_PAUSE_SECONDS = 20.0
"""Before measuring again: what made the machine busy may pass."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What a search is asked for.

    `budget_ms` None is the baseline's measured latency. Candidates are to use at least the share `min_use` of it, or of the
    slowest network's where that is within the budget. Those of the best `finalists` that hold the budget when measured are
    ranked anew by successive halving, which trains all of them for `halving_steps`; with 0 the supernet's ranking stands.
    `supernet_steps` is how long the supernet was trained, and `supernet_size` the height and width of its training images,
    at which candidates are scored. Winner and baseline both start from nothing and are trained equally long. With `inherit`
    the winner and the finalists go on from the supernet's weights, of which each searchable one was updated in a step out
    of as many as a layer has operators; the baseline is then trained so many steps longer. It pays only where the supernet
    was trained for very long: after 800 and 350 further steps a subnet was at 65.1 % mIoU, and at 67.6 % after 350 steps
    from nothing.
    """

    budget_ms: float | None = None
    baseline: str = "mobilenetv3_large"
    strategy: str = "evolution"
    evaluations: int = 100
    finalists: int = 9
    halving_steps: int = 150
    max_measurements: int = 30
    min_use: float = 0.9
    confidence: float = 0.95
    seed: int = 0
    score_images: int = 192
    supernet_steps: int = 0
    supernet_size: tuple[int, int] | None = None
    inherit: bool = False
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1500))
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_use < 1:
            raise UsageError(f"min_use is {self.min_use}; it must be at least 0 and below 1, as 0.9")
        for name, least in (("finalists", 1), ("halving_steps", 0), ("score_images", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(slots=True)
class Listener:
    """Where a search tells what it does; each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None


def require_searchable(precision: str, batch: int | None) -> None:
    """Raises `UsageError` for latencies that a search cannot be led by: int8, and a batch of several."""
    if precision == "int8":
        raise UsageError(
            "search does not take int8: it states the quality of what it exports, and a quantised network's is not known; "
            "search at f32 or bf16, and see `latlas measure --precision int8` for the latency of what it finds"
        )
    if batch != 1:
        raise UsageError(
            f"search exports networks of batch 1, and the predictor is of batch {batch}; fit one at --batch 1"
        )


def search(
    saved: SavedPredictor,
    supernet: Supernet,
    training: Dataset,
    validation: Dataset,
    out: Path,
    setting: Setting,
    config: SearchConfig,
    augmentation: Augmentation | None = None,
    listener: Listener | None = None,
    data: str = "",
) -> dict[str, Any]:
    """Run a search into the folder `out` and return its result, which is also `out/result.json`.

    `data` is what the data sets are called in it.

    The winner's exported IR has been measured and is within the budget. Raises `InfeasibleBudgetError` with the fastest
    and the slowest latency there is where the budget is impossible, before anything is searched; `LatlasError` where no
    network held the budget when measured.
    """
    listener, space = listener or Listener(), supernet.space
    started = time.monotonic()
    require_searchable(setting.precision, setting.batch)
    saved.require(
        space.text,
        precision=setting.precision,
        threads=setting.threads,
        streams=setting.streams,
        batch=setting.batch,
    )
    baseline = space.baseline(config.baseline) if space.is_baseline(config.baseline) else None
    if baseline is None:
        raise UsageError(f"{space.name} has no baseline {config.baseline!r}; it has {', '.join(space.baselines)}")
    strategy = make_strategy(config.strategy, space, np.random.default_rng(config.seed), config.evaluations)
    training_device(config.train.device)
    # Candidates are compared on training images: what is reported is of images that chose nothing.
    calibrating = subset(training, CALIBRATION_IMAGES, config.seed + 1)
    calibration = calibration_images(calibrating.images)
    # At the size that the shared weights know: at another, what is compared is how networks bear the change.
    size = config.supernet_size or (training.images.shape[2], training.images.shape[3])
    score_images = min(config.score_images, max(1, len(training) // 4))
    scored, unscored = parted(training, score_images, config.seed)
    scored = resized(scored, *size)
    score_calibration = calibration_images(resized(calibrating, *size).images)

    with scratch_folder() as folder:
        library = setting.library(folder, timing_operator)
        with setting.bench() as bench:
            constraint, session, anchors = open_session(
                saved,
                bench,
                library,
                setting,
                baseline,
                config.budget_ms,
                config.confidence,
                config.max_measurements,
                listener.on_note,
            )
            searching = time.monotonic()
            history = run_search(
                strategy,
                constraint,
                lambda architecture: score(supernet, architecture, score_calibration, scored).miou,
                config.evaluations,
                start=(anchors.fastest_architecture,),
                floor_ms=config.min_use * min(constraint.budget_ms, anchors.slowest_ms),
                on_candidate=lambda history: listener.on_candidate(history, constraint),
                stop=lambda: config.time_limit_s is not None and time.monotonic() - searching > config.time_limit_s,
            )
            finalists = elect(history, constraint, session, config.finalists, listener.on_note)

    def start_of(architecture: Architecture) -> Subnet:
        return supernet.extract(architecture) if config.inherit else _fresh(architecture, config.seed)

    def trained(name: str, network: Subnet, data: Dataset, train: TrainConfig, images: Sequence[Tensor]) -> Subnet:
        done = train_subnet(network, data, train, augmentation, on_progress=partial(listener.on_training, name))
        return recalibrate(done.cpu(), images)

    trials: dict[Architecture, Trial[Candidate]] = {}
    if config.halving_steps and len(finalists) > 1 and len(unscored):
        rest = resized(unscored, *size)

        def train_and_score(finalist: Candidate, steps: int) -> float:
            brief = replace(config.train, steps=steps)
            done = trained("finalist", start_of(finalist.architecture), rest, brief, score_calibration)
            return score_subnet(done, scored, boundary=False).miou

        listener.on_note(f"successive halving of {len(finalists)} finalists")
        ranked = successive_halving(finalists, train_and_score, config.halving_steps, config.train.steps)
        finalists = [trial.candidate for trial in ranked]
        trials = {trial.candidate.architecture: trial for trial in ranked}
    winner = finalists[0]

    listener.on_note(f"training {winner.architecture}")
    options = sum(map(len, space.choices)) / len(space.choices)
    longer = round(config.supernet_steps / options) if config.inherit else 0
    baseline_config = replace(config.train, steps=config.train.steps + longer)
    contestants = (
        (winner.architecture, "winner", start_of(winner.architecture), config.train),
        (baseline, "baseline", _fresh(baseline, config.seed), baseline_config),
    )
    exported: list[Exported] = []
    qualities: list[Quality] = []
    networks: list[Subnet] = []
    for architecture, name, network, train_config in contestants:
        done = trained(name, network, training, train_config, calibration)
        networks.append(done)
        qualities.append(score_subnet(done, validation))
        exported.append(export(architecture, done, out, name))

    time.sleep(SETTLE_SECONDS)
    listener.on_note("measuring the exported networks")
    final = _final(exported, baseline, anchors.baseline, session, constraint.budget_ms, listener.on_note)
    interval = final[winner.architecture]
    constraint.confirm(winner.architecture, interval)
    result = _result(winner, interval, constraint, history, exported[0], qualities[0], space_size=space.size)
    result["baseline"] = _network_record(baseline, final[baseline], exported[1], qualities[1]) | {
        "train_steps": baseline_config.steps,
    }
    result |= {
        "finalists": [_finalist_record(one, trials.get(one.architecture)) for one in finalists],
        "train_steps": config.train.steps,
        "supernet_steps": config.supernet_steps,
        "reference_ms": session.reference_ms,
        "fastest_ms": anchors.fastest.latency_ms,
        "environment": session.environment.to_dict(),
        "config": {**asdict(config), "setting": asdict(setting), "data": data},
        "predictor": str(out / "predictor"),
        "report": str(out / "report.html"),
        "seconds": time.monotonic() - started,
    }
    if interval.latency_ms > constraint.budget_ms:
        for file in out.glob("winner.*"):
            file.unlink()
        raise LatlasError(
            f"{winner.architecture} takes {interval.latency_ms:.3f} ms as exported, above the budget of "
            f"{constraint.budget_ms:.3f} ms; the machine is unsteady, see `latlas doctor`, and search again"
        )
    save_predictor(out / "predictor", with_learnt(saved, constraint.learnt()), overwrite=True)
    write_report(out / "report.html", result, history, validation, networks)
    write_json(out / "result.json", result)
    return result


def _final(
    exported: Sequence[Exported],
    baseline: Architecture,
    before: Interval,
    session: Session,
    budget_ms: float,
    on_note: Callable[[str], None],
) -> dict[Architecture, Interval]:
    """Latencies of the exported files, the winner's first, at the search's speed.

    Where the winner's is above the budget, all is measured `FINAL_REPEATS` times more and the mean of all counts, however
    the first of them come out.
    """
    careful = replace(session.setting, passes=session.setting.careful_passes)
    readings: list[dict[Architecture, Interval]] = []
    for repeat in range(1 + FINAL_REPEATS):
        if repeat:
            time.sleep(FINAL_PAUSE_SECONDS)
        with careful.bench() as bench:
            found = measure_exported(bench, exported, careful, session.reference_ms)
        readings.append(rescaled(found, baseline, before))
        latency_ms = readings[0][exported[0].architecture].latency_ms
        if latency_ms <= budget_ms:
            break
        if not repeat:
            on_note(f"{latency_ms:.3f} ms is above the budget: measuring {FINAL_REPEATS} times more, the mean counts")
    return averaged(readings)


def _fresh(architecture: Architecture, seed: int) -> Subnet:
    """The architecture's subnet, initialised from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Subnet(architecture.graph())


def _finalist_record(finalist: Candidate, trial: Trial[Candidate] | None) -> dict[str, Any]:
    return {
        "architecture": str(finalist.architecture),
        "latency_ms": finalist.verdict.latency_ms,
        "supernet_miou": finalist.quality,
        "trial_steps": trial.steps if trial else 0,
        "trial_miou": trial.quality if trial else None,
    }


def _network_record(
    architecture: Architecture, interval: Interval, exported: Exported, quality: Quality
) -> dict[str, Any]:
    return {
        "architecture": str(architecture),
        "latency_ms": interval.latency_ms,
        "lower_ms": interval.lower_ms,
        "upper_ms": interval.upper_ms,
        "miou": quality.miou,
        "person_iou": quality.person_iou,
        "boundary_f": quality.boundary_f,
        "miou_by_source": {name: one.miou for name, one in quality.by_source.items()},
        "macs": architecture.macs,
        "params": architecture.params,
        "model": str(exported.model),
    }


def _result(
    winner: Candidate,
    interval: Interval,
    constraint: LatencyConstraint,
    history: History,
    exported: Exported,
    quality: Quality,
    space_size: int,
) -> dict[str, Any]:
    counts = asdict(constraint.counts)
    return {
        **_network_record(winner.architecture, interval, exported, quality),
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
        "space_size": space_size,
    }
