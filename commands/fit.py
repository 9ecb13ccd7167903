"""`fit-predictor` learns from subnets that it measures here, or from samples that somebody else measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from latlas.api.fit import FitOptions, fit_predictor, require_predictors_place
from latlas.api.fit_samples import SAMPLES, SampleOptions, fit_sample_predictor
from latlas.api.keywords import keywords
from latlas.commands import options
from latlas.commands.output import bar_of, note, print_result, repeats_text, shown, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.errors import UsageError
from latlas.files.places import require_file
from latlas.latency.table.place import require_table
from latlas.option import check_options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class FitFiles:
    """Options: the sources of `fit-predictor`."""

    table: Path | None = option(
        None, "Operator table. Without it, it learns from the graphs alone.", metavar="FILE", before=require_table
    )
    space: str = option("", "Search space. Default: the table's.", offered=options.spaces)
    resolution: str = option("", "Input size N or HxW. It sets the space's height and width.")
    samples: Path | None = option(
        None,
        "CSV of latencies somebody measured. It learns from them, and measures nothing.",
        group=SAMPLES,
        metavar="FILE",
        before=require_file,
    )

    def __post_init__(self) -> None:
        check_options(self)


@with_options
def fit_predictor_command(
    files: FitFiles, learning: FitOptions, given: SampleOptions, json: options.JsonOption = False
) -> None:
    """Measure subnets and learn their latency; the figures come from further subnets."""
    if files.samples is not None:
        _fit_samples(files.samples, files, learning, given, json)
        return
    if given.target or given.features or given.in_order or given.train is not None or given.unit or given.skip_bad:
        raise UsageError(
            "--target, --unit, --features, --train and --skip-bad are of --samples FILE.csv; give that too"
        )
    out = Path(learning.out or "predictor")
    require_predictors_place(out, learning.force)
    table, text = None, files.space or "portrait"
    if files.table is not None:
        from latlas.latency.table.table import Table

        table = Table.read(files.table)
        text = files.space or table.manifest.only_space(f"table {files.table}")
    from latlas.latency.machine.trouble import listening

    with listening() as troubles, bar_of("measuring subnets") as bar:
        asked = replace(learning, table=table, on_note=note, on_progress=bar)
        saved = fit_predictor(options.space_of(text, files.resolution), **keywords(asked))
    record = {"predictor": str(out), **saved.figures, "warnings": troubles}
    print_result(record, json, lambda: [*trouble_lines(troubles), _line(record)])


def _fit_samples(path: Path, files: FitFiles, learning: FitOptions, given: SampleOptions, json: bool) -> None:
    if files.table is not None:
        raise UsageError("--samples and --table together; samples are learnt from without a table")
    asked = replace(
        given,
        space=options.space_of(files.space, files.resolution) if files.space else None,
        test=learning.test,
        out=learning.out,
        force=learning.force,
        seed=learning.seed,
        on_note=note,
    )
    saved = fit_sample_predictor(path, **keywords(asked))
    record = {"predictor": str(learning.out), **saved.figures}
    print_result(record, json, lambda: [_samples_line(record)])


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['predictor']}: learnt from {record['train']} subnets; on {record['test']} others MAPE "
        f"{100 * record['mape']:.2f} % (noise floor {shown(record['noise_floor'], 100, 2)} %), within 5 %: "
        f"{100 * record['within_5']:.0f} %, Spearman {shown(record['spearman'], 1, 3)}, 95 % interval "
        f"+-{100 * record['margin']:.1f} % holds {100 * record['coverage']:.0f} %"
    )


def _samples_line(record: dict[str, Any]) -> str:
    branches = f", dead branches {record['dead_branches']}" if "dead_branches" in record else ""
    if "without_order" in record:
        branches = (
            f", at the speed of the lines around; as they stand MAPE {100 * record['without_order']['mape']:.2f} %"
        )
    left_out = f"; {record['left_out']} lines left out" if record["left_out"] else ""
    return (
        f"{record['predictor']}: learnt {record['target']} from {record['train']} samples ({record['regressor']}{branches}); on "
        f"{record['test']} others MAPE {100 * record['mape']:.2f} %, within 5 %: {100 * record['within_5']:.1f} %, within "
        f"10 %: {100 * record['within_10']:.1f} %, Spearman {shown(record['spearman'], 1, 4)}, 95 % interval "
        f"+-{100 * record['margin']:.1f} % holds {100 * record['coverage']:.1f} %{repeats_text(record)}{left_out}"
    )
