"""`search`: supernet, predictor and budget -> a measured, trained, exported network and its comparison with a baseline."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latlas.latency import campaign
from latlas.latency.bench import Bench, network_of_graph
from latlas.latency.environment import Environment, require_same
from latlas.latency.errors import InfeasibleBudgetError, LatlasError, UsageError
from latlas.latency.predictor_file import SavedPredictor
from latlas.latency.profile import Setting
from latlas.latency.runtime import OperatorLibrary
from latlas.search.constraint import HasGraph, Interval, LatencyConstraint, extremes
from latlas.search.finish import (
    Exported,
    averaged,
    calibration_images,
    export,
    interval_of,
    measure_exported,
    rescaled,
    write_json,
)
from latlas.search.loop import Candidate, History, run_search
from latlas.search.report import write_report
from latlas.search.strategy import make_strategy
from latlas.supernet.augment import Augmentation
from latlas.supernet.data import Dataset, resized, subset
from latlas.supernet.network import Subnet, Supernet
from latlas.supernet.operators import timing_operator
from latlas.supernet.quality import Quality
from latlas.supernet.recalibrate import recalibrate
from latlas.supernet.score import score, score_subnet
from latlas.supernet.space import Architecture
from latlas.supernet.train import TrainConfig, TrainProgress, train_subnet, training_device

log = logging.getLogger(__name__)

CALIBRATION_IMAGES = 64
"""Training images from which batch normalisation's statistics are set."""
FINAL_REPEATS = 2
"""How often a winner found above the budget at the end is measured again, before it is given up."""
SETTLE_SECONDS = 0.3
"""Between training threads and the stopwatch: torch's thread pool spins for a while after its work."""


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """What a search is asked for.

    `budget_ms` None is the baseline's measured latency. Candidates are to use at least the share `min_use` of it, or of the
    slowest network's where that is within the budget. `supernet_steps` is how long the supernet was trained, and
    `supernet_size` the height and width of its training images, at which candidates are scored. The winner goes on from
    the supernet's weights, of which each searchable one was updated in a step out of as many as a layer has operators;
    the baseline, which starts from nothing, is trained so many steps longer. With `from_scratch` both start from nothing
    and are trained equally long.
    """

    budget_ms: float | None = None
    baseline: str = "mobilenetv3_large"
    strategy: str = "evolution"
    evaluations: int = 60
    finalists: int = 5
    max_measurements: int = 30
    min_use: float = 0.9
    confidence: float = 0.95
    seed: int = 0
    score_images: int = 64
    supernet_steps: int = 0
    supernet_size: tuple[int, int] | None = None
    from_scratch: bool = False
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=400))
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_use < 1:
            raise UsageError(f"min_use is {self.min_use}; it must be at least 0 and below 1, as 0.9")


@dataclass(slots=True)
class Listener:
    """Where a search tells what it does; each may be left out."""

    on_note: Callable[[str], None] = lambda note: None
    on_candidate: Callable[[History, LatencyConstraint], None] = lambda history, constraint: None
    on_training: Callable[[str, TrainProgress], None] = lambda name, progress: None


