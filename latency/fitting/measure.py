"""`measure`: measures architectures and model files end to end, in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

from latlas.errors import UsageError
from latlas.files.scratch import scratch_folder
from latlas.latency.fitting.anchors import Anchors
from latlas.latency.machine.environment import Environment, require_same
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, Network, network_of_graph
from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.profile import BuildModule, Setting
from latlas.latency.measuring.steadiness import pace_warning, remember, steadiness_warnings, usual_ms
from latlas.latency.measuring.time_left import Progress
from latlas.latency.predictor.predictor_file import SavedPredictor
from latlas.latency.runtime.asked import Asked
from latlas.latency.runtime.conversion import OperatorLibrary
from latlas.latency.runtime.fill import NOISE
from latlas.latency.runtime.inputs import Input, shape_text
from latlas.latency.runtime.model_file import resolve_files
from latlas.spaces.graph import INPUT
from latlas.spaces.space import Architecture

FAILED = "failed"


@dataclass(frozen=True, slots=True)
class _Subject:
    """A target, the network that is timed for it, and the fields that a result says about it."""

    target: Architecture | Path
    network: Network
    inputs: tuple[Input, ...]
    batch: int | None
    architecture: str | None


def measure_targets(
    targets: Sequence[Architecture | Path],
    setting: Setting,
    *,
    build_module: BuildModule,
    asked: Asked | None = None,
    reference_ms: float | None = None,
    like: SavedPredictor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """A record for each target: milliseconds with interval, ratio to the reference, and what exactly was measured.

    `inputs` are the shape, element type and fill of each input. `batch` is how many samples an inference has (None if a file
    does not say). `precision` is what the compiled network reports, `int8_share` the share of its layers that ran in int8, and
    `crashes` how often the timing process crashed on it. A target that cannot be built or timed has the status `failed`, a
    `reason`, and None for each number. `warnings` are lines about the machine during the measurement; with a problem in the
    sense of `doctor`, the status is `noisy` at best.

    Milliseconds are stated at the reference's latency in this session, at `reference_ms` if it is given, or `like` a
    predictor's. For the last, some networks that the predictor was learnt from are measured too; they show how much slower this
    session is.

    Args:
        targets: architectures, and paths of model files or SavedModel folders.
        setting: how to compile and time.
        build_module: builds the torch module of an operator.
        asked: shapes and values of the files' inputs.
        reference_ms: the reference latency at which milliseconds are stated.
        like: the predictor whose milliseconds are used.
        on_progress: called before each pass.

    Raises:
        UsageError: a file or an option is wrong; before anything is converted or measured.
        FileFormatError: a file cannot be read.
        EnvironmentMismatchError: the predictor is of another environment.
    """
    if like is not None and reference_ms is not None:
        raise UsageError("milliseconds are stated at a reference latency or like a predictor's, not both")
    if reference_ms is not None and not 0 < reference_ms < math.inf:
        raise UsageError(f"reference_ms is {reference_ms}; it must be a positive number of milliseconds")
    files = [target for target in targets if isinstance(target, Path)]
    resolved = iter(resolve_files(files, asked or Asked(), setting.batch, setting.precision))
    with scratch_folder() as folder:
        library = setting.library(folder, build_module)
        subjects: list[_Subject] = []
        for index, target in enumerate(targets):
            label = f"{index + 1}. {target}"
            if isinstance(target, Architecture):
                subjects.append(_of_architecture(target, label, library, setting.batch))
                continue
            file = next(resolved)
            shapes, fills = tuple(one.shape for one in file.inputs), tuple(one.fill for one in file.inputs)
            network = Network(label, file=str(target.resolve()), shapes=shapes, fills=fills)
            subjects.append(_Subject(target, network, file.inputs, file.batch, file.own.get("architecture")))
        known = Anchors(like, library.describe) if like is not None else None
        careful = replace(setting, passes=setting.careful_passes)
        with careful.bench() as bench:
            found = campaign.measure_all(
                bench,
                [*(subject.network for subject in subjects), *(known.networks if known else [])],
                passes=careful.passes,
                max_passes=careful.max_passes,
                seed=careful.seed,
                on_progress=on_progress,
            )
            timed = any(found[subject.network.label].passes for subject in subjects)
            session_ms = campaign.reference_ms(list(found.values())) if timed else None
            environment = careful.environment(bench, session_ms)
    warnings = [*bench.problems, *_warnings(list(found.values()), environment, reference_ms, like, setting)]
    stated, uncertain = session_ms if reference_ms is None else reference_ms, 0.0
    if like is not None and known is not None and session_ms is not None:
        require_same(like.environment, environment, "state milliseconds like this predictor's here")
        scale, error = known.open(found, session_ms, setting.rule)
        stated, uncertain = session_ms / scale, error * NormalDist().inv_cdf(0.5 + setting.rule.confidence / 2)
    scale_ms = _Scale(session_ms, stated, uncertain, like is not None)
    return [
        _record(one, found[one.network.label], bench, setting, scale_ms, environment) | {"warnings": warnings}
        for one in subjects
    ]


def _warnings(
    measured: Sequence[Measured],
    environment: Environment,
    reference_ms: float | None,
    like: SavedPredictor | None,
    setting: Setting,
) -> list[str]:
    """Warnings if the machine was not at its usual speed, or not steady. The usual speed is the predictor's, the asked one, or
    the speed of earlier campaigns here."""
    if environment.reference_ms is None:
        return []
    if like is not None:
        usual, when = like.environment.reference_ms, "it had when the predictor was made"
    elif reference_ms is not None:
        usual, when = reference_ms, "of --reference-ms"
    else:
        usual, when = usual_ms(environment), "it usually has"
    remember(environment)
    pace = "" if usual is None else pace_warning(environment.reference_ms / usual, when)
    return [*filter(None, [pace]), *steadiness_warnings(measured, setting.rule)]


def _of_architecture(target: Architecture, label: str, library: OperatorLibrary, batch: int) -> _Subject:
    graph = target.graph()
    first = next(node for node in graph if INPUT in node.inputs)
    shape = (batch, *first.spec.input_shapes[first.inputs.index(INPUT)])
    image = Input("image", shape, "f32", NOISE, shape_text(shape))
    return _Subject(target, network_of_graph(label, library.describe(graph)), (image,), batch, str(target))


@dataclass(frozen=True, slots=True)
class _Scale:
    """Turns ratios into milliseconds at the latency `stated`, which is uncertain if it is like a predictor's."""

    session_ms: float | None
    stated_ms: float | None
    uncertain: float
    like: bool


