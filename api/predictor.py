"""Loads predictors, and predicts with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.errors import UsageError
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.predictor.predictor_file import SavedPredictor
    from latlas.latency.predictor.predicts import Prediction, PredictsNetworks
    from latlas.latency.samples.predictor import SavedSamplePredictor


def load_predictor(folder: str | Path) -> SavedPredictor:
    """The predictor in a folder that `latlas fit-predictor` or `latlas predictor adapt` wrote.

    `predictor.space` is its `SearchSpace`, `predictor.environment` its machine and setting, and `predictor.figures` are its
    errors on subnets that it did not learn from.

    Raises:
        UsageError: There is no predictor in the folder.
        FileFormatError: The predictor is broken, or of a schema that this Latlas does not read.
        EnvironmentMismatchError: It was learnt from somebody's samples; use `load_sample_predictor`.

    Example:
        >>> import latlas
        >>> predictor = latlas.load_predictor("predictor")
        >>> predictor.space.name
        'portrait'
    """
    import latlas.latency.predictor.predictor_file as files

    return files.load_predictor(Path(folder))


def load_sample_predictor(folder: str | Path) -> SavedSamplePredictor:
    """The predictor in a folder that `latlas fit-predictor --samples` wrote, learnt from somebody else's latencies.

    Raises:
        UsageError: There is no predictor of samples in the folder.
        FileFormatError: The predictor is broken, or of a schema that this Latlas does not read.

    Example:
        >>> import latlas
        >>> predictor = latlas.load_sample_predictor("of-samples")
        >>> [one] = predictor.predict([{"depth": 12}])
        >>> one.lower_ms < one.latency_ms < one.upper_ms
        True
    """
    import latlas.latency.samples.predictor as samples

    found = samples.load_sample_predictor(Path(folder))
    if found is None:
        raise UsageError(
            f"{folder} has no predictor of samples; `load_predictor` reads one that was measured on a machine"
        )
    return found


def any_predictor(folder: str | Path) -> SavedPredictor | SavedSamplePredictor:
    """The predictor of a folder, of any kind; raises as `load_predictor`, but also reads a predictor of samples."""
    import latlas.latency.samples.predictor as samples

    return samples.load_sample_predictor(Path(folder)) or load_predictor(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOptions:
    """Where `describe_predictor` plots, and whether a file that is there is replaced."""

    plot: Path | None = option(None, "Plot predicted against measured latencies into a .png, .svg or .html file.")
    force: bool = option(False, "Replace what is there.")


def describe_predictor(folder: Path, options: ShowOptions) -> dict[str, Any]:
    """A record of a predictor: its origin, its errors, how often its intervals hold, and which operators cost most.

    The `kind` of a predictor of samples is `samples`; its record is shorter. With `plot` the plot is written too.

    Raises:
        UsageError: There is no predictor in the folder, the plot cannot be of this kind or is there already, or the predictor
            has no samples to plot.
        FileFormatError: The predictor is broken, or a sample is not of its space.
    """
    from latlas.latency.fitting.describe import described, described_samples
    from latlas.latency.predictor.saved import SavedPredictor

    if options.plot is not None:
        from latlas.latency.fitting.plot import check_plot

        check_plot(options.plot, options.force)
    saved = any_predictor(folder)
    if not isinstance(saved, SavedPredictor):
        if options.plot is not None:
            raise UsageError("a predictor of somebody's samples does not keep them; there is nothing to plot")
        return {"predictor": str(folder), **described_samples(saved)}
    space = saved.space
    record = {"predictor": str(folder), **described(saved, space)}
    if options.plot is not None:
        from latlas.latency.fitting.plot import write_plot

        write_plot(options.plot, saved, space, record)
        record["plot"] = str(options.plot)
    return record


def predict(
    predictor: PredictsNetworks | str | Path, networks: Sequence[Any], confidence: float = 0.95
) -> list[Prediction]:
    """Milliseconds of each network, with the bounds of an interval: `latency_ms`, `lower_ms`, `upper_ms`.

    This calls `predictor.predict(networks, confidence)`, which every kind of predictor has.

    Args:
        predictor: A predictor of any kind, or the folder of one.
        networks: Architectures of the predictor's space, as objects or as texts such as `portrait/mobilenetv3_large`. Saved
            and fitted predictors take anything with a `graph()`. Compiled predictors take codes `(n, columns)`. Predictors of
            named columns take a mapping from column to value for each network.
        confidence: The share of networks, between 0 and 1, whose measured latency lies in the interval, at least.

    Raises:
        EnvironmentMismatchError: An architecture is of another space than the predictor; the message names both.
        UsageError: A network cannot be read, or this predictor does not take its kind.

    Example:
        >>> import latlas
        >>> [one] = latlas.predict("predictor", ["portrait/mobilenetv3_large"])
        >>> one.lower_ms < one.latency_ms < one.upper_ms
        True
    """
    known = any_predictor(predictor) if isinstance(predictor, str | Path) else predictor
    return known.predict(networks, confidence)
