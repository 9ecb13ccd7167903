"""`profile-ops`, `fit-predictor`, `predict`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from latlas.commands import options, predictors, profiling
from latlas.commands.output import bar_of, note, print_result, shown
from latlas.errors import EnvironmentMismatchError, UsageError


def profile_ops(
    space: options.SpaceOption = "portrait",
    resolution: options.ResolutionListOption = "",
    precision: options.PrecisionListOption = "f32",
    threads: options.ThreadsListOption = "1",
    batch: options.BatchListOption = "1",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Table, default tables/<device>/<space>-<precision>-t<threads>.parquet; for several, a folder."
        ),
    ] = None,
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be measured.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Measure only what the table lacks, and add it.")] = False,
    force: options.ForceOption = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Measure every operator of a space by itself, and keep the result as a table; several, and what changes rank."""
    started = time.monotonic()
    command = shlex.join(["latlas", *sys.argv[1:]])
    variants = profiling.variants_of(space, resolution, precision, threads, batch)
    specs = list(dict.fromkeys(spec for variant in variants for spec in variant.space.specs()))
    if dry_run:
        print_result(
            [s.to_record() for s in specs], json, lambda: [str(s) for s in specs] + [f"{len(specs)} operators"]
        )
        return
    if len(variants) > 1:
        profiling.profile_several(variants, out, relative_error, seed, command, force=force, update=update, json=json)
        return
    (variant,) = variants
    target = out or variant.table()
    setting = variant.setting(relative_error, seed)
    table = profiling.measure_table(variant, target, setting, command, force, update, "measuring operators")
    record = profiling.record_of(table, target, started)
    print_result(record, json, lambda: [profiling.line_of(record)])