def _record(
    subject: _Subject, measured: Measured, bench: Bench, setting: Setting, scale: _Scale, environment: Environment
) -> dict[str, Any]:
    numbers: dict[str, Any] = dict.fromkeys(("latency_ms", "lower_ms", "upper_ms", "ratio"))
    counts: dict[str, Any] = {"rounds": 0, "discarded": 0, "passes": 0, "status": FAILED, "reason": measured.reason}
    if measured.passes and scale.stated_ms is not None:
        reading = measured.reading(setting.rule)
        half = math.hypot((reading.upper - reading.lower) / 2, scale.uncertain * reading.ratio)
        numbers = {
            "latency_ms": reading.ratio * scale.stated_ms,
            "lower_ms": (reading.ratio - half if scale.like else reading.lower) * scale.stated_ms,
            "upper_ms": (reading.ratio + half if scale.like else reading.upper) * scale.stated_ms,
            "ratio": reading.ratio,
        }
        counts = {
            "rounds": reading.rounds,
            "discarded": reading.discarded,
            "passes": reading.passes,
            "status": "noisy" if bench.problems else reading.status,
            "reason": "",
        }
    told = bench.read_back.get(subject.network.label, {})
    return {
        "target": str(subject.target),
        **numbers,
        "reference_ms": scale.stated_ms,
        "session_reference_ms": scale.session_ms,
        **counts,
        "inputs": [one.to_record() for one in subject.inputs],
        "batch": subject.batch,
        "precision": told.get("precision"),
        "int8_share": told.get("int8_share"),
        "threads": setting.threads,
        "crashes": bench.crashes[subject.network.label],
        "architecture": subject.architecture,
        "environment": environment.to_record(),
    }
