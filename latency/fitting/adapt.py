"""`predictor adapt`: makes a predictor of a new environment from predictors of others and a few subnets measured in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latlas.arrays import FloatArray
from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.files.records import parse_json
from latlas.latency.fitting.accuracy import COVERAGES, accuracy
from latlas.latency.fitting.choose import chosen
from latlas.latency.fitting.fit import CAMPAIGN_SHIFT
from latlas.latency.fitting.measurements import Measurement
from latlas.latency.machine.environment import Environment, differing_fields
from latlas.latency.measuring.profile import Setting
from latlas.latency.predictor.adapted import AdaptedPredictor, common_sources
from latlas.latency.predictor.folder import MANIFEST
from latlas.latency.predictor.predictor import MIN_SAMPLES as FROM_NOTHING
from latlas.latency.predictor.predictor import LatencyPredictor
from latlas.latency.predictor.predictor_file import PredictorSample, SavedPredictor, load_predictor
from latlas.latency.predictor.transfer import MIN_SAMPLES, expected_error
from latlas.spaces.space import Architecture, SearchSpace


def local_environment(setting: Setting) -> Environment:
    """The environment that this machine would measure in with this setting."""
    from latlas.latency.runtime.plugin import openvino_version
    from latlas.latency.runtime.reference import reference_of

    return setting.environment_of(openvino_version(), reference_of("network").id, None)


def require_local(environment: Environment, what: str) -> None:
    """Raises `EnvironmentMismatchError` if a predictor is of another machine; the message names each key field that differs.

    Threads, precision and batch are not compared: the user chooses them, they do not belong to a machine.
    """
    setting = Setting(
        precision=environment.precision,
        threads=environment.threads or 1,
        streams=environment.streams or 1,
        batch=environment.batch or 1,
    )
    differing = differing_fields(environment, local_environment(setting))
    if differing:
        listed = "; ".join(f"{name} is {one!r}, here {other!r}" for name, (one, other) in differing.items())
        raise EnvironmentMismatchError(
            f"cannot {what}: {listed}; adapt the predictor with a few subnets measured here (`latlas predictor adapt`), "
            "or make one with `latlas fit-predictor`"
        )


POOL = 300
"""How many subnets the expected error is averaged over."""
MORE = (1, 2, 4, 8, 16)
"""The expected error is stated for the samples times each of these."""


@dataclass(frozen=True, slots=True)
class Source:
    """A predictor to adapt, with the checksum of its file and the name that the user gave."""

    saved: SavedPredictor
    sha256: str
    name: str

    @classmethod
    def read(cls, folder: Path) -> Source:
        """The source in a predictor's folder; raises as `load_predictor` does."""
        saved = load_predictor(folder)
        record = parse_json((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
        return cls(saved, str(record["sha256"]), folder.name)

    def to_record(self) -> dict[str, Any]:
        """The record that an adapted predictor keeps of this source, and of the sources that this one was adapted from."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "environment": self.saved.environment.key(),
            "space": self.saved.space_text,
            "learnt_from": sum(sample.role != "test" for sample in self.saved.samples),
            "adapted_from": list(self.saved.adapted_from),
        }


def to_measure(sources: Sequence[Source], space: SearchSpace, count: int, test: int, seed: int) -> list[Architecture]:
    """The `count` subnets that tell most about the others, then `test` other subnets drawn at random."""
    if count < MIN_SAMPLES:
        raise UsageError(f"--subnets is {count}; adapting needs at least {MIN_SAMPLES}")
    cost_of, _ = common_sources([one.saved.predictor for one in sources], space.specs())
    others = space.sample(min(test, space.size), np.random.default_rng(seed + 1)) if test else []
    return [*chosen(space, count, seed, cost_of=cost_of, avoid=others), *others]


def require_adaptable(sources: Sequence[Source], environment: Environment | None = None) -> str:
    """The text of the sources' space; raises if they have several spaces, or if one is of this environment already."""
    spaces = sorted({one.saved.space_text for one in sources})
    if len(spaces) != 1:
        raise EnvironmentMismatchError(
            f"the predictors are of {len(spaces)} spaces, {', '.join(spaces)}; give those of one"
        )
    for one in sources:
        if environment is not None and not differing_fields(one.saved.environment, environment):
            raise UsageError(
                f"{one.name} is of this environment already; use it as it is, or `latlas fit-predictor` for a better one"
            )
    return spaces[0]


def adapt(
    sources: Sequence[Source],
    train: Sequence[Measurement],
    test: Sequence[Measurement],
    environment: Environment,
    space: SearchSpace,
    *,
    goal: float = 0.05,
    seed: int = 0,
) -> SavedPredictor:
    """The sources adapted to the environment of `train`, with figures that say how far to trust it.

    The samples are enough if the mean relative error is below `goal`.
    """
    require_adaptable(sources, environment)
    if not 0 < goal < 1:
        raise UsageError(f"goal is {goal}; it is a mean relative error between 0 and 1, as 0.05")
    predictors = [one.saved.predictor for one in sources]
    cost_of, said = common_sources(predictors, space.specs())
    graphs, latencies = [one.architecture.graph() for one in train], np.array([one.latency_ms for one in train])
    errors = [one.relative_sd for one in train]
    predictor = AdaptedPredictor(cost_of, CAMPAIGN_SHIFT, said).fit(graphs, latencies.tolist(), errors)
    left_out = np.maximum(predictor.model_.left_out_, latencies.min() / 10)
    alone = np.array([one.latency_ms(graphs) for one in predictors])
    scaled = _left_out_scaled(alone, latencies)
    figures: dict[str, Any] = {
        "train": len(train),
        "test": len(test),
        "sources": len(sources),
        "left_out_mape": predictor.cv_mape_,
        "scaled_mape": float(scaled.mean()),
        "source_mape": [float(np.mean(np.abs(row / latencies - 1))) for row in alone],
        "from_nothing_mape": _from_nothing(cost_of, graphs, latencies, errors),
        "scale": list(predictor.columns_.scale),
        "freedom": predictor.freedom_,
        "goal": goal,
    }
    figures |= _expectations(predictor, space, len(train), goal, seed)
    reasons = _too_few(figures, np.abs(left_out / latencies - 1) - scaled)
    figures |= {"enough": not reasons, "too_few_because": reasons}
    all_samples = [_predictor_sample(one, ms, "train") for one, ms in zip(train, left_out, strict=True)]
    if test:
        more, samples = _tested(predictor, test)
        figures |= more
        all_samples += samples
    chain = tuple(one.to_record() for one in sources)
    return SavedPredictor(predictor, environment, space.text, figures, tuple(all_samples), chain)


def _expectations(
    predictor: AdaptedPredictor, space: SearchSpace, count: int, goal: float, seed: int
) -> dict[str, Any]:
    """Figures over subnets of the space: margins, the expected mean error, also with more samples, and how many are needed."""
    pool = [one.graph() for one in space.sample(min(POOL, space.size), np.random.default_rng(seed + 2))]
    spreads = predictor.predict_spread(pool)[1]
    model, matrix = predictor.regression(pool)
    expected = expected_error(model, matrix, [count * times for times in MORE])
    # If the errors on left-out samples exceed what the model expects, they would do so on other subnets too.
    scatter = max(1.0, float(np.sqrt(np.mean(np.square(predictor.scores_)))))
    expected = {number: scatter * value for number, value in expected.items()}
    needed = next((number for number, value in expected.items() if value <= goal), None)
    return {
        "expected_mape": expected[count],
        "expected_mape_with": {str(number): value for number, value in expected.items()},
        "needs": needed,
        "margins": {f"{level:g}": float(np.median(predictor.margins(spreads, level))) for level in COVERAGES},
    }


def _too_few(figures: Mapping[str, Any], excess: FloatArray) -> list[str]:
    """Why the samples are too few; empty if they are not. `excess` is how much the left-out error of each sample exceeds the
    error of the sources when they are only scaled."""
    reasons = []
    if figures["expected_mape"] > figures["goal"]:
        more = f"about {figures['needs']} would do" if figures["needs"] else "many more would not do either"
        reasons.append(
            f"a mean error of {100 * figures['expected_mape']:.1f} % is to be expected, above {100 * figures['goal']:g} %; {more}"
        )
    if excess.mean() > excess.std(ddof=1) / math.sqrt(len(excess)):  # more than chance explains
        reasons.append(
            f"on samples left out it errs by {100 * figures['left_out_mape']:.1f} %, "
            f"the sources merely scaled by {100 * figures['scaled_mape']:.1f} %"
        )
    return reasons


def _left_out_scaled(said: FloatArray, latencies: FloatArray) -> FloatArray:
    """Relative error `(n,)` on each sample of the sources' mean, which is scaled by the median over the other samples."""
    errors = []
    for left in range(len(latencies)):
        others = np.arange(len(latencies)) != left
        scale = np.median(latencies[others] / said[:, others], axis=1)
        errors.append(abs(float(np.mean(said[:, left] * scale)) / latencies[left] - 1))
    return np.array(errors)


def _from_nothing(cost_of: Any, graphs: Sequence[Any], latencies: FloatArray, errors: Sequence[float]) -> float | None:
    """Mean relative error on left-out samples of a predictor without sources; None if the samples are too few for one."""
    if len(graphs) < FROM_NOTHING:
        return None
    return LatencyPredictor(cost_of).fit(graphs, latencies.tolist(), errors).cv_mape_


def _tested(predictor: AdaptedPredictor, test: Sequence[Measurement]) -> tuple[dict[str, Any], list[PredictorSample]]:
    measured = np.array([one.latency_ms for one in test])
    predicted, spreads = predictor.predict_spread([one.architecture.graph() for one in test])
    off = np.abs(measured / predicted - 1)
    coverages = {f"{level:g}": float(np.mean(off <= predictor.margins(spreads, level))) for level in COVERAGES}
    figures = {
        **accuracy(predicted, measured),
        "coverages": coverages,
        "coverage": coverages["0.95"],
        "confidence": 0.95,
    }
    return figures, [_predictor_sample(one, ms, "test") for one, ms in zip(test, predicted, strict=True)]


def _predictor_sample(one: Measurement, predicted_ms: float, role: str) -> PredictorSample:
    lower = one.latency_ms if one.lower_ms is None else one.lower_ms
    upper = one.latency_ms if one.upper_ms is None else one.upper_ms
    return PredictorSample(str(one.architecture), one.latency_ms, lower, upper, max(float(predicted_ms), 1e-9), role)