def fit_predictor(
    table: Annotated[Path | None, typer.Option(help="Operator table; without it, from the graph alone.")] = None,
    space: Annotated[str, typer.Option("--space", help="Search space; default the table's.")] = "",
    resolution: options.ResolutionOption = "",
    precision: options.PrecisionOption = "f32",
    threads: options.ThreadsOption = 1,
    batch: options.BatchOption = 1,
    subnets: Annotated[int, typer.Option(help="Measured subnets to learn from.", min=10)] = 150,
    choice: Annotated[str, typer.Option(help="Which to learn from: informative or random.")] = "informative",
    test: Annotated[
        int | None,
        typer.Option(help="Others, for the figures alone; default 50, of --samples all that are left.", min=1),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the predictor.")] = Path("predictor"),
    samples: Annotated[
        Path | None, typer.Option(help="CSV of latencies somebody measured; learn from it, and measure nothing.")
    ] = None,
    target: Annotated[str, typer.Option(help="With --samples: its column of latencies; a+b sums two.")] = "",
    unit: Annotated[
        str | None,
        typer.Option(help="With --samples: s, ms, us or ns, where the target's name or cells do not say it."),
    ] = None,
    column: Annotated[
        str, typer.Option(help="With --samples and --space: the column of architectures.")
    ] = "architecture",
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="With --samples: leave out failed, empty and broken lines, and say which."),
    ] = False,
    features: Annotated[
        str, typer.Option(help="With --samples: columns to learn from, by commas, instead of --space.")
    ] = "",
    train: Annotated[int | None, typer.Option(help="With --samples: how many to learn from; the others test.")] = None,
    dead_branches: Annotated[
        str,
        typer.Option(
            help="With --samples: what the runtime did with dead branches: dropped, unread_dropped (what is computed from "
            "zeros was run), executed, or auto."
        ),
    ] = "auto",
    in_order: Annotated[
        bool,
        typer.Option(
            "--in-order", help="With --features: lines are in the order of measuring; take the machine's drift out."
        ),
    ] = False,
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    force: options.ForceOption = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Measure subnets and learn their latency; the figures are of subnets that were not learnt from."""
    if samples is not None:
        from latlas.commands.samples import fit as fit_samples

        if table is not None:
            raise UsageError("--samples and --table together; samples are learnt from without a table")
        fit_samples(
            samples,
            space=space,
            resolution=resolution,
            features=features,
            target=target,
            train=train,
            test=test,
            dead_branches=dead_branches,
            in_order=in_order,
            out=out,
            force=force,
            seed=seed,
            json=json,
            unit=unit,
            column=column,
            skip_bad=skip_bad,
        )
        return
    if target or features or in_order or train is not None or unit or skip_bad:
        raise UsageError(
            "--target, --unit, --features, --train and --skip-bad are of --samples FILE.csv; give that too"
        )
    test = 50 if test is None else test
    from latlas.latency.fitting.fit import CHOICES, collect_these, subnets_to_measure
    from latlas.latency.fitting.fit import fit_predictor as fit
    from latlas.latency.machine.environment import require_same
    from latlas.latency.predictor.predictor_file import check_replaceable, save_predictor
    from latlas.latency.table.table import Table
    from latlas.supernet.operators.timed import timing_operator

    started = time.monotonic()
    if choice not in CHOICES:
        raise UsageError(f"--choice is {choice!r}; known: {', '.join(CHOICES)}")
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    check_replaceable(out)
    operators = Table.read(table) if table is not None else None
    chosen = options.space_of(
        space or (operators.manifest.only_space(f"table {table}") if operators else "portrait"), resolution
    )
    setting = options.setting_of(precision, threads, relative_error, seed, batch)
    if operators is not None:
        environment = operators.manifest.environment
        for name, asked in (("precision", precision), ("threads", threads), ("batch", batch)):
            if getattr(environment, name) != asked:
                raise EnvironmentMismatchError(
                    f"table {table} is of {name} {getattr(environment, name)}, asked for {asked}; give the same"
                )
        with setting.bench() as bench:
            # Before an hour of measuring, not after it.
            here = setting.environment(bench, 1.0)
            require_same(environment, here, f"learn with table {table} on this machine", but=("reference_id",))
        missing = [spec for a in chosen.cover() for spec in (n.spec for n in a.graph()) if spec not in operators]
        if missing:
            operators.latency_ms(missing[0])
    journal = out.with_name(out.name + ".journal")
    cost_of = operators.latency_ms if operators is not None else None
    learn, held_out = subnets_to_measure(chosen, subnets, test, seed, choice, cost_of)
    with bar_of("measuring subnets") as bar:
        measured, environment = collect_these(
            [*learn, *held_out],
            {"space": chosen.text},
            setting,
            journal,
            build_module=timing_operator,
            on_note=note,
            on_progress=lambda p: bar(p.done, p.total, "", p.eta_seconds),
        )
    tested = set(held_out)
    saved = fit(
        chosen,
        operators,
        [s for s in measured if s.architecture not in tested],
        [s for s in measured if s.architecture in tested],
        environment,
    )
    saved.figures["choice"] = choice
    saved.figures["seconds"] = time.monotonic() - started
    save_predictor(out, saved, overwrite=force)
    journal.unlink(missing_ok=True)
    record = {"predictor": str(out), **saved.figures}
    print_result(
        record,
        json,
        lambda: [
            f"{out}: learnt from {record['train']} subnets; on {record['test']} others MAPE {100 * record['mape']:.2f} % "
            f"(noise floor {shown(record['noise_floor'], 100, 2)} %), within 5 %: {100 * record['within_5']:.0f} %, "
            f"Spearman {shown(record['spearman'], 1, 3)}, 95 % interval +-{100 * record['margin']:.1f} % "
            f"holds {100 * record['coverage']:.0f} %"
        ],
    )


def predict(
    architectures: Annotated[list[str] | None, typer.Argument(help="Architectures, as text or JSON files.")] = None,
    predictor: Annotated[Path, typer.Option(help="Folder of a predictor.")] = Path("predictor"),
    random: Annotated[int, typer.Option(help="Predict this many random architectures.", min=0)] = 0,
    samples: Annotated[
        Path | None, typer.Option(help="CSV to predict the lines of, with a predictor made of --samples.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Of the interval.")] = 0.95,
    explain: Annotated[bool, typer.Option("--explain", help="Say how many milliseconds each layer has.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Refuse where the predictor is not of this machine.")] = False,
    threads: Annotated[int | None, typer.Option(help="Refuse where it is of other inference threads.", min=1)] = None,
    precision: Annotated[str | None, typer.Option(help="Refuse where it is of another precision.")] = None,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Predict end-to-end latency with an interval, or say what it is made of."""
    import numpy as np

    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.latency.samples.predictor import load_sample_predictor

    from_samples = load_sample_predictor(predictor)
    if from_samples is not None:
        from latlas.commands.samples import predict as predict_samples

        predictors.refuse_for_samples(explain, here, threads, precision)
        predict_samples(from_samples, architectures or [], samples, random, confidence, seed, json)
        return
    if samples is not None:
        raise UsageError(f"{predictor} was not made of samples; give architectures, or --random N")
    saved = load_predictor(predictor)
    predictors.require_asked(saved, here, threads, precision)
    space = saved.space
    chosen = [options.architecture_of(text, space) for text in architectures or ()]
    chosen += space.sample(random, np.random.default_rng(seed)) if random else []
    if not chosen:
        raise UsageError("nothing to predict; give architectures, or --random N")
    if explain:
        predictors.explain_all(saved, chosen, seed, json)
        return
    bounds = saved.predictor.predict_interval([a.graph() for a in chosen], confidence)
    record = [
        {"architecture": str(a), "latency_ms": b.latency_ms, "lower_ms": b.lower_ms, "upper_ms": b.upper_ms}
        for a, b in zip(chosen, bounds, strict=True)
    ]
    print_result(
        record,
        json,
        lambda: [
            f"{r['latency_ms']:.3f} ms [{r['lower_ms']:.3f}, {r['upper_ms']:.3f}]  {r['architecture']}" for r in record
        ],
    )