@dataclass(frozen=True, slots=True)
class _Session:
    """The measuring side of one search: every latency in it is at one reference latency."""

    bench: Bench
    library: OperatorLibrary
    setting: Setting
    environment: Environment

    @property
    def reference_ms(self) -> float:
        """The reference's latency in this session."""
        return self.environment.reference_ms

    def measure(self, architectures: Sequence[HasGraph], passes: int) -> list[Interval | None]:
        """Milliseconds of each, measured in turn; None of one that could not be compiled or timed."""
        time.sleep(SETTLE_SECONDS)
        networks = [network_of_graph(str(a), self.library.describe(a.graph())) for a in architectures]
        found = campaign.measure_all(
            self.bench, networks, passes=passes, max_passes=self.setting.max_passes, seed=self.setting.seed
        )
        return [
            interval_of(found[str(a)], self.reference_ms, self.setting) if found[str(a)].passes else None
            for a in architectures
        ]


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
    saved.require(space.text, precision=setting.precision, threads=setting.threads, streams=setting.streams)
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
    scored = resized(subset(training, config.score_images, config.seed), *size)
    score_calibration = calibration_images(resized(calibrating, *size).images)

    with tempfile.TemporaryDirectory(prefix="latlas-") as folder:
        library = OperatorLibrary(Path(folder), timing_operator)
        with setting.bench() as bench:
            constraint, session, fastest, anchors, slowest_ms = _open(
                saved, bench, library, setting, config, baseline, listener.on_note
            )
            searching = time.monotonic()
            history = run_search(
                strategy,
                constraint,
                lambda architecture: score(supernet, architecture, score_calibration, scored).miou,
                config.evaluations,
                start=(fastest,),
                floor_ms=config.min_use * min(constraint.budget_ms, slowest_ms),
                on_candidate=lambda history: listener.on_candidate(history, constraint),
                stop=lambda: config.time_limit_s is not None and time.monotonic() - searching > config.time_limit_s,
            )
            winner = _elect(history, constraint, session, config, listener.on_note)

    listener.on_note(f"training {winner.architecture}")
    subnet = _fresh(winner.architecture, config.seed) if config.from_scratch else supernet.extract(winner.architecture)
    trained = [(winner.architecture, "winner", subnet, config.train)]
    options = sum(map(len, space.choices)) / len(space.choices)
    longer = 0 if config.from_scratch else round(config.supernet_steps / options)
    baseline_config = replace(config.train, steps=config.train.steps + longer)
    trained.append((baseline, "baseline", _fresh(baseline, config.seed), baseline_config))
    exported: list[Exported] = []
    qualities: list[Quality] = []
    networks: list[Subnet] = []
    for architecture, name, network, train_config in trained:
        done = train_subnet(
            network,
            training,
            train_config,
            augmentation,
            on_progress=partial(listener.on_training, name),
        )
        done = recalibrate(done.cpu(), calibration)
        networks.append(done)
        qualities.append(score_subnet(done, validation))
        exported.append(export(architecture, done, out, name))

    time.sleep(SETTLE_SECONDS)
    listener.on_note("measuring the exported networks")
    readings = []
    for _ in range(1 + FINAL_REPEATS):
        with setting.bench() as bench:
            careful = replace(setting, passes=setting.max_passes)
            found = measure_exported(bench, exported, careful, session.reference_ms)
        readings.append(rescaled(found, baseline, anchors[1]))
        final = averaged(readings)
        interval = final[winner.architecture]
        if interval.latency_ms <= constraint.budget_ms:
            break
        listener.on_note(f"{interval.latency_ms:.3f} ms is above the budget; measuring again, the mean counts")
    constraint.confirm(winner.architecture, interval)
    result = _result(winner, interval, constraint, history, exported[0], qualities[0], space_size=space.size)
    result["baseline"] = _network_record(baseline, final[baseline], exported[1], qualities[1]) | {
        "train_steps": baseline_config.steps,
    }
    result |= {
        "train_steps": config.train.steps,
        "supernet_steps": config.supernet_steps,
        "reference_ms": session.reference_ms,
        "fastest_ms": anchors[0].latency_ms,
        "environment": session.environment.to_dict(),
        "config": {**asdict(config), "setting": asdict(setting), "data": data},
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
    write_report(out / "report.html", result, history, validation, networks)
    write_json(out / "result.json", result)
    return result


def _fresh(architecture: Architecture, seed: int) -> Subnet:
    """The architecture's subnet, initialised from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Subnet(architecture.graph())


def _open(
    saved: SavedPredictor,
    bench: Bench,
    library: OperatorLibrary,
    setting: Setting,
    config: SearchConfig,
    baseline: Architecture,
    on_note: Callable[[str], None],
) -> tuple[LatencyConstraint, _Session, Architecture, tuple[Interval, Interval], float]:
    """The constraint and session of this search, the space's fastest architecture, its and the baseline's latency, and
    the predicted milliseconds of the slowest."""
    space = baseline.space
    predictor = saved.predictor

    def latencies(rows: Sequence[tuple[str, ...]]) -> list[float]:
        return [float(v) for v in predictor.predict([space.architecture(row).graph() for row in rows])]

    fastest = space.architecture(extremes(space.choices, latencies)[0])
    _, slowest_ms = extremes(space.choices, latencies, sign=-1)
    on_note("measuring the baseline and the fastest network of the space")
    anchors = [baseline, fastest]
    networks = [network_of_graph(str(a), library.describe(a.graph())) for a in anchors]
    found = campaign.measure_all(
        bench, networks, passes=setting.max_passes, max_passes=setting.max_passes, seed=config.seed
    )
    reference_ms = campaign.reference_ms(list(found.values()))
    environment = setting.environment(bench, reference_ms)
    require_same(saved.environment, environment, "search with this predictor here")
    scale = reference_ms / saved.environment.reference_ms
    if abs(math.log(scale)) > 0.05:
        log.warning(
            "this machine runs at %.2f times the latency it had when the predictor was made; all is brought to now",
            scale,
        )
    baseline_interval, fastest_interval = (interval_of(found[str(a)], reference_ms, setting) for a in anchors)
    budget_ms = config.budget_ms if config.budget_ms is not None else baseline_interval.latency_ms
    if fastest_interval.lower_ms > budget_ms:
        raise InfeasibleBudgetError(
            f"no network of {space.text} is within {budget_ms:.3f} ms on this machine: the fastest, {fastest}, takes "
            f"{fastest_interval.latency_ms:.3f} ms (measured), the slowest {slowest_ms * scale:.3f} ms (predicted); "
            "raise the budget, or search a leaner space"
        )
    session = _Session(bench, library, setting, environment)
    constraint = LatencyConstraint(
        predictor,
        budget_ms,
        measure=lambda architecture: session.measure([architecture], setting.passes)[0],
        confidence=config.confidence,
        max_measurements=config.max_measurements,
        scale=scale,
    )
    constraint.confirm(fastest, fastest_interval)
    on_note(f"budget {budget_ms:.3f} ms; fastest {fastest_interval.latency_ms:.3f} ms")
    return constraint, session, fastest, (fastest_interval, baseline_interval), slowest_ms * scale


def _elect(
    history: History,
    constraint: LatencyConstraint,
    session: _Session,
    config: SearchConfig,
    on_note: Callable[[str], None],
) -> Candidate:
    """The best candidate that is within the budget when measured: the finalists first, then further down the ranking."""
    ranked = history.ranked()
    for first in range(0, len(ranked), config.finalists):
        finalists = ranked[first : first + config.finalists]
        on_note(f"measuring {len(finalists)} finalists")
        intervals = session.measure([one.architecture for one in finalists], session.setting.max_passes)
        # All of them, not only up to the winner: each is a prediction that was put to the test.
        verdicts = [
            (one, constraint.confirm(one.architecture, interval))
            for one, interval in zip(finalists, intervals, strict=True)
            if interval is not None
        ]
        for candidate, verdict in verdicts:
            if verdict.feasible:
                return replace(candidate, verdict=verdict)
    raise LatlasError(
        f"none of the {len(ranked)} candidates held {constraint.budget_ms:.3f} ms when measured; "
        "raise the budget a little, or measure on a quieter machine"
    )


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
        "space_size": space_size,
    }
