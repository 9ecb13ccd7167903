"""`predictor show | adapt`, and what `predict` says of a predictor besides milliseconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.commands import options
from latlas.commands.output import aligned, bar_of, note, print_result, shown
from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latlas.latency.fitting.adapt import Measurement, Source
    from latlas.latency.fitting.explain import Explanation
    from latlas.latency.machine.environment import Environment
    from latlas.latency.measuring.profile import Setting
    from latlas.latency.predictor.predictor_file import SavedPredictor
    from latlas.spaces.space import Architecture, SearchSpace

MAX_ENVIRONMENT_BYTES = 1_000_000


def predictor_show(
    predictor: Annotated[Path, typer.Argument(help="Folder of a predictor.")],
    plot: Annotated[
        Path | None, typer.Option(help="Plot predicted against measured, into a .png, .svg or .html file.")
    ] = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Where a predictor comes from, how good it is, how often its intervals hold, and which operators cost most."""
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


def predictor_adapt(
    predictor: Annotated[list[Path], typer.Option(help="Folder of a predictor to adapt; may be given several times.")],
    subnets: Annotated[
        int | None,
        typer.Option(
            help="Subnets to measure here and to learn from, 5 or more, default 20; with --samples, how many of its lines, "
            "the others being tested on (default all)."
        ),
    ] = None,
    test: Annotated[int, typer.Option(help="Further subnets to measure, for the figures alone.", min=0)] = 0,
    samples: Annotated[
        Path | None, typer.Option(help="CSV of measured networks; then nothing is measured here.")
    ] = None,
    target: Annotated[str, typer.Option(help="Its column of milliseconds.")] = "latency_ms",
    column: Annotated[str, typer.Option(help="Its column of architectures.")] = "architecture",
    environment: Annotated[
        Path | None, typer.Option(help="Its environment, as JSON of `latlas measure --json`; else what is told here.")
    ] = None,
    cpu_model: Annotated[str, typer.Option(help="Its CPU's name, where no --environment is given.")] = "",
    goal: Annotated[float, typer.Option(help="Mean relative error below which the subnets are called enough.")] = 0.05,
    precision: options.PrecisionOption = "f32",
    threads: options.ThreadsOption = 1,
    batch: options.BatchOption = 1,
    out: Annotated[Path, typer.Option(help="Folder of the adapted predictor.")] = Path("adapted"),
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    force: options.ForceOption = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Adapt predictors to another environment with a few subnets measured there; exit code 1 says they were too few."""
    from latlas.latency.fitting.adapt import Source, adapt, require_adaptable
    from latlas.latency.predictor.predictor_file import check_replaceable, save_predictor

    started = time.monotonic()
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    check_replaceable(out)
    sources = [Source.read(path) for path in predictor]
    space = options.space_of(require_adaptable(sources), "")
    journal: Path | None = None
    if samples is None:
        if environment is not None or cpu_model:
            raise UsageError("--environment and --cpu-model are of --samples; what is measured here is of this machine")
        setting = options.setting_of(precision, threads, relative_error, seed, batch)
        journal = out.with_name(out.name + ".journal")
        train, held, there = _measured(sources, space, 20 if subnets is None else subnets, test, setting, journal)
    else:
        train, held = _given(samples, space, target, column, sources, subnets)
        there = _environment_of(environment, cpu_model, precision, threads, batch)
    saved = adapt(sources, train, held, there, space, goal=goal, seed=seed)
    saved.figures["seconds"] = time.monotonic() - started
    save_predictor(out, saved, overwrite=force)
    if journal is not None:
        journal.unlink(missing_ok=True)
    record = {"predictor": str(out), **saved.figures}
    print_result(record, json, lambda: adapted_lines(record))
    if not record["enough"]:
        note(f"too few subnets: {'; '.join(record['too_few_because'])}")
        raise typer.Exit(1)


def adapted_lines(record: dict[str, Any]) -> list[str]:
    """What is said of an adapted predictor."""
    lines = [
        f"{record['predictor']}: adapted with {record['train']} subnets; left out in turn they are missed by "
        f"{100 * record['left_out_mape']:.2f} % (sources merely scaled: {100 * record['scaled_mape']:.2f} %, "
        f"from these subnets alone: {shown(record['from_nothing_mape'], 100, 2)} %)",
        f"others of the space by {100 * record['expected_mape']:.1f} % as is to be expected, "
        f"95 % interval +-{100 * record['margins']['0.95']:.1f} %",
    ]
    if record["test"]:
        lines.append(
            f"on {record['test']} others MAPE {100 * record['mape']:.2f} %, within 5 %: {100 * record['within_5']:.0f} %, "
            f"Spearman {shown(record['spearman'], 1, 3)}, 95 % interval holds {100 * record['coverage']:.0f} %"
        )
    return lines


def _measured(
    sources: Sequence[Source], space: SearchSpace, count: int, test: int, setting: Setting, journal: Path
) -> tuple[list[Measurement], list[Measurement], Environment]:
    """Subnets measured here to learn from and to test on, and the environment."""
    from latlas.latency.fitting.adapt import Measurement, environment_here, require_adaptable, to_measure
    from latlas.latency.fitting.fit import collect_these
    from latlas.supernet.operators.timed import timing_operator

    require_adaptable(sources, environment_here(setting))  # before measuring, not after
    asked = to_measure(sources, space, count, test, setting.seed)
    made = {"space": space.text, "subnets": count, "test": test, "sources": [one.sha256 for one in sources]}
    with bar_of("measuring subnets") as bar:
        found, environment = collect_these(
            asked,
            made,
            setting,
            journal,
            build_module=timing_operator,
            on_note=note,
            on_progress=lambda p: bar(p.done, p.total, "", p.eta_seconds),
        )
    learn = set(asked[:count])
    both = [(one.architecture in learn, one) for one in found]
    train, held = (
        [Measurement(s.architecture, s.latency_ms, s.lower_ms, s.upper_ms) for mine, s in both if mine == wanted]
        for wanted in (True, False)
    )
    return train, held, environment


def _given(
    path: Path, space: SearchSpace, target: str, column: str, sources: Sequence[Source], count: int | None
) -> tuple[list[Measurement], list[Measurement]]:
    """The samples of a file to learn from, and the others, where a count is asked."""
    from latlas.latency.fitting.adapt import read_measurements
    from latlas.latency.fitting.choose import most_informative
    from latlas.latency.predictor.adapted import common_sources

    found = read_measurements(path, space, target, column)
    if count is None or count >= len(found):
        return found, []
    graphs = [one.architecture.graph() for one in found]
    cost_of, _ = common_sources([one.saved.predictor for one in sources], space.specs())
    order = most_informative(graphs, graphs, [], max(1, count), cost_of=cost_of)
    return [found[i] for i in order], [one for i, one in enumerate(found) if i not in set(order)]


def _environment_of(path: Path | None, cpu_model: str, precision: str, threads: int, batch: int) -> Environment:
    """The environment that a file says, or one of which only what was told is known."""
    from latlas.files.records import parse_json
    from latlas.latency.machine.environment import Environment, told_environment

    if path is not None:
        if cpu_model:
            raise UsageError("--cpu-model and --environment say the same thing; give one")
        try:
            content = path.read_bytes() if path.stat().st_size <= MAX_ENVIRONMENT_BYTES else None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
        if content is None:
            raise FileFormatError(f"{path}: larger than {MAX_ENVIRONMENT_BYTES} bytes; not an environment")
        record = parse_json(content, str(path))
        if isinstance(record, dict) and "environment" in record:
            record = record["environment"]
        return Environment.from_record(record, f"{path}, environment")
    return told_environment(cpu_model=cpu_model, threads=threads, precision=precision, batch=batch)


def require_asked(saved: SavedPredictor, here: bool, threads: int | None, precision: str | None) -> None:
    """Raises `EnvironmentMismatchError` where a prediction is asked of another environment than the predictor's."""
    asked: dict[str, str | int] = {}
    if threads is not None:
        asked["threads"] = threads
    if precision is not None:
        asked["precision"] = precision
    saved.require(saved.space_text, **asked)
    if here:
        from latlas.latency.fitting.adapt import require_here

        require_here(saved.environment, "predict for this machine with this predictor")


def refuse_for_samples(explain: bool, here: bool, threads: int | None, precision: str | None) -> None:
    """Raises where of a predictor of somebody's samples something is asked that only measured ones can tell."""
    if explain:
        raise UsageError("--explain is of predictors of operators; this one was learnt from somebody's samples")
    if here or threads is not None or precision is not None:
        raise EnvironmentMismatchError(
            "the predictor was learnt from somebody's samples: nothing is known of threads, precision or machine; "
            "make one with `latlas fit-predictor` without --samples"
        )


def explain_all(saved: SavedPredictor, chosen: Sequence[Architecture], seed: int, json: bool) -> None:
    """Print the milliseconds of each architecture's parts; one object as JSON for one, a list for several."""
    from latlas.latency.fitting.explain import explain

    found = [explain(saved.predictor, architecture, seed) for architecture in chosen]
    record = [one.to_record() for one in found]
    print_result(
        record[0] if len(record) == 1 else record,
        json,
        lambda: [line for one in found for line in explained_lines(one)],
    )


def explained_lines(found: Explanation) -> list[str]:
    """A table of the parts: what, where, operator, milliseconds with standard error, share, and the fastest operator there."""
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
