"""The command line: parse, call, print. Heavy imports are inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import logging
import math
import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latlas.latency.errors import EnvironmentMismatchError, InterruptedRunError, LatlasError, UsageError

if TYPE_CHECKING:
    from latlas.latency.profile import Setting
    from latlas.latency.table import Table
    from latlas.supernet.data import Dataset
    from latlas.supernet.space import Architecture, SearchSpace

EPILOG = (
    "Exit codes: 0 ok; 1 not achieved; 2 usage; 3 incompatible or invalid file; 4 interrupted, resumable. "
    "Every option may be set by an environment variable, LATLAS_<COMMAND>_<OPTION>, "
    "or in latlas.toml, \\[command] option = value."
)
app = typer.Typer(
    help="Latlas: a latency atlas for neural architecture search on CPUs.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "LATLAS"},
)
SIGINT_CODE = 130
"""What typer returns for Ctrl-C."""
tables_app = typer.Typer(help="List, show, check, compare and join latency tables.", no_args_is_help=True)
app.add_typer(tables_app, name="tables")
log = logging.getLogger("latlas")

SpaceOption = Annotated[
    str, typer.Option("--space", help="Search space, such as portrait or portrait:decoder_channels=24.")
]
ResolutionOption = Annotated[
    str, typer.Option("--resolution", help="Input size N or HxW; sets the space's height and width.")
]
PrecisionOption = Annotated[str, typer.Option("--precision", help="f32 or bf16; always set, never left to OpenVINO.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Inference threads.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything that chance decides.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
ErrorOption = Annotated[float, typer.Option("--relative-error", help="Asked half width of the 95 % interval.")]
DataOption = Annotated[str, typer.Option("--data", help="Folder of images and masks, or `synthetic`.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or auto; for training.")]


@app.command(epilog="Example: latlas doctor --json")
def doctor(
    precision: PrecisionOption = "f32",
    threads: ThreadsOption = 1,
    rounds: Annotated[int, typer.Option(help="Measurements of the A/A run.", min=4)] = 12,
    json: JsonOption = False,
) -> None:
    """Say whether this machine can measure now: its state, and the reference measured against itself."""
    from latlas.latency.doctor import examine

    record = examine(_setting(precision, threads), rounds)
    _print(record, json, lambda: [f"{k}: {v}" for k, v in record.items()])
    if not record["verdict"].startswith("ok"):
        raise typer.Exit(1)


@app.command(epilog="Example: latlas profile-ops --space portrait --resolution 256 --threads 1 --out table.parquet")
def profile_ops(
    space: SpaceOption = "portrait",
    resolution: ResolutionOption = "",
    precision: PrecisionOption = "f32",
    threads: ThreadsOption = 1,
    out: Annotated[
        Path | None, typer.Option(help="Table; default tables/<device>/<space>-<precision>-t<threads>.parquet.")
    ] = None,
    relative_error: ErrorOption = 0.01,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be measured.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Measure only what the table lacks, and add it.")] = False,
    force: ForceOption = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Measure every operator of a space by itself, and keep the result as a table."""
    started = time.monotonic()
    chosen = _space(space, resolution)
    specs = chosen.specs()
    if dry_run:
        _print([s.to_dict() for s in specs], json, lambda: [str(s) for s in specs] + [f"{len(specs)} operators"])
        return
    from latlas.latency.profile import profile
    from latlas.supernet.operators import timing_operator

    setting = _setting(precision, threads, relative_error, seed)
    target = out or _default_table(chosen, precision, threads)
    with _bar("measuring operators") as bar:
        table = profile(
            specs,
            timing_operator,
            target,
            setting,
            space=chosen.text,
            command=shlex.join(["latlas", *sys.argv[1:]]),
            force=force,
            update=update,
            on_convert=lambda done, total: bar(done, total, "converting"),
            on_progress=lambda p: bar(p.done, p.total, p.label, p.eta_seconds),
        )
    manifest = table.manifest
    record = {
        "table": str(target),
        "entries": len(table),
        "noisy": table.count("noisy"),
        "failed": table.count("failed"),
        "noise_floor": manifest.noise_floor,
        "seconds": time.monotonic() - started,
        "environment": manifest.environment.to_dict(),
    }
    _print(
        record,
        json,
        lambda: [
            f"{target}: {len(table)} operators ({record['noisy']} noisy, {record['failed']} failed) "
            f"in {record['seconds']:.0f} s; noise floor {100 * (manifest.noise_floor or 0):.2f} %"
        ],
    )


