"""`measure`: networks timed end to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result
from latlas.errors import LatlasError, UsageError

if TYPE_CHECKING:
    from latlas.spaces.space import Architecture, SearchSpace


def measure(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Architectures (text or .json), model files (.xml, .onnx, .tflite, .pb, .pdmodel), SavedModel folders."
        ),
    ],
    space: Annotated[str, typer.Option("--space", help="Space of architectures that name none.")] = "",
    precision: options.PrecisionOption = "f32",
    threads: options.ThreadsOption = 1,
    batch: options.BatchOption = 1,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Input shape of a model file: 1,3,256,256 for its only input with open sizes, NAME=1,3,256,256 for the input "
            "of that name, FILE:NAME=... for that of one file. A static input is reshaped only if it is named. May be repeated."
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="What fills an input: NAME=0..99 (a range), NAME=1, NAME=ids.npy, or FILE:NAME=...; default noise from 0 to "
            "1, for whole numbers 0 or 1. May be repeated."
        ),
    ] = None,
    reference_ms: Annotated[
        float | None, typer.Option(help="State milliseconds at this reference latency, an earlier session's.")
    ] = None,
    predictor: Annotated[
        Path | None,
        typer.Option(help="State milliseconds like this predictor's: some of its subnets are measured along."),
    ] = None,
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Measure networks end to end, in turn, and say what exactly was measured; JSON: an object, or a list for several."""
    from latlas.latency.runtime.asked import parse_asked

    asked = parse_asked(shape or [], values or [])
    chosen = options.space_of(space, "") if space else None
    parsed = [target_of(text, chosen) for text in targets]
    setting = options.setting_of(precision, threads, relative_error, seed, batch)

    from latlas.latency.fitting.measure import FAILED, measure_targets
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.supernet.operators.timed import timing_operator

    like = load_predictor(predictor) if predictor is not None else None
    with bar_of("measuring") as bar:
        records = measure_targets(
            parsed,
            setting,
            build_module=timing_operator,
            asked=asked,
            reference_ms=reference_ms,
            like=like,
            on_progress=lambda p: bar(p.done, p.total, p.label, p.eta_seconds),
        )
    print_result(
        records[0] if len(records) == 1 else records, json, lambda: [line for r in records for line in lines_of(r)]
    )
    for line in records[0]["warnings"] if records else ():
        note(f"warning: {line}")
    failed = [record for record in records if record["status"] == FAILED]
    if failed:
        raise LatlasError(f"{len(failed)} of {len(records)} could not be measured: {failed[0]['reason']}")


def target_of(text: str, space: SearchSpace | None) -> Architecture | Path:
    """The architecture of a text or JSON file, or the path of a model file.

    What exists on the disk is looked at first. Raises what is wrong with it, such as a folder or a web page.
    """
    from latlas.latency.runtime.model_path import folder_message, names_a_model, require_model

    path = Path(text)
    if text.lower().endswith(".json"):
        return options.architecture_of(text, space)
    if names_a_model(text):
        require_model(path)
        return path
    try:
        return options.architecture_of(text, space)
    except LatlasError:
        if path.is_dir():
            raise UsageError(folder_message(path)) from None
        raise


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """Two lines of a result: the latency, or why there is none, and what was measured."""
    from latlas.latency.runtime.inputs import Input

    if record["latency_ms"] is None:
        first = f"failed: {record['target']}: {record['reason']}"
    else:
        first = (
            f"{record['latency_ms']:.3f} ms [{record['lower_ms']:.3f}, {record['upper_ms']:.3f}] {record['status']}, "
            f"{record['ratio']:.3f} x reference ({record['reference_ms']:.3f} ms), {record['rounds']} rounds  "
            f"{record['target']}"
        )
    inputs = "; ".join(str(Input(**{**one, "shape": tuple(one["shape"])})) for one in record["inputs"])
    said = [f"batch {record['batch']}" if record["batch"] else "batch not said by the file"]
    said += [f"precision {record['precision']}"] if record["precision"] else []
    said += [f"{100 * record['int8_share']:.0f} % of its layers in int8"] if record["int8_share"] else []
    said += [f"the timing process crashed {record['crashes']} time(s)"] if record["crashes"] else []
    return [first, f"    measured with {inputs or 'no input'}; {', '.join(said)}"]
