"""`search`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import typer

from latlas.commands import options, search_options
from latlas.commands.output import aligned, bar_of, note, print_result, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.commands.search_options import SearchFiles, SearchMeasuring
from latlas.distribution import require_torch
from latlas.errors import LatlasError, UsageError
from latlas.files.places import require_file
from latlas.search.config import SearchConfig
from latlas.search.proxy_config import ProxyConfig
from latlas.search.strategies.names import FRONT_STRATEGIES


@with_options
def search(
    files: SearchFiles,
    config: SearchConfig,
    proxy: ProxyConfig,
    measuring: SearchMeasuring,
    json: options.JsonOption = False,
) -> None:
    """Search a supernet under a hard latency budget; the winner is trained, exported and measured.

    It is compared with a baseline that is trained as long. With --backbone candidates are cells of the predictor's space, each
    trained for --proxy-steps on its features.
    A search that was killed or stopped goes on with the same command. Exit code 1 where the winner's upper bound is above the
    budget.
    """
    if files.pareto and config.strategy != "evolution" and not config.front:
        raise UsageError(
            f"--pareto is searched by {' or '.join(FRONT_STRATEGIES)}, not by {config.strategy}; leave out one of both"
        )
    if files.pareto and config.accuracy_predictor:
        raise UsageError("--pareto and --accuracy-predictor do not go together; leave out one of both")
    if files.pareto and not config.front:
        config = replace(config, strategy=FRONT_STRATEGIES[0])
    out, seed = files.out, config.seed
    if files.backbone is None:
        require_file(files.supernet, "train one with `latlas train-supernet`, or give --backbone")
    require_torch("search")

    from latlas.files.lock import waiting_at_most
    from latlas.latency.fitting.adapt import require_here
    from latlas.latency.machine.trouble import listening
    from latlas.latency.predictor.predictor_file import load_predictor
    from latlas.search.optuna.storage import require_storage
    from latlas.search.report.headline import all_fit_text, headline, what_settles
    from latlas.search.report.page import accuracy_text, comparison_rows
    from latlas.search.report.tensorboard import Standing, TensorBoard
    from latlas.search.run.folder import RESULT, SUPERNET, discard
    from latlas.search.run.pipeline import search as run
    from latlas.search.run.prepare import require_baselines, require_searchable
    from latlas.search.run.score import SharedWeights
    from latlas.search.run.search_run import Listener, SearchTask
    from latlas.search.strategies.loop import History
    from latlas.supernet.backbone.backbone_file import backbone_kind
    from latlas.supernet.data.augment import Augmentation
    from latlas.supernet.data.checks import shared_images
    from latlas.supernet.networks.weights_file import load_supernet, read_metadata

    if (out / RESULT).exists() and not files.force:
        raise UsageError(f"{out} holds a finished search; choose another folder, or --force to replace it")
    require_storage(config)
    saved = load_predictor(files.predictor)
    environment = saved.environment
    if files.backbone is None:
        weights, trained = load_supernet(files.supernet), read_metadata(files.supernet)
        space = weights.space
    else:
        backbone_kind(files.backbone)  # read whole when the images are there
        space, trained = search_options.predictors_space(saved.space_text), {}
    saved.require(space.text)
    require_here(environment, "search with this predictor here")  # before data is loaded and anything measured
    require_searchable(environment.precision, environment.batch)
    require_storage(config, space)
    options.require_writable(out)
    height, width = space.input_shape()[1:]
    config = replace(
        config,
        baseline=config.baseline or space.default_baseline,
        supernet_steps=int(trained.get("steps", 0)),
        supernet_size=(int(trained["height"]), int(trained["width"])) if {"height", "width"} <= set(trained) else None,
    )
    require_baselines(space, config)
    if config.alternating and files.supernet.resolve() == (out / SUPERNET).resolve():
        raise UsageError(f"{files.supernet} is where the trained copy would be written; choose another --out")
    training = options.data_of(
        files.data,
        "train",
        *options.size_of(files.train_resolution, (height, width)),
        files.images,
        seed,
        mask_values=files.mask_values,
        sheet=out / "masks-train.png",
    )
    validation = options.data_of(
        files.data,
        "val",
        height,
        width,
        files.images,
        seed,
        keep_native=True,
        mask_values=files.mask_values,
        sheet=out / "masks-val.png",
    )
    if shared := shared_images(training, validation):
        note(f"warning: {shared}")
    if files.backbone is not None:
        search_options.note_resolution(training, validation)
    if files.force and (left := discard(out)):
        note(
            f"beginning anew: {', '.join(left)} of an earlier search in {out} {'is' if len(left) == 1 else 'are'} deleted"
        )
    scoring = (
        SharedWeights(weights)
        if files.backbone is None
        else search_options.proxy_task(files.backbone, space, training, files.cache, files.cache_limit_gb, proxy, seed)
    )
    with ExitStack() as stack:
        stack.enter_context(waiting_at_most(measuring.lock_timeout))
        bar = stack.enter_context(bar_of("search"))
        board = stack.enter_context(TensorBoard(files.tensorboard)) if files.tensorboard is not None else None

        began = time.monotonic()

        def on_candidate(history: History, constraint: Any) -> None:
            scored, line = len(history.candidates), Standing.of(history, constraint).line()
            left_s = (config.evaluations - scored) * (time.monotonic() - began) / scored
            bar(scored, config.evaluations, line, left_s, "scoring candidates")
            if board is not None:
                board.on_candidate(history, constraint)

        def on_training(name: str, progress: Any) -> None:
            bar(progress.step, progress.steps, f"loss {progress.loss:.3f}", progress.eta_s, f"training the {name}")
            if board is not None:
                board.on_training(name, progress)

        def on_architecture_step(step: Any) -> None:
            what = "training architecture parameters"
            bar(step.step + 1, config.arch_steps, f"loss {step.loss:.3f}", None, what)
            if board is not None:
                board.on_architecture_step(step)

        def on_measuring(progress: Any) -> None:
            bar(progress.done, progress.total, "", progress.eta_seconds, "measuring")

        listener = Listener(note, on_candidate, on_training, on_architecture_step, on_measuring)
        setting = options.setting_of(environment.precision, environment.threads or 1, measuring.relative_error, seed)
        task = SearchTask(saved, scoring, training, validation, setting, config, Augmentation(), files.data)
        with listening() as troubles:
            result = run(task, out, listener)
    result["machine_warnings"] = list(troubles)
    print_result(
        result,
        json,
        lambda: [
            *trouble_lines(troubles),
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
