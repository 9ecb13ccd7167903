"""`predict` gives milliseconds with an interval, from any kind of predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.api.predictor import any_predictor
from latlas.commands import options
from latlas.commands.output import aligned, print_result
from latlas.commands.parsing.command_line import with_options
from latlas.errors import EnvironmentMismatchError, UsageError
from latlas.files.places import require_file
from latlas.latency.predictor.folder import require_predictor
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.fitting.explain import Explanation
    from latlas.latency.predictor.predicts import Prediction
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.latency.samples.predictor import SavedSamplePredictor
    from latlas.spaces.space import Architecture, SearchSpace

REFUSE = "Refuse a predictor that does not fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Options of `predict`."""

    predictor: Path = option(Path("predictor"), "Folder of a predictor.", metavar="FOLDER", before=require_predictor)
    random: int = option(0, "Predict this many random architectures.", at_least=0)
    samples: Path | None = option(
        None,
        "CSV whose lines are predicted, with a predictor made from --samples.",
        metavar="FILE",
        before=require_file,
    )
    column: str = option("architecture", "With --samples: the column of architectures.", metavar="COLUMN")
    confidence: float = option(0.95, "Share of measured latencies that the interval holds.", above=0, below=1)
    explain: bool = option(False, "Say how many milliseconds each layer takes.")
    here: bool = option(False, "Refuse a predictor of another machine.", group=REFUSE)
    threads: int | None = option(
        None, "Refuse a predictor of another number of inference threads.", group=REFUSE, at_least=1
    )
    precision: str | None = option(None, "Refuse a predictor of another precision.", group=REFUSE)
    seed: int = option(0, "Seed of everything that chance decides.", at_least=0, at_most=2**31 - 1)

    def __post_init__(self) -> None:
        check_options(self)


@with_options
def predict(
    asked: PredictOptions,
    architectures: Annotated[list[str] | None, typer.Argument(help="Architectures, as text or JSON files.")] = None,
    json: options.JsonOption = False,
) -> None:
    """Predict end-to-end latency with an interval, or explain it layer by layer."""
    from latlas.latency.predictor.saved import SavedPredictor

    saved = any_predictor(asked.predictor)
    if isinstance(saved, SavedPredictor):
        _predict_networks(saved, architectures or [], asked, json)
    else:
        _predict_by_samples(saved, architectures or [], asked, json)


def _predict_networks(saved: SavedPredictor, texts: Sequence[str], asked: PredictOptions, json: bool) -> None:
    if asked.samples is not None:
        raise UsageError(f"{asked.predictor} was not made of samples; give architectures, or --random N")
    require_asked(saved, asked.here, asked.threads, asked.precision)
    chosen = _architectures(texts, saved.space, asked)
    if not chosen:
        raise UsageError("nothing to predict; give architectures, or --random N")
    if asked.explain:
        explain_all(saved, chosen, asked.seed, json)
        return
    record = _records([{"architecture": str(one)} for one in chosen], saved.predict(chosen, asked.confidence))
    print_result(record, json, lambda: [_line(one, one["architecture"], ".3f") for one in record])


def _predict_by_samples(saved: SavedSamplePredictor, texts: Sequence[str], asked: PredictOptions, json: bool) -> None:
    refuse_for_samples(asked.explain, asked.here, asked.threads, asked.precision)
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
    chosen += architectures_of(read_samples(asked.samples), space, asked.column) if asked.samples is not None else []
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
    matrix_of(file, columns)  # an error names the cell that cannot be read, and its line
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


def require_asked(saved: SavedPredictor, here: bool, threads: int | None, precision: str | None) -> None:
    """Raises `EnvironmentMismatchError` if the options ask for another environment than the predictor's."""
    asked: dict[str, str | int] = {}
    if threads is not None:
        asked["threads"] = threads
    if precision is not None:
        asked["precision"] = precision
    saved.require(saved.space_text, **asked)
    if here:
        from latlas.latency.fitting.adapt import require_local

        require_local(saved.environment, "predict for this machine with this predictor")


def refuse_for_samples(explain: bool, here: bool, threads: int | None, precision: str | None) -> None:
    """Raises if the options ask a predictor of somebody's samples for something that only measured predictors know."""
    if explain:
        raise UsageError("--explain is of predictors of operators; this one was learnt from somebody's samples")
    if here or threads is not None or precision is not None:
        raise EnvironmentMismatchError(
            "the predictor was learnt from somebody's samples: nothing is known of threads, precision or machine; "
            "make one with `latlas fit-predictor` without --samples"
        )


def explain_all(saved: SavedPredictor, chosen: Sequence[Architecture], seed: int, json: bool) -> None:
    """Print the milliseconds of each architecture's parts; as JSON one object for one architecture, a list for several."""
    from latlas.latency.fitting.explain import explain

    found = [explain(saved.predictor, architecture, seed) for architecture in chosen]
    record = [one.to_record() for one in found]
    print_result(
        record[0] if len(record) == 1 else record,
        json,
        lambda: [line for one in found for line in explained_lines(one)],
    )


def explained_lines(found: Explanation) -> list[str]:
    """A table of the parts: name, place, operator, milliseconds with standard error, share, the fastest operator there."""
    rows = [("part", "", "operator", "ms", "+-", "share", "fastest there", "saves ms")]
    for part in found.parts:
        swap = part.fastest if part.fastest != part.operator else "is the fastest"
        rows.append(
            (
                part.part,
                part.stage,
                part.operator,
                f"{part.latency_ms:.3f}",
                "" if part.se_ms is None else f"{part.se_ms:.3f}",
                f"{100 * part.share:.1f} %",
                swap or "",
                "" if not part.saves_ms else f"{part.saves_ms:.3f}",
            )
        )
    rows.append(("sum", "", "", f"{found.latency_ms:.3f}", "", "100.0 %", "", ""))
    lines = [found.architecture, *aligned(rows, left=(0, 1, 2, 6))]
    # A baseline has no layers to choose.
    chosen = any(part.fastest for part in found.parts)
    if chosen and len(found.parts) > 1 and found.fixed_se_ms is not None:
        lines.append(
            f"all that is no layer, together: {found.fixed_ms:.3f} +-{found.fixed_se_ms:.3f} ms (one standard error)"
        )
    return lines
