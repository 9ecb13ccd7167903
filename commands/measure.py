"""`measure` times networks end to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.api.keywords import keywords
from latlas.api.measure import MeasureOptions, measure
from latlas.api.predictor import load_predictor
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.errors import LatlasError
from latlas.latency.predictor.folder import require_predictor
from latlas.option import option


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureFiles:
    """Options of `measure` that are given by name."""

    space: str = option("", "Space of architectures without one in their text.", offered=options.spaces)
    predictor: Path | None = option(
        None,
        "State milliseconds at this predictor's speed; some of its subnets are measured too.",
        metavar="FOLDER",
        before=require_predictor,
    )


@with_options
def measure_command(
    files: MeasureFiles,
    measuring: MeasureOptions,
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Architectures (text or .json), model files (.xml, .onnx, .tflite, .pb, .pdmodel), SavedModel folders."
        ),
    ],
    json: options.JsonOption = False,
) -> None:
    """Measure networks end to end, in turn, and say exactly what was measured; JSON: an object, or a list for several."""
    from latlas.latency.machine.trouble import listening

    asked = replace(
        measuring,
        space=options.space_of(files.space, "") if files.space else None,
        like=load_predictor(files.predictor) if files.predictor is not None else None,
        on_note=note,
    )
    with listening() as troubles, bar_of("measuring") as bar:
        records = [one.record for one in measure(targets, **keywords(replace(asked, on_progress=bar)))]
    print_result(
        records[0] if len(records) == 1 else records,
        json,
        lambda: [*trouble_lines(troubles), *(line for r in records for line in lines_of(r))],
    )
    for line in (one for one in records[0]["warnings"] if one not in troubles):
        note(f"warning: {line}")
    from latlas.latency.fitting.measure import FAILED  # the targets have been looked at without it

    failed = [record for record in records if record["status"] == FAILED]
    if failed:
        raise LatlasError(f"{len(failed)} of {len(records)} could not be measured")


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """The two lines of a result: the latency, or why there is none; and what was measured."""
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
