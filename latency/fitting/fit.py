"""`fit-predictor`: makes a predictor from measured subnets, with figures on subnets that it did not learn from."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import InterruptedRunError, LatlasError, UsageError
from latlas.files.journal import Journal, goes_on
from latlas.files.lock import timing_lock
from latlas.files.scratch import scratch_folder
from latlas.files.signals import stoppable
from latlas.latency.fitting.accuracy import COVERAGES, accuracy
from latlas.latency.fitting.choose import chosen
from latlas.latency.machine.environment import Environment, require_same
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, network_of_graph
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.interval import relative_sd_of
from latlas.latency.measuring.profile import BuildModule, Setting
from latlas.latency.measuring.steadiness import remember
from latlas.latency.measuring.stopwatch import StopRule, disagreement
from latlas.latency.measuring.time_left import Progress
from latlas.latency.predictor.features import CostList, CostOf
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import PredictorSample, SavedPredictor
from latlas.latency.table.table import Table
from latlas.spaces.graph import live_nodes
from latlas.spaces.sampling import draw_different
from latlas.spaces.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from latlas.latency.runtime.conversion import OperatorLibrary

log = logging.getLogger(__name__)

CAMPAIGN_SHIFT = 0.003
"""Relative error that all subnets of one campaign share; three campaigns on one machine showed 0.1 to 0.4 %."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """A measured subnet: milliseconds with an interval, and the ratio of each pass that was not busy."""

    architecture: Architecture
    latency_ms: float
    lower_ms: float
    upper_ms: float
    ratio: float
    status: str
    pass_ratios: tuple[float, ...]


def measure_architectures(
    bench: Bench,
    library: OperatorLibrary,
    architectures: Sequence[Architecture],
    setting: Setting,
    *,
    repeat_noisy: bool = True,
    journal: Journal | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[Architecture, Measured]:
    """The passes of each architecture; every round times all of them."""
    networks = [network_of_graph(str(a), library.describe(a.graph())) for a in architectures]
    found = campaign.measure_all(
        bench,
        networks,
        passes=setting.passes,
        max_passes=setting.max_passes,
        repeat_noisy=repeat_noisy,
        seed=setting.seed,
        journal=journal,
        on_progress=on_progress,
    )
    return {architecture: found[str(architecture)] for architecture in architectures}


def sample_of(architecture: Architecture, measured: Measured, reference_ms: float, setting: Setting) -> Sample:
    """The sample of a measured architecture; raises `LatlasError` if measuring it failed."""
    if not measured.passes:
        raise LatlasError(f"{architecture} could not be measured: {measured.reason}")
    reading = measured.reading(setting.rule)
    return Sample(
        architecture,
        reading.ratio * reference_ms,
        reading.lower * reference_ms,
        reading.upper * reference_ms,
        reading.ratio,
        reading.status,
        measured.pass_ratios(),
    )


CHOICES = ("informative", "random")


def subnets_to_measure(
    space: SearchSpace, count: int, test: int, seed: int, choice: str = CHOICES[0], cost_of: CostOf | None = None
) -> tuple[list[Architecture], list[Architecture]]:
    """The subnets to learn from, and others to test on; the test subnets are drawn at random, half of them uniformly.

    `choice` is `informative` (`choose.py`) or `random`. If the space is too small, its subnets are divided in proportion.
    """
    if choice not in CHOICES:
        raise UsageError(f"choice is {choice!r}; known: {', '.join(CHOICES)}")
    rng = np.random.default_rng([seed, 1])
    test = min(test, max(1, space.size * test // (count + test)))
    drawn = dict.fromkeys([*draw_different(space, test // 2, rng), *space.sample(test, rng)])
    tested = list(drawn)[:test]
    if choice == "random":
        others = draw_different(space, min(count + test, space.size), np.random.default_rng(seed))
        return [one for one in others if one not in set(tested)][:count], tested
    return chosen(space, count, seed, cost_of=cost_of, avoid=tested), tested


def collect_these(
    architectures: Sequence[Architecture],
    asked: Mapping[str, object],
    setting: Setting,
    journal_path: Path,
    *,
    build_module: BuildModule,
    replaces: bool = False,
    on_note: Notify | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Sample], Environment]:
    """Measured subnets and their environment, without subnets that never had a quiet pass.

    A killed run continues from its journal; `asked` and the architectures say whether a journal is of the same run. Raises
    `InterruptedRunError` when interrupted. The caller deletes the journal once the measurements are saved. `replaces` says
    that the run was begun with `--force`. `build_module` builds an operator's torch module, for example
    `latlas.supernet.operators.build.timing_operator`.
    """
    listed = "\n".join(map(str, architectures))
    asked = {**asked, "architectures": hashlib.sha256(listed.encode()).hexdigest()[:16]}
    header = {**asked, "setting": asdict(setting), "environment": setting.key() | setting.place()}
    with (
        stoppable(),
        Journal(journal_path, header, replaces=replaces) as journal,
        timing_lock(),
        scratch_folder() as folder,
    ):
        library = setting.library(folder, build_module)
        if on_note is not None:
            on_note(f"converting the operators of {len(architectures)} subnets")
        try:
            with setting.bench() as bench:
                # The fit averages, so time is better spent on another subnet than on a further pass over a noisy one.
                found = measure_architectures(
                    bench,
                    library,
                    architectures,
                    setting,
                    repeat_noisy=False,
                    journal=journal,
                    on_progress=on_progress,
                )
                measured = list(found.values())
                environment = setting.environment(bench, campaign.reference_ms(measured))
                remember(environment)
        except KeyboardInterrupt:
            raise InterruptedRunError(f"stopped; what is finished is kept, and {goes_on(journal.path)}") from None
        samples = [
            sample_of(architecture, one, environment.session_reference_ms, setting)
            for architecture, one in found.items()
            if one.pass_ratios()
        ]
    if len(samples) < len(architectures):
        log.warning(
            "%d of %d subnets are left out: they failed, or the machine was busy each time",
            len(architectures) - len(samples),
            len(architectures),
        )
    return samples, environment


def fit_predictor(
    space: SearchSpace,
    table: Table | None,
    train: Sequence[Sample],
    test: Sequence[Sample],
    environment: Environment,
    *,
    confidence: float = 0.95,
) -> SavedPredictor:
    """A predictor learnt from `train`, with figures from `test`.

    The environment of a table must be the same as the samples' (`EnvironmentMismatchError`), except for the reference: operators
    have another one.
    """
    if not test:
        raise UsageError("no subnets to test on; a predictor without an error on unseen subnets is not a measurement")
    started = time.monotonic()
    costs = None
    if table is not None:
        what = f"learn with table {table.name} from these subnets"
        require_same(table.manifest.environment, environment, what, but=("reference_id",))
        costs = CostList({row.spec: row.latency_ms for row in table if row.latency_ms is not None})
    predictor = LatencyPredictor(cost_of=costs, campaign_sd=CAMPAIGN_SHIFT)
    errors = [relative_sd(s) for s in train]
    predictor.fit([s.architecture.graph() for s in train], [s.latency_ms for s in train], errors)
    measured = np.array([s.latency_ms for s in test])
    predicted, spreads = predictor.predict_spread([s.architecture.graph() for s in test])
    margins = {level: predictor.margins(spreads, level) for level in sorted({*COVERAGES, confidence})}
    off = np.abs(measured / predicted - 1)
    floor = disagreement(s.pass_ratios for s in test)
    figures: dict[str, Any] = {
        "train": len(train),
        "test": len(test),
        **accuracy(predicted, measured),
        "noise_floor": floor if math.isfinite(floor) else None,
        "coverage": float(np.mean(off <= margins[confidence])),
        "confidence": confidence,
        "margin": float(np.median(margins[confidence])),
        "coverages": {f"{level:g}": float(np.mean(off <= margins[level])) for level in COVERAGES},
        "margins": {f"{level:g}": float(np.median(margins[level])) for level in COVERAGES},
        "cv_mape": predictor.cv_mape_,
        "additive_mape": None if costs is None else accuracy(_plain_sums(costs, test), measured)["mape"],
        "spreads": predictor.model_.spreads_,
        "fit_seconds": time.monotonic() - started,
    }
    all_samples = [
        *(_predictor_sample(s, ms, "train") for s, ms in zip(train, predictor.model_.left_out_, strict=True)),
        *(_predictor_sample(s, ms, "test") for s, ms in zip(test, predicted, strict=True)),
    ]
    return SavedPredictor(predictor, environment, space.text, figures, tuple(all_samples))


def relative_sd(sample: Sample, rule: StopRule | None = None) -> float:
    """`interval.relative_sd_of` of a sample, whose bounds are at the rule's confidence."""
    return relative_sd_of(sample.latency_ms, sample.lower_ms, sample.upper_ms, (rule or StopRule()).confidence)


def _predictor_sample(sample: Sample, predicted_ms: float, role: str) -> PredictorSample:
    return PredictorSample(
        str(sample.architecture),
        sample.latency_ms,
        sample.lower_ms,
        sample.upper_ms,
        max(float(predicted_ms), 1e-9),
        role,
    )


def _plain_sums(costs: CostList, samples: Sequence[Sample]) -> FloatArray:
    graphs = [sample.architecture.graph() for sample in samples]
    return np.array([sum(costs(graph[i].spec) for i in live_nodes(graph)) for graph in graphs])
