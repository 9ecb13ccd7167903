"""`predict`: milliseconds with an interval, by any kind of predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.api.predictor import any_predictor
from latlas.commands import options, predictors
from latlas.commands.output import print_result
from latlas.commands.parsing.command_line import with_options
from latlas.errors import UsageError
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.predictor.predicts import Prediction
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.latency.samples.predictor import SavedSamplePredictor
    from latlas.spaces.space import Architecture, SearchSpace

REFUSE = "Refuse a predictor of something else"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """What `predict` is asked for beside the architectures that are named."""

    predictor: Path = option(Path("predictor"), "Folder of a predictor.", metavar="FOLDER")
    random: int = option(0, "Predict this many random architectures.", at_least=0)
    samples: Path | None = option(
        None, "CSV to predict the lines of, with a predictor made of --samples.", metavar="FILE"
    )
    confidence: float = option(0.95, "Share of measured latencies that the interval holds.", above=0, below=1)
    explain: bool = option(False, "Say how many milliseconds each layer has.")
    here: bool = option(False, "Refuse where the predictor is not of this machine.", group=REFUSE)
    threads: int | None = option(None, "Refuse where it is of other inference threads.", group=REFUSE, at_least=1)
    precision: str | None = option(None, "Refuse where it is of another precision.", group=REFUSE)
    seed: int = option(0, "Seed of everything that chance decides.", at_least=0, at_most=2**31 - 1)

    def __post_init__(self) -> None:
        check_options(self)


@with_options
def predict(
    asked: PredictOptions,
    architectures: Annotated[list[str] | None, typer.Argument(help="Architectures, as text or JSON files.")] = None,
    json: options.JsonOption = False,
) -> None:
    """Predict end-to-end latency with an interval, or say what it is made of."""
    from latlas.latency.predictor.saved import SavedPredictor

    saved = any_predictor(asked.predictor)
    if isinstance(saved, SavedPredictor):
        _predict_networks(saved, architectures or [], asked, json)
    else:
        _predict_by_samples(saved, architectures or [], asked, json)


def _predict_networks(saved: SavedPredictor, texts: Sequence[str], asked: PredictOptions, json: bool) -> None:
    if asked.samples is not None:
        raise UsageError(f"{asked.predictor} was not made of samples; give architectures, or --random N")
    predictors.require_asked(saved, asked.here, asked.threads, asked.precision)
    chosen = _architectures(texts, saved.space, asked)
    if not chosen:
        raise UsageError("nothing to predict; give architectures, or --random N")
    if asked.explain:
        predictors.explain_all(saved, chosen, asked.seed, json)
        return
    record = _records([{"architecture": str(one)} for one in chosen], saved.predict(chosen, asked.confidence))
    print_result(record, json, lambda: [_line(one, one["architecture"], ".3f") for one in record])


def _predict_by_samples(saved: SavedSamplePredictor, texts: Sequence[str], asked: PredictOptions, json: bool) -> None:
    predictors.refuse_for_samples(asked.explain, asked.here, asked.threads, asked.precision)
    networks, names = _of_space(saved, texts, asked) if saved.space is not None else _of_lines(saved, texts, asked)
    record = _records(names, saved.predict(networks, asked.confidence))
    print_result(
        record,
        json,
        lambda: [_line(one, str(one.get("architecture") or f"line {one['line']}"), ".4g") for one in record],
    )


def _of_space(
    saved: SavedSamplePredictor, texts: Sequence[str], asked: PredictOptions
) -> tuple[Sequence[Any], list[dict[str, Any]]]:
    from latlas.latency.samples.read import architectures_of, read_samples

    space = saved.space
    assert space is not None
    chosen = [options.architecture_of(text, space) for text in texts]
    chosen += architectures_of(read_samples(asked.samples), space) if asked.samples is not None else []
    chosen += _drawn(space, asked)
    if not chosen:
        raise UsageError("nothing to predict; give architectures, --samples FILE.csv, or --random N")
    return chosen, [{"architecture": str(one)} for one in chosen]


def _of_lines(
    saved: SavedSamplePredictor, texts: Sequence[str], asked: PredictOptions
) -> tuple[Sequence[Any], list[dict[str, Any]]]:
    from latlas.latency.samples.columns import TabularFeatures
    from latlas.latency.samples.read import matrix_of, read_samples

    features = saved.predictor.features
    assert isinstance(features, TabularFeatures)
    columns = features.columns
    if asked.samples is None or texts or asked.random:
        listed = ", ".join(column.name for column in columns)
        raise UsageError(f"this predictor is of columns {listed}; give it a file of them with --samples FILE.csv")
    file = read_samples(asked.samples)
    matrix_of(file, columns)  # a cell that cannot be read is named with its line
    return [cells for _, cells in file.lines], [{"line": int(line.rpartition(" ")[2])} for line, _ in file.lines]


def _architectures(texts: Sequence[str], space: SearchSpace, asked: PredictOptions) -> list[Architecture]:
    return [options.architecture_of(text, space) for text in texts] + _drawn(space, asked)


def _drawn(space: SearchSpace, asked: PredictOptions) -> list[Architecture]:
    import numpy as np

    return space.sample(asked.random, np.random.default_rng(asked.seed)) if asked.random else []


def _records(names: Sequence[dict[str, Any]], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    return [
        name | {"latency_ms": one.latency_ms, "lower_ms": one.lower_ms, "upper_ms": one.upper_ms}
        for name, one in zip(names, predictions, strict=True)
    ]


def _line(record: dict[str, Any], name: str, digits: str) -> str:
    milliseconds = [format(record[which], digits) for which in ("latency_ms", "lower_ms", "upper_ms")]
    return f"{milliseconds[0]} ms [{milliseconds[1]}, {milliseconds[2]}]  {name}"
