"""`predictor show | adapt`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.api.adapt import AdaptOptions, adapt_predictor
from latlas.api.keywords import keywords
from latlas.api.predictor import ShowOptions, describe_predictor
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, repeats_text, shown, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.latency.predictor.folder import require_predictor


@with_options
def predictor_show(
    asked: ShowOptions,
    predictor: Annotated[Path, typer.Argument(help="Folder of a predictor.")],
    json: options.JsonOption = False,
) -> None:
    """Show a predictor: its origin, its errors, how often its intervals hold, and which operators cost most."""
    from latlas.latency.fitting.describe import described_lines, described_samples_lines

    record = describe_predictor(predictor, asked)
    lines_of = described_samples_lines if record["kind"] == "samples" else described_lines
    print_result(record, json, lambda: lines_of(record))


@with_options
def predictor_adapt(
    asked: AdaptOptions,
    predictor: Annotated[list[Path], typer.Option(help="Folder of a predictor to adapt. May be repeated.")],
    json: options.JsonOption = False,
) -> None:
    """Adapt predictors to another environment with a few subnets measured there; exit code 1 if they were too few."""
    for folder in predictor:
        require_predictor(folder)
    from latlas.latency.machine.trouble import listening

    with listening() as troubles, bar_of("measuring subnets") as bar:
        saved = adapt_predictor(predictor, **keywords(replace(asked, on_note=note, on_progress=bar)))
    record = {"predictor": str(asked.out), **saved.figures, "warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), *adapted_lines(record)])
    if not record["enough"]:
        note(f"too few subnets: {'; '.join(record['too_few_because'])}")
        raise typer.Exit(1)


def adapted_lines(record: dict[str, Any]) -> list[str]:
    """The lines about an adapted predictor."""
    lines = [
        f"{record['predictor']}: adapted with {record['train']} subnets; left out in turn they are missed by "
        f"{100 * record['left_out_mape']:.2f} % (sources merely scaled: {100 * record['scaled_mape']:.2f} %, "
        f"from these subnets alone: {shown(record['from_nothing_mape'], 100, 2)} %){repeats_text(record)}",
        f"others of the space by {100 * record['expected_mape']:.1f} % as is to be expected, "
        f"95 % interval +-{100 * record['margins']['0.95']:.1f} %",
    ]
    if record["test"]:
        lines.append(
            f"on {record['test']} others MAPE {100 * record['mape']:.2f} %, within 5 %: {100 * record['within_5']:.0f} %, "
            f"Spearman {shown(record['spearman'], 1, 3)}, 95 % interval holds {100 * record['coverage']:.0f} %"
        )
    return lines