@app.command(epilog="Example: latlas fit-predictor --table table.parquet --subnets 150 --test 50 --out predictor")
def fit_predictor(
    table: Annotated[Path | None, typer.Option(help="Operator table; without it, from the graph alone.")] = None,
    space: Annotated[str, typer.Option("--space", help="Search space; default the table's.")] = "",
    resolution: ResolutionOption = "",
    precision: PrecisionOption = "f32",
    threads: ThreadsOption = 1,
    subnets: Annotated[int, typer.Option(help="Measured subnets to learn from.", min=10)] = 150,
    test: Annotated[int, typer.Option(help="Further measured subnets, for the figures alone.", min=1)] = 50,
    out: Annotated[Path, typer.Option(help="Folder of the predictor.")] = Path("predictor"),
    relative_error: ErrorOption = 0.01,
    force: ForceOption = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Measure random subnets and learn their latency; the figures are of subnets that were not learnt from."""
    from latlas.latency.environment import require_same
    from latlas.latency.predictor_file import check_replaceable, save_predictor
    from latlas.latency.table import Table
    from latlas.search.fit import collect
    from latlas.search.fit import fit_predictor as fit

    started = time.monotonic()
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    check_replaceable(out)
    operators = Table.read(table) if table is not None else None
    chosen = _space(space or (operators.manifest.space if operators else "portrait"), resolution)
    setting = _setting(precision, threads, relative_error, seed)
    if operators is not None:
        environment = operators.manifest.environment
        for name, asked in (("precision", precision), ("threads", threads)):
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
    with _bar("measuring subnets") as bar:
        samples, environment = collect(
            chosen,
            subnets + test,
            setting,
            journal,
            on_note=_note,
            on_progress=lambda p: bar(p.done, p.total, "", p.eta_seconds),
        )
    # Drawn alternately uniform and spread: every fourth or so to test keeps both kinds on both sides.
    import numpy as np

    order = np.random.default_rng(seed + 1).permutation(len(samples))
    held_out = {int(i) for i in order[:test]}
    saved = fit(
        chosen,
        operators,
        [s for i, s in enumerate(samples) if i not in held_out],
        [s for i, s in enumerate(samples) if i in held_out],
        environment,
        seed=seed,
    )
    saved.figures["seconds"] = time.monotonic() - started
    save_predictor(out, saved, overwrite=force)
    journal.unlink(missing_ok=True)
    record = {"predictor": str(out), **saved.figures}
    _print(
        record,
        json,
        lambda: [
            f"{out}: learnt from {record['train']} subnets; on {record['test']} others MAPE {100 * record['mape']:.2f} % "
            f"(noise floor {_shown(record['noise_floor'], 100, 2)} %), within 5 %: {100 * record['within_5']:.0f} %, "
            f"Spearman {_shown(record['spearman'], 1, 3)}, 95 % interval +-{100 * record['margin']:.1f} % "
            f"holds {100 * record['coverage']:.0f} %"
        ],
    )


@app.command(epilog="Example: latlas predict --predictor predictor --random 5 --json")
def predict(
    architectures: Annotated[list[str] | None, typer.Argument(help="Architectures, as text or JSON files.")] = None,
    predictor: Annotated[Path, typer.Option(help="Folder of a predictor.")] = Path("predictor"),
    random: Annotated[int, typer.Option(help="Predict this many random architectures.", min=0)] = 0,
    confidence: Annotated[float, typer.Option(help="Of the interval.")] = 0.95,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Predict end-to-end latency with an interval."""
    import numpy as np

    from latlas.latency.predictor_file import load_predictor

    saved = load_predictor(predictor)
    space = _space(saved.space, "")
    chosen = [_architecture(text, space) for text in architectures or ()]
    chosen += space.sample(random, np.random.default_rng(seed)) if random else []
    if not chosen:
        raise UsageError("nothing to predict; give architectures, or --random N")
    bounds = saved.predictor.predict_interval([a.graph() for a in chosen], confidence)
    record = [
        {"architecture": str(a), "latency_ms": b.latency_ms, "lower_ms": b.lower_ms, "upper_ms": b.upper_ms}
        for a, b in zip(chosen, bounds, strict=True)
    ]
    _print(
        record,
        json,
        lambda: [
            f"{r['latency_ms']:.3f} ms [{r['lower_ms']:.3f}, {r['upper_ms']:.3f}]  {r['architecture']}" for r in record
        ],
    )


@app.command(epilog="Example: latlas measure portrait/mobilenetv3_large runs/demo/winner.xml --threads 1")
def measure(
    targets: Annotated[list[str], typer.Argument(help="Architectures (text or .json), .xml, .onnx or .tflite files.")],
    space: Annotated[str, typer.Option("--space", help="Space of architectures that name none.")] = "",
    precision: PrecisionOption = "f32",
    threads: ThreadsOption = 1,
    shape: Annotated[str, typer.Option(help="Input shape of a dynamic model file, as 1,3,256,256.")] = "",
    reference_ms: Annotated[
        float | None, typer.Option(help="State milliseconds at this reference latency, an earlier session's.")
    ] = None,
    relative_error: ErrorOption = 0.01,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Measure networks end to end, in turn; one object as JSON for one target, a list for several."""
    from latlas.search.measure import measure_targets

    fixed = _shape(shape)
    chosen = _space(space, "") if space else None
    parsed = [Path(t) if t.endswith((".xml", ".onnx", ".tflite")) else _architecture(t, chosen) for t in targets]
    with _bar("measuring") as bar:
        records = measure_targets(
            parsed,
            _setting(precision, threads, relative_error, seed),
            shape=fixed,
            reference_ms=reference_ms,
            on_progress=lambda p: bar(p.done, p.total, p.label, p.eta_seconds),
        )
    _print(
        records[0] if len(records) == 1 else records,
        json,
        lambda: [
            f"{r['latency_ms']:.3f} ms [{r['lower_ms']:.3f}, {r['upper_ms']:.3f}] {r['status']}, "
            f"{r['ratio']:.3f} x reference ({r['reference_ms']:.3f} ms), {r['rounds']} rounds  {r['target']}"
            for r in records
        ],
    )


@app.command(
    epilog="Example: latlas train-supernet --data photos --steps 8000 --train-resolution 192 --out supernet.safetensors"
)
def train_supernet(
    space: SpaceOption = "portrait",
    resolution: ResolutionOption = "",
    data: DataOption = "synthetic",
    images: Annotated[int, typer.Option(help="How many synthetic images.", min=16)] = 2000,
    steps: Annotated[int, typer.Option(min=1)] = 4000,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    learning_rate: Annotated[float, typer.Option()] = 2e-3,
    train_resolution: Annotated[str, typer.Option(help="Size of training images N or HxW; default the space's.")] = "",
    out: Annotated[Path, typer.Option(help="Supernet checkpoint, safetensors.")] = Path("supernet.safetensors"),
    time_limit: Annotated[float | None, typer.Option(help="Seconds after which training ends, annealed.")] = None,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Train a supernet by uniform single-path sampling; stopped, the same command goes on."""
    from latlas.supernet.augment import Augmentation
    from latlas.supernet.checkpoint import save_weights
    from latlas.supernet.train import TrainConfig
    from latlas.supernet.train import train_supernet as train

    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another path, or --force to replace it")
    chosen = _space(space, resolution)
    height, width = _size(train_resolution, (chosen.input_shape()[1], chosen.input_shape()[2]))
    dataset = _data(data, "train", height, width, images, seed)
    config = TrainConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=device)
    started = time.monotonic()
    last: dict[str, float] = {}

    def show(bar: Callable[..., None]) -> Callable[[Any], None]:
        def on_progress(p: Any) -> None:
            last.update(step=p.step, loss=p.loss)
            bar(p.step, p.steps, f"loss {p.loss:.3f}", p.eta_s)

        return on_progress

    journal = out.with_name(out.name + ".training")
    with _bar("training the supernet") as bar:
        supernet = train(
            chosen,
            dataset,
            config,
            Augmentation(),
            checkpoint=journal,
            resume=not force,
            on_progress=show(bar),
            time_limit_s=time_limit,
        )
    metadata = {
        "steps": int(last.get("step", steps)),
        "images": len(dataset.images),
        "data": data,
        "height": height,
        "width": width,
    }
    save_weights(supernet, out, metadata)
    journal.unlink(missing_ok=True)
    record = {"supernet": str(out), **metadata, "loss": last.get("loss"), "seconds": time.monotonic() - started}
    _print(
        record,
        json,
        lambda: [f"{out}: {record['steps']} steps, loss {_shown(last.get('loss'), 1, 3)}, {record['seconds']:.0f} s"],
    )


@app.command(
    epilog="Example: latlas search --predictor predictor --supernet supernet.safetensors --budget-ms auto --out runs/first"
)
def search(
    predictor: Annotated[Path, typer.Option(help="Folder of a predictor.")] = Path("predictor"),
    supernet: Annotated[Path, typer.Option(help="Supernet checkpoint.")] = Path("supernet.safetensors"),
    data: DataOption = "synthetic",
    images: Annotated[int, typer.Option(help="How many synthetic training images.", min=16)] = 2000,
    budget_ms: Annotated[str, typer.Option(help="Milliseconds, or auto: the baseline's measured latency.")] = "auto",
    baseline: Annotated[
        str, typer.Option(help="mobilenetv3_large, mobilenetv3_small, or narrowed: ..._x0.75.")
    ] = "mobilenetv3_large",
    strategy: Annotated[str, typer.Option(help="random or evolution.")] = "evolution",
    evaluations: Annotated[int, typer.Option(help="Candidates to score.", min=1)] = 100,
    finalists: Annotated[int, typer.Option(help="Best candidates to measure.", min=1)] = 5,
    max_measurements: Annotated[int, typer.Option(help="Real measurements to decide doubtful candidates.", min=0)] = 30,
    min_use: Annotated[
        float, typer.Option(help="Share of the budget that candidates are to use at least; 0 for any.")
    ] = 0.9,
    score_images: Annotated[int, typer.Option(help="Training images a candidate is scored on.", min=1)] = 192,
    train_steps: Annotated[int, typer.Option(help="Steps that the winner is trained on.", min=1)] = 1500,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    learning_rate: Annotated[float, typer.Option()] = 2e-3,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train winner and baseline from nothing, equally long.")
    ] = False,
    train_resolution: Annotated[str, typer.Option(help="Size of training images N or HxW; default the space's.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/search"),
    time_limit: Annotated[float | None, typer.Option(help="Seconds after which no more candidates are scored.")] = None,
    relative_error: ErrorOption = 0.01,
    device: DeviceOption = "auto",
    force: ForceOption = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Search a supernet under a hard latency budget; the winner is measured, trained on, exported and compared."""
    import latlas.supernet.portrait  # noqa: F401  (registers the space)
    from latlas.latency.predictor_file import load_predictor
    from latlas.search.loop import History
    from latlas.search.pipeline import Listener, SearchConfig
    from latlas.search.pipeline import search as run
    from latlas.search.report import comparison_rows
    from latlas.supernet.augment import Augmentation
    from latlas.supernet.checkpoint import load_supernet, read_metadata
    from latlas.supernet.train import TrainConfig

    budget = None if budget_ms == "auto" else _number(budget_ms, "--budget-ms")
    if (out / "result.json").exists() and not force:
        raise UsageError(f"{out} holds a finished search; choose another folder, or --force to replace it")
    saved, weights = load_predictor(predictor), load_supernet(supernet)
    environment = saved.environment
    space = weights.space
    saved.require(space.text)
    _writable(out)
    height, width = space.input_shape()[1:]
    config = SearchConfig(
        budget_ms=budget,
        baseline=baseline,
        strategy=strategy,
        evaluations=evaluations,
        finalists=finalists,
        max_measurements=max_measurements,
        min_use=min_use,
        seed=seed,
        score_images=score_images,
        supernet_steps=int(read_metadata(supernet).get("steps", 0)),
        from_scratch=from_scratch,
        train=TrainConfig(
            steps=train_steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=device
        ),
        time_limit_s=time_limit,
    )
    training = _data(data, "train", *_size(train_resolution, (height, width)), images, seed)
    validation = _data(data, "val", height, width, max(64, images // 10), seed, keep_native=True)
    with _bar("search") as bar:

        def on_candidate(history: History, constraint: Any) -> None:
            best, counts = history.ranked()[0], constraint.counts
            bar(
                len(history.candidates),
                evaluations,
                f"best {100 * best.quality:.2f} % at {best.verdict.latency_ms:.2f} ms, measured {counts.measured}, "
                f"dropped {history.filtered}",
            )

        listener = Listener(
            _note, on_candidate, lambda name, p: bar(p.step, p.steps, f"training {name}, loss {p.loss:.3f}", p.eta_s)
        )
        result = run(
            saved,
            weights,
            training,
            validation,
            out,
            _setting(environment.precision, environment.threads, relative_error, seed),
            config,
            Augmentation(),
            listener,
            data,
        )
    name = result["baseline"]["architecture"].rsplit("/", 1)[-1]
    _print(
        result,
        json,
        lambda: [
            f"{result['architecture']}",
            f"budget {result['budget_ms']:.3f} ms, {result['evaluated']} candidates, {result['filtered']} dropped, "
            f"{result['measured']} measured to decide, {result['false_accepts']} false accepts",
            *(f"{a:<26}{b:>16}{c:>20}" for a, b, c in [("", "searched", name), *comparison_rows(result)]),
            f"model {result['model']}, report {result['report']}",
        ],
    )


@app.command(epilog="Example: latlas demo --out runs/demo")
def demo(out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo")) -> None:
    """The main job from nothing, in under a quarter of an hour, on drawn portraits; what is finished is not done again."""
    if len(str(out).split()) != 1:
        raise UsageError(f"--out is {str(out)!r}; the demo needs a path without blanks")
    _writable(out)
    table, predictor, supernet = out / "table.parquet", out / "predictor", out / "supernet.safetensors"
    # At 128x128 and 2 % all of it took 14 minutes on two cores; the commands' defaults are 256x256 and 1 %.
    steps = (
        (table, f"profile-ops --space portrait --resolution 128 --relative-error 0.02 --out {table}"),
        (predictor, f"fit-predictor --table {table} --subnets 120 --test 40 --relative-error 0.02 --out {predictor}"),
        (supernet, f"train-supernet --resolution 128 --images 1500 --steps 900 --out {supernet}"),
        (
            out / "result.json",
            f"search --predictor {predictor} --supernet {supernet} --images 1500 --budget-ms auto --evaluations 40 "
            f"--train-steps 400 --out {out}",
        ),
    )
    for product, command in steps:
        if product.exists():
            _note(f"{product} is there already, kept; delete it to make it anew")
            continue
        _note(f"$ latlas {command}")
        code = subprocess.run([sys.executable, "-P", "-m", "latlas.cli", *command.split()], check=False).returncode
        if code:
            raise typer.Exit(code)
    typer.echo(f"{out / 'result.json'}, {out / 'report.html'}")


@tables_app.command("list", epilog="Example: latlas tables list tables")
def tables_list(
    folder: Annotated[Path, typer.Argument(help="Folder of tables.")] = Path("tables"), json: JsonOption = False
) -> None:
    """List the tables below a folder."""
    from latlas.latency.table import Table

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    records = []
    for path in sorted(folder.rglob("*.parquet")):
        table = Table.read(path)
        environment = table.manifest.environment
        records.append({"table": str(path), "space": table.manifest.space, "entries": len(table), **environment.key()})
    _print(
        records,
        json,
        lambda: [f"{r['table']}: {r['space']}, {r['entries']} operators, {r['cpu_model']}" for r in records],
    )


@tables_app.command("show", epilog="Example: latlas tables show table.parquet")
def tables_show(path: Annotated[Path, typer.Argument()], json: JsonOption = False) -> None:
    """Show a table: where it comes from, and its rows."""
    from latlas.latency.table import Table

    table = Table.read(path)
    manifest = table.manifest.to_dict()
    rows = [row.to_dict() for row in table]
    _print({"manifest": manifest, "rows": rows}, json, lambda: _table_lines(table))


@tables_app.command("validate", epilog="Example: latlas tables validate table.parquet")
def tables_validate(paths: Annotated[list[Path], typer.Argument()], json: JsonOption = False) -> None:
    """Check tables from top to bottom; exit code 3 for a broken one."""
    from latlas.latency.table import Table

    records = [{"table": str(path), "entries": len(Table.read(path)), "valid": True} for path in paths]
    _print(records, json, lambda: [f"{r['table']}: valid, {r['entries']} operators" for r in records])


@tables_app.command("diff", epilog="Example: latlas tables diff before.parquet after.parquet")
def tables_diff(
    before: Annotated[Path, typer.Argument()], after: Annotated[Path, typer.Argument()], json: JsonOption = False
) -> None:
    """Operators that changed beyond both intervals, largest first; exit code 1 where there are any."""
    from latlas.latency.table import Table, diff

    changes = diff(Table.read(before), Table.read(after))
    records = [{"operator": str(change.spec), "ratio": change.ratio} for change in changes]
    _print(records, json, lambda: [f"{r['ratio']:.3f} x  {r['operator']}" for r in records] or ["no operator changed"])
    if changes:
        raise typer.Exit(1)


@tables_app.command("merge", epilog="Example: latlas tables merge a.parquet b.parquet --out both.parquet")
def tables_merge(
    paths: Annotated[list[Path], typer.Argument()],
    out: Annotated[Path, typer.Option(help="The joined table.")],
    force: ForceOption = False,
    json: JsonOption = False,
) -> None:
    """Join tables of one environment; rows are kept as they are, and those that disagree are an error."""
    from latlas.latency.table import Table

    merged = Table.read(paths[0])
    for path in paths[1:]:
        merged = merged.merged(Table.read(path))
    merged.write(out, overwrite=force)
    record = {"table": str(out), "entries": len(merged)}
    _print(record, json, lambda: [f"{out}: {len(merged)} operators"])


def _table_lines(table: Table) -> list[str]:
    manifest = table.manifest
    environment = manifest.environment
    lines = [
        f"{table.name}: {manifest.space}, {len(table)} operators, noise floor {100 * (manifest.noise_floor or 0):.2f} %",
        f"{environment.cpu_model}, OpenVINO {environment.openvino_version}, {environment.precision}, "
        f"{environment.threads} thread(s), reference {environment.reference_ms:.4f} ms, {manifest.created_at}",
    ]
    for row in table:
        if row.latency_ms is None:
            lines.append(f"{'failed':>10}  {row.spec}: {row.reason}")
        else:
            noisy = " noisy" if row.status == "noisy" else ""
            lines.append(f"{row.latency_ms:7.4f} ms +-{100 * row.relative_error:4.1f} %{noisy}  {row.spec}")
    return lines


def _setting(precision: str, threads: int, relative_error: float = 0.01, seed: int = 0) -> Setting:
    from latlas.latency.profile import Setting
    from latlas.latency.runtime import CompileOptions
    from latlas.latency.stopwatch import LAYOUT_SD, StopRule

    CompileOptions(precision=precision, threads=threads)
    cores = os.cpu_count() or 1
    if threads > cores:
        raise UsageError(f"--threads is {threads}; this machine has {cores} CPUs")
    rule = StopRule(relative_error=relative_error)
    # The scatter between compiles alone asks for so many passes; the rounds within them for the rest of the error.
    passes = math.ceil((1.96 * LAYOUT_SD / (0.85 * relative_error)) ** 2)
    return Setting(precision=precision, threads=threads, seed=seed, rule=rule, max_passes=max(4, 2 * passes))


def _space(text: str, resolution: str) -> SearchSpace:
    import latlas.supernet.portrait  # noqa: F401  (registers the space)
    from latlas.supernet.space import parse_space

    if resolution:
        text += ("," if ":" in text else ":") + f"resolution={resolution}"
    return parse_space(text)


def _architecture(text: str, space: SearchSpace | None) -> Architecture:
    import latlas.supernet.portrait  # noqa: F401  (registers the space)
    from latlas.supernet.space import parse_architecture, read_architecture

    if not text.endswith(".json"):
        return parse_architecture(text, space)
    architecture = read_architecture(Path(text))
    if space is not None and architecture.space != space:
        raise EnvironmentMismatchError(f"{text} is of {architecture.space.text}, not of {space.text}")
    return architecture


def _default_table(space: SearchSpace, precision: str, threads: int) -> Path:
    from latlas.latency.environment import cpu_model, device_slug

    name = space.text.replace(":", "-").replace("=", "").replace(",", "-")
    return Path("tables") / device_slug(cpu_model()) / f"{name}-{precision}-t{threads}.parquet"


def _data(data: str, split: str, height: int, width: int, images: int, seed: int, keep_native: bool = False) -> Dataset:
    from latlas.supernet.data import load_folder, synthetic

    _note(f"loading the {split} images of {data} at {height}x{width}")
    if data == "synthetic":
        # Even seeds train and odd ones validate, so that no two seeds mix the splits.
        return synthetic(images, height, width, 2 * seed + (split == "val"), keep_native=keep_native)
    return load_folder(Path(data), split, height, width, keep_native=keep_native)


def _size(text: str, default: tuple[int, int]) -> tuple[int, int]:
    if not text:
        return default
    height, _, width = text.partition("x")
    return int(_number(height, "--train-resolution")), int(_number(width or height, "--train-resolution"))


def _shape(text: str) -> tuple[int, ...] | None:
    return tuple(int(_number(part, "--shape")) for part in text.split(",")) if text else None


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UsageError(f"{option} is {text!r}; it must be a positive number")
    return value


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".latlas-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from None


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _shown(value: float | None, times: float, digits: int) -> str:
    return "unknown" if value is None else f"{times * value:.{digits}f}"


def _print(record: Any, as_json: bool, lines: Callable[[], list[str]]) -> None:
    typer.echo(dumps(record, indent=1, allow_nan=False) if as_json else "\n".join(lines()))


@contextmanager
def _bar(title: str) -> Iterator[Callable[..., None]]:
    """A progress line on standard error: a bar on a terminal, else a line every ten seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        spoken = [time.monotonic()]

        def speak(done: int, total: int, what: str = "", eta_s: float | None = None) -> None:
            if time.monotonic() - spoken[0] >= 10:
                spoken[0] = time.monotonic()
                left = f", {eta_s:.0f} s left" if eta_s else ""
                _note(f"{title}: {done} of {total}{left}  {what}")

        yield speak
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[more]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None, more="")

        def show(done: int, total: int, what: str = "", eta_s: float | None = None) -> None:
            left = f"{eta_s:.0f} s left " if eta_s else ""
            progress.update(task, completed=done, total=total, more=(left + what)[:100])

        yield show


def _config(path: Path = Path("latlas.toml")) -> dict[str, Any]:
    """`latlas.toml` as the commands' defaults: a table a command, dashes or underscores in names."""
    if not path.is_file():
        return {}
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    return _defaults(sections, typer.main.get_command(app), str(path))


def _defaults(section: dict[str, Any], command: Any, where: str) -> dict[str, Any]:
    """The section's values by the names of the command's parameters; an unknown name is an error, not a silence."""
    group = hasattr(command, "commands")
    known = command.commands if group else {parameter.name: parameter for parameter in command.params}
    found: dict[str, Any] = {}
    for key, value in section.items():
        name = key.replace("_", "-") if group else key.replace("-", "_")
        if name not in known or isinstance(value, dict) != group:
            what = "commands" if group else "options"
            raise UsageError(f"{where}: {key!r} is not known there; {what} are {', '.join(known)}")
        found[name] = _defaults(value, known[name], f"{where}, [{name}]") if group else value
    return found


def run(arguments: Sequence[str]) -> int:
    """Run one command line, and return its documented exit code; an error is one line on standard error."""
    try:
        code = app(args=list(arguments), prog_name="latlas", default_map=_config(), standalone_mode=False)
    except LatlasError as error:
        _note(f"error: {error}")
        return error.exit_code
    except OSError as error:  # a full disk, a file taken away: what the operating system says of it is the message
        _note(f"error: {error}")
        return UsageError.exit_code
    except typer.TyperException as error:
        if error.format_message():  # a command that was given nothing has printed its help already
            _note(_usage(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = SIGINT_CODE
    if code == SIGINT_CODE:
        _note("interrupted")
        return InterruptedRunError.exit_code
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> str:
    """A line for a command line that could not be parsed, with the value that typer leaves out of a number's range."""
    context, cause = getattr(error, "ctx", None), error.__cause__
    message = error.format_message().rstrip(".")
    errors = getattr(cause, "errors", None)
    given = f", not {errors()[0]['input']!r}" if errors else ""
    return f"error: {message}{given}; see `{context.command_path if context else 'latlas'} --help`"


def main() -> None:
    """Run the command line and leave with its documented exit code."""
    # Before torch is imported: its threads would spin while they wait, and with anything else on the cores that made a
    # training step ten times slower (2.9-9.4 s against 0.3 s); it also disturbs a measurement that follows.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
