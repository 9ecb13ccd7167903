"""`predictor show | adapt`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.api.adapt import AdaptOptions, adapt_predictor
from latlas.api.keywords import keywords
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, repeats_text, shown, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.errors import UsageError
from latlas.latency.predictor.folder import require_predictor


def predictor_show(
    predictor: Annotated[Path, typer.Argument(help="Folder of a predictor.")],
    plot: Annotated[
        Path | None, typer.Option(help="Plot predicted against measured latencies into a .png, .svg or .html file.")
    ] = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Show a predictor: its origin, its errors, how often its intervals hold, and which operators cost most."""
    from latlas.latency.fitting.describe import described, described_lines, described_samples, described_samples_lines
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.latency.samples.predictor import load_sample_predictor

    if plot is not None:
        from latlas.latency.fitting.plot import check_plot, write_plot

        check_plot(plot, force)
    from_samples = load_sample_predictor(predictor)
    if from_samples is not None:
        if plot is not None:
            raise UsageError("a predictor of somebody's samples does not keep them; there is nothing to plot")
        told = {"predictor": str(predictor), **described_samples(from_samples)}
        print_result(told, json, lambda: described_samples_lines(told))
        return
    saved = load_predictor(predictor)
    space = saved.space
    record = {"predictor": str(predictor), **described(saved, space)}
    if plot is not None:
        write_plot(plot, saved, space, record)
        record["plot"] = str(plot)
    print_result(record, json, lambda: described_lines(record))


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
