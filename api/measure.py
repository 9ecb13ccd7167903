"""`measure` times networks end to end on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.api.keywords import with_fields
from latlas.api.setting import Measuring, OnNote, OnProgress, tell_nobody
from latlas.distribution import require_torch
from latlas.errors import LatlasError, UsageError
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.measuring.interval import Interval
    from latlas.latency.predictor.saved import SavedPredictor
    from latlas.spaces.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class MeasureOptions(Measuring):
    """The options of `measure`.

    Attributes:
        like: A predictor; latencies are stated in its milliseconds. Some of its subnets are measured too, and tell how much
            slower this session is than the one that it was learnt in.
        space: The space of architectures without a space in their text.
        on_note, on_progress: See `latlas.api.setting`.
    """

    like: SavedPredictor | None = None
    _: KW_ONLY
    shape: list[str] | None = option(
        None,
        "Input shape of a model file: 1,3,256,256 for its only input with open sizes, NAME=1,3,256,256 for the input NAME, "
        "FILE:NAME=... for this input of one file. A static input is reshaped only if it is named. May be repeated.",
        metavar="SHAPE",
    )
    values: list[str] | None = option(
        None,
        "Values of an input: NAME=0..99 (a range), NAME=1, NAME=ids.npy, or FILE:NAME=... Default: noise from 0 to 1; 0 or 1 "
        "for whole numbers. May be repeated.",
        metavar="VALUE",
    )
    reference_ms: float | None = option(
        None, "State milliseconds at this reference latency, an earlier session's.", metavar="MS"
    )
    space: SearchSpace | None = None
    on_note: OnNote | None = None
    on_progress: OnProgress | None = None


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """The measurement of one network.

    Attributes:
        target: The network as it was given.
        interval: Milliseconds: `latency_ms` with the bounds `lower_ms` and `upper_ms` of the 95 % interval. None if the network
            could not be built or timed; `record["reason"]` then says why.
        record: The record of `latlas measure --json`: status, ratio to the reference, passes, inputs, environment, warnings.
    """

    target: str
    interval: Interval | None
    record: dict[str, Any]


@with_fields(MeasureOptions)
def measure(targets: Sequence[Architecture | str | Path], options: MeasureOptions) -> list[MeasuredNetwork]:
    """The end-to-end latency of each network in milliseconds. They are measured in turn on this machine.

    Args:
        targets: Architectures, as objects or as texts; names of JSON files that hold one; model files (.xml, .onnx, .tflite, .pb,
            .pdmodel), and SavedModel folders.

    Raises:
        UsageError: A target or an option is wrong; this is raised before anything is converted or measured.
        FileFormatError: A file cannot be read.
        EnvironmentMismatchError: The predictor `like` is from another machine, precision or number of threads.

    Example:
        >>> import latlas
        >>> predictor = latlas.load_predictor("predictor")
        >>> [one] = latlas.measure([predictor.space.baseline("mobilenetv3_small")], threads=1)
        >>> one.interval.lower_ms < one.interval.latency_ms < one.interval.upper_ms
        True
    """
    from latlas.latency.runtime.asked import parse_asked

    asked = parse_asked(options.shape or [], options.values or [])
    parsed = [target_of(one, options.space, options.on_note) if isinstance(one, str | Path) else one for one in targets]
    if options.like is not None or not all(isinstance(one, Path) for one in parsed):
        require_torch("measure of architectures")
    setting = options.setting()

    from latlas.files.lock import waiting_at_most
    from latlas.latency.fitting import measure as measuring
    from latlas.latency.measuring.interval import Interval
    from latlas.supernet.operators.timed import timing_operator

    told = options.on_progress or tell_nobody
    with waiting_at_most(options.lock_timeout):
        records = measuring.measure_targets(
            parsed,
            setting,
            build_module=timing_operator,
            asked=asked,
            reference_ms=options.reference_ms,
            like=options.like,
            on_progress=lambda p: told(p.done, p.total, p.label, p.eta_seconds, ""),
        )
    return [
        MeasuredNetwork(
            record["target"],
            None
            if record["latency_ms"] is None
            else Interval(record["latency_ms"], record["lower_ms"], record["upper_ms"]),
            record,
        )
        for record in records
    ]


def target_of(
    target: str | Path, space: SearchSpace | None = None, on_note: OnNote | None = None
) -> Architecture | Path:
    """The architecture from a text or a JSON file, or the path of a model file.

    If a file of this name exists, it is taken as a file. Raises an error if it is no model, such as a folder or a web page.
    """
    from latlas.api.spaces import architecture
    from latlas.latency.runtime.model_path import folder_message, names_a_model, require_model

    text, path = str(target), Path(target)
    if text.lower().endswith(".json"):
        return architecture(text, space, on_note=on_note)
    if names_a_model(text):
        require_model(path)
        return path
    try:
        return architecture(text, space, on_note=on_note)
    except LatlasError:
        if path.is_dir():
            raise UsageError(folder_message(path)) from None
        raise
