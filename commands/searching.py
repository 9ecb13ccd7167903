"""`search`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from latlas.commands import options, proxy_options
from latlas.commands.output import aligned, bar_of, note, print_result
from latlas.errors import LatlasError, UsageError
from latlas.search.strategies.names import FRONT_STRATEGIES, SEARCHED_BY


def search(
    predictor: Annotated[Path, typer.Option(help="Folder of a predictor.")] = Path("predictor"),
    supernet: Annotated[Path, typer.Option(help="Supernet checkpoint.")] = Path("supernet.safetensors"),
    backbone: proxy_options.BackboneOption = None,
    data: options.DataOption = "synthetic",
    images: Annotated[int, typer.Option(help="How many synthetic training images.", min=16)] = 2000,
    budget_ms: Annotated[str, typer.Option(help="Milliseconds, or auto: the baseline's measured latency.")] = "auto",
    baseline: Annotated[
        str,
        typer.Option(
            help="mobilenetv3_large (default), mobilenetv3_small, or narrowed: ..._x0.75; of dpc aspp (default) or "
            "dpc_cityscapes."
        ),
    ] = "",
    rivals: proxy_options.RivalsOption = "",
    strategy: Annotated[
        str, typer.Option(help=f"{', '.join(SEARCHED_BY)}; optuna-* need the extra optuna.")
    ] = "evolution",
    pareto: Annotated[
        bool,
        typer.Option(
            "--pareto", help="Look for the front: networks at all latencies up to the budget, by front-evolution."
        ),
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(help="Where an Optuna strategy keeps its trials: sqlite:///search.db, or a journal file."),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="Name of the study there; searches of one name share it, and each checks the others' best."),
    ] = None,
    near_share: proxy_options.NearShareOption = 0.5,
    proxy_steps: proxy_options.ProxyStepsOption = 300,
    pruner: proxy_options.PrunerOption = "none",
    copies: proxy_options.CopiesOption = 2,
    from_nothing: proxy_options.FromNothingOption = False,
    cache: proxy_options.CacheOption = None,
    cache_limit_gb: proxy_options.CacheLimitOption = 8.0,
    arch_steps: Annotated[
        int, typer.Option(help="Steps that proxyless strategies train their architecture parameters.", min=1)
    ] = 500,
    arch_learning_rate: Annotated[
        float,
        typer.Option(help="Adam's, of architecture parameters; ProxylessNAS's 0.001 is for many more steps."),
    ] = 0.01,
    arch_training: Annotated[
        str,
        typer.Option(
            help="decoupled, with the supernet's weights fixed, or alternating: steps of weights, of a copy, and of "
            "architecture parameters in turns, as ProxylessNAS does."
        ),
    ] = "decoupled",
    weight_learning_rate: Annotated[float, typer.Option(help="Of the weights in alternating training.")] = 0.025,
    latency_loss: Annotated[
        str | None,
        typer.Option(
            help="sum or product: train architecture parameters with a soft latency loss instead of within the budget."
        ),
    ] = None,
    latency_weight: Annotated[
        float, typer.Option(help="Strength of the sum, exponent of the product, at the budget.", min=0)
    ] = 0.2,
    accuracy_predictor: Annotated[
        bool,
        typer.Option(
            "--accuracy-predictor",
            help="Score most candidates at random, learn quality from them, search over the prediction, and score the best.",
        ),
    ] = False,
    predicted: Annotated[int, typer.Option(help="Evaluations of each search over predicted quality.", min=1)] = 2000,
    evaluations: Annotated[int, typer.Option(help="Candidates to score.", min=1)] = 100,
    finalists: Annotated[int, typer.Option(help="Best candidates to measure and to train.", min=1)] = 9,
    halving_steps: Annotated[
        int,
        typer.Option(
            help="Steps that each finalist is trained; the best third then three times as long, and so on. 0 for none.",
            min=0,
        ),
    ] = 150,
    max_measurements: Annotated[int, typer.Option(help="Real measurements to decide doubtful candidates.", min=0)] = 30,
    min_use: Annotated[
        float, typer.Option(help="Share of the budget that candidates are to use at least; 0 for any.")
    ] = 0.9,
    score_images: Annotated[int, typer.Option(help="Training images a candidate is scored on.", min=1)] = 600,
    train_steps: Annotated[
        int, typer.Option(help="Steps that the winner is trained, and the baseline as many.", min=1)
    ] = 1500,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    learning_rate: Annotated[float, typer.Option()] = 2e-3,
    inherit: Annotated[
        bool,
        typer.Option("--inherit", help="Go on from the supernet's weights; the baseline is trained longer for it."),
    ] = False,
    train_resolution: Annotated[str, typer.Option(help="Size of training images N or HxW; default the space's.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/search"),
    time_limit: Annotated[
        float | None,
        typer.Option(help="Seconds after which no more candidates are scored, killed runs counted.", min=0),
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's event files.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx/--no-onnx", help="Write the winner as ONNX too.")] = True,
    relative_error: options.ErrorOption = 0.01,
    lock_timeout: options.LockOption = None,
    device: options.DeviceOption = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Begin anew: delete the search that was finished or begun in the folder.")
    ] = False,
    seed: options.SeedOption = 0,
    json: options.JsonOption = False,
) -> None:
    """Search a supernet under a hard latency budget; the winner is measured, trained, exported and compared.

    With --backbone candidates are cells of the predictor's space, each trained for --proxy-steps on its features.
    Killed or stopped, the same command goes on. Exit code 1 where the winner's upper bound is above the budget.
    """
    from latlas.latency.fitting.adapt import require_here
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.search.report.headline import all_fit_text, headline, what_settles
    from latlas.search.report.page import accuracy_text, comparison_rows
    from latlas.search.report.tensorboard import Progress, TensorBoard
    from latlas.search.run.config import Listener, SearchConfig, require_searchable
    from latlas.search.run.folder import RESULT, SUPERNET, discard
    from latlas.search.run.pipeline import search as run
    from latlas.search.run.proxy import ProxyConfig
    from latlas.search.strategies.loop import History
    from latlas.supernet.backbone.backbone_file import backbone_kind
    from latlas.supernet.data.augment import Augmentation
    from latlas.supernet.networks.weights_file import load_supernet, read_metadata
    from latlas.supernet.training.train import TrainConfig

    if pareto and strategy not in ("evolution", *FRONT_STRATEGIES):
        raise UsageError(
            f"--pareto is searched by {' or '.join(FRONT_STRATEGIES)}, not by {strategy}; leave out one of both"
        )
    if pareto and accuracy_predictor:
        raise UsageError("--pareto and --accuracy-predictor do not go together; leave out one of both")
    chosen = FRONT_STRATEGIES[0] if pareto and strategy not in FRONT_STRATEGIES else strategy
    budget = None if budget_ms == "auto" else options.number_of(budget_ms, "--budget-ms")
    if (out / RESULT).exists() and not force:
        raise UsageError(f"{out} holds a finished search; choose another folder, or --force to replace it")
    saved = load_predictor(predictor)
    environment = saved.environment
    if backbone is None:
        weights, trained = load_supernet(supernet), read_metadata(supernet)
        space = weights.space
    else:
        backbone_kind(backbone)  # read whole when the images are there
        space, trained = proxy_options.predictors_space(saved.space_text), {}
        proxy = ProxyConfig(proxy_steps, copies, pruner, from_nothing)
    saved.require(space.text)
    require_here(environment, "search with this predictor here")  # before data is loaded and anything measured
    require_searchable(environment.precision, environment.batch)
    options.require_writable(out)
    height, width = space.input_shape()[1:]
    config = SearchConfig(
        budget_ms=budget,
        baseline=baseline or ("mobilenetv3_large" if space.is_baseline("mobilenetv3_large") else "aspp"),
        rivals=tuple(options.listed(rivals)) if rivals else (),
        strategy=chosen,
        evaluations=evaluations,
        finalists=finalists,
        halving_steps=halving_steps,
        max_measurements=max_measurements,
        min_use=min_use,
        seed=seed,
        score_images=score_images,
        supernet_steps=int(trained.get("steps", 0)),
        supernet_size=(int(trained["height"]), int(trained["width"])) if {"height", "width"} <= set(trained) else None,
        inherit=inherit,
        train=TrainConfig(
            steps=train_steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, device=device
        ),
        time_limit_s=time_limit,
        arch_steps=arch_steps,
        arch_learning_rate=arch_learning_rate,
        arch_training=arch_training,
        weight_learning_rate=weight_learning_rate,
        latency_loss=latency_loss,
        latency_weight=latency_weight,
        storage=storage,
        study=study,
        near_share=near_share,
        accuracy_predictor=accuracy_predictor,
        predicted=predicted,
        onnx=onnx,
    )
    if config.alternating and supernet.resolve() == (out / SUPERNET).resolve():
        raise UsageError(f"{supernet} is where the trained copy would be written; choose another --out")
    training = options.data_of(data, "train", *options.size_of(train_resolution, (height, width)), images, seed)
    validation = options.data_of(data, "val", height, width, max(64, images // 10), seed, keep_native=True)
    if backbone is not None:
        proxy_options.note_resolution(training, validation)
    if force and (left := discard(out)):
        note(
            f"beginning anew: {', '.join(left)} of an earlier search in {out} {'is' if len(left) == 1 else 'are'} deleted"
        )
    scored_by = (
        weights
        if backbone is None
        else proxy_options.proxy_task(backbone, space, training, cache, cache_limit_gb, proxy, seed)
    )
    with ExitStack() as stack:
        bar = stack.enter_context(bar_of("search"))
        board = stack.enter_context(TensorBoard(tensorboard)) if tensorboard is not None else None

        def on_candidate(history: History, constraint: Any) -> None:
            bar(len(history.candidates), evaluations, Progress.of(history, constraint).line())
            if board is not None:
                board.on_candidate(history, constraint)

        def on_training(name: str, progress: Any) -> None:
            bar(progress.step, progress.steps, f"training {name}, loss {progress.loss:.3f}", progress.eta_s)
            if board is not None:
                board.on_training(name, progress)

        def on_architecture_step(step: Any) -> None:
            bar(step.step + 1, arch_steps, f"training architecture parameters, loss {step.loss:.3f}")
            if board is not None:
                board.on_architecture_step(step)

        listener = Listener(note, on_candidate, on_training, on_architecture_step)
        result = run(
            saved,
            scored_by,
            training,
            validation,
            out,
            options.setting_of(environment.precision, environment.threads or 1, relative_error, seed),
            config,
            Augmentation(),
            listener,
            data,
        )
    print_result(
        result,
        json,
        lambda: [
            headline(result),
            *filter(None, [*what_settles(result), all_fit_text(result)]),
            f"{result['architecture']}",
            f"budget {result['budget_ms']:.3f} ms, {result['evaluated']} candidates, {result['filtered']} dropped, "
            f"{result['unused']} passed over, "
            f"{result['measured']} measured to decide, {result['false_accepts']} false accepts",
            *aligned(comparison_rows(result)),
            *([f"{len(result['front'])} networks on the front, in the report"] if result["front"] else []),
            *filter(None, [accuracy_text(result["accuracy_predictor"])]),
            f"model {result['model']}, report {result['report']}",
        ],
    )
    if not result["certified"]:
        raise typer.Exit(LatlasError.exit_code)
