"""`fit_sample_predictor` learns a predictor from latencies that somebody else measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.api.fit import require_predictors_place
from latlas.api.keywords import with_fields
from latlas.api.setting import OnNote
from latlas.errors import UsageError
from latlas.option import check_options, option

if TYPE_CHECKING:
    from latlas.latency.fitting.fit_samples import Fitted
    from latlas.latency.samples.predictor import SavedSamplePredictor
    from latlas.spaces.space import SearchSpace

SAMPLES = "Learning from --samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleOptions:
    """The options of `fit_sample_predictor`: either a `space` of architectures, or `features`, the names of columns.

    Attributes:
        space: The space of the file's architectures; None for a file of named columns.
        test: The number of other lines to test on; None for all.
        out: Folder of the predictor; None writes none.
        seed: Seed of the choice of lines to learn from and to test on.
        on_note: See `latlas.api.setting`.
    """

    target: str = option("", "Its column of latencies. a+b sums two.", group=SAMPLES, metavar="COLUMN")
    unit: str | None = option(
        None, "s, ms, us or ns, if the target's name or cells do not say it.", group=SAMPLES, metavar="UNIT"
    )
    column: str = option("architecture", "With --space: the column of architectures.", group=SAMPLES, metavar="COLUMN")
    skip_bad: bool = option(False, "Leave out failed, empty and broken lines, and say which.", group=SAMPLES)
    features: str = option(
        "", "Columns to learn from, by commas, instead of --space.", group=SAMPLES, metavar="COLUMNS"
    )
    train: int | None = option(None, "How many to learn from. The others test.", group=SAMPLES)
    dead_branches: str = option(
        "auto",
        "What the runtime did with dead branches: dropped, unread_dropped (what is computed from zeros was run), executed, or "
        "auto.",
        group=SAMPLES,
    )
    in_order: bool = option(
        False,
        "With --features: the lines are in the order of measuring. The drift of the machine's speed is taken out.",
        group=SAMPLES,
    )
    space: SearchSpace | None = None
    test: int | None = None
    out: str | Path | None = None
    force: bool = False
    seed: int = 0
    on_note: OnNote | None = None

    def __post_init__(self) -> None:
        check_options(self)


@with_fields(SampleOptions)
def fit_sample_predictor(path: str | Path, options: SampleOptions) -> SavedSamplePredictor:
    """A predictor that is learnt from a CSV file of somebody's latencies; nothing is measured here.

    Its figures come from lines that it did not learn from.

    Args:
        path: A CSV file with a line of column names. With `space` its column `column` holds architectures of the space; without,
            `features` names the columns that say what a network is.

    Raises:
        UsageError: Options are missing or do not go together, or the file cannot be read.
        FileFormatError: A line is not valid; the message names it.

    Example:
        >>> import latlas
        >>> predictor = latlas.fit_sample_predictor("of-samples.csv", features="depth", target="ms", train=20)
        >>> predictor.figures["test"]
        10
        >>> [one] = predictor.predict([{"depth": 12}])
        >>> one.lower_ms < one.latency_ms < one.upper_ms
        True
    """
    from latlas.latency.samples.predictor import SavedSamplePredictor, save_sample_predictor

    started = time.monotonic()
    train = _required(options)
    if options.out is not None:
        require_predictors_place(Path(options.out), options.force)
    fitted = _fitted(Path(path), options, train)
    fitted.figures["seconds"] = time.monotonic() - started
    saved = SavedSamplePredictor(fitted.predictor, fitted.figures)
    if options.out is not None:
        save_sample_predictor(Path(options.out), saved, overwrite=options.force)
    return saved


def _required(options: SampleOptions) -> int:
    """The number of samples to learn from; raises `UsageError` if options are missing or do not go together."""
    if not options.target:
        raise UsageError("--samples needs --target, the column of latencies, or several as a+b")
    if (options.space is None) == (not options.features):
        raise UsageError(
            "--samples needs --space, for a file of architectures, or --features, for one of named columns"
        )
    if options.in_order and options.space is not None:
        raise UsageError("--in-order is of --features; give it without --space")
    if options.train is None:
        raise UsageError("--samples needs --train, how many samples to learn from; the others are tested on")
    return options.train


def _fitted(path: Path, options: SampleOptions, train: int) -> Fitted:
    from latlas.latency.fitting.fit_samples import fit_graphs, fit_tabular
    from latlas.latency.samples.read import read_samples, usable

    target, unit, space = options.target, options.unit, options.space
    features = list(dict.fromkeys(name.strip() for name in options.features.split(","))) if options.features else []
    samples = read_samples(path, skip_bad=options.skip_bad)
    left_out: list[str] = []
    if options.skip_bad:
        samples, left_out = usable(samples, target, unit, features=features, space=space, column=options.column)
        if options.on_note is not None:
            for line in left_out:
                options.on_note(f"left out: {line}")
    if space is None:
        fitted = fit_tabular(samples, features, target, train, options.test, options.seed, options.in_order, unit)
    else:
        fitted = fit_graphs(
            samples,
            space,
            target,
            train,
            options.test,
            options.seed,
            options.dead_branches,
            on_note=options.on_note,
            unit=unit,
            column=options.column,
        )
    fitted.figures["left_out"] = len(left_out)
    return fitted
