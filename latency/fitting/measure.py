"""`measure`: architectures and model files, end to end, in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

from latlas.errors import LatlasError, UsageError
from latlas.files.scratch import scratch_folder
from latlas.latency.fitting.anchors import Anchored
from latlas.latency.machine.environment import require_same
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Network, network_of_graph
from latlas.latency.measuring.campaign import Progress
from latlas.latency.measuring.profile import BuildModule, Setting
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.latency.runtime.model_file import check_readable
from latlas.spaces.space import Architecture


def measure_targets(
    targets: Sequence[Architecture | Path],
    setting: Setting,
    *,
    build_module: BuildModule,
    shape: tuple[int, ...] | None = None,
    reference_ms: float | None = None,
    like: SavedPredictor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """A record for each target: milliseconds with interval, ratio to the reference, rounds, status, environment.

    Milliseconds are at the reference's latency in this session, or at `reference_ms` where it is given, or `like` a predictor's:
    some of what it was learnt from is measured along, and says by how much this session is slower. Raises `LatlasError` where a
    target cannot be built or timed, `EnvironmentMismatchError` where the predictor is of another environment.
    """
    if like is not None and reference_ms is not None:
        raise UsageError("milliseconds are stated at a reference latency or like a predictor's, not both")
    if reference_ms is not None and not 0 < reference_ms < math.inf:
        raise UsageError(f"reference_ms is {reference_ms}; it must be a positive number of milliseconds")
    with scratch_folder() as folder:
        library = setting.library(folder, build_module)
        networks = []
        for index, target in enumerate(targets):
            label = f"{index + 1}. {target}"
            if isinstance(target, Architecture):
                networks.append(network_of_graph(label, library.describe(target.graph())))
            else:
                check_readable(target, shape, setting.batch, setting.precision)
                networks.append(Network(label, file=str(target.resolve()), shape=shape, batch=setting.batch))
        known = Anchored(like, library.describe) if like is not None else None
        careful = replace(setting, passes=setting.careful_passes)
        with careful.bench() as bench:
            found = campaign.measure_all(
                bench,
                [*networks, *(known.networks if known else [])],
                passes=careful.passes,
                max_passes=careful.max_passes,
                seed=careful.seed,
                on_progress=on_progress,
            )
            session_ms = campaign.reference_ms(list(found.values()))
            environment = careful.environment(bench, session_ms)
    stated, uncertain = reference_ms if reference_ms is not None else session_ms, 0.0
    if like is not None and known is not None:
        require_same(like.environment, environment, "state milliseconds like this predictor's here")
        scale, error = known.open(found, session_ms, setting.rule)
        stated, uncertain = session_ms / scale, error * NormalDist().inv_cdf(0.5 + setting.rule.confidence / 2)
    records = []
    for target, network in zip(targets, networks, strict=True):
        measured = found[network.label]
        if not measured.passes:
            raise LatlasError(f"{target} could not be measured: {measured.reason}")
        reading = measured.reading(setting.rule)
        half = math.hypot((reading.upper - reading.lower) / 2, uncertain * reading.ratio)
        records.append(
            {
                "target": str(target),
                "latency_ms": reading.ratio * stated,
                "lower_ms": (reading.lower if like is None else reading.ratio - half) * stated,
                "upper_ms": (reading.upper if like is None else reading.ratio + half) * stated,
                "ratio": reading.ratio,
                "reference_ms": stated,
                "session_reference_ms": session_ms,
                "rounds": reading.rounds,
                "discarded": reading.discarded,
                "passes": reading.passes,
                "status": reading.status,
                "environment": environment.to_record(),
            }
        )
    return records
