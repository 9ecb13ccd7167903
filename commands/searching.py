"""`search`."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from latlas.api.data import load_data
from latlas.api.keywords import keywords
from latlas.api.search import SearchOptions
from latlas.commands import options
from latlas.commands.output import aligned, bar_of, note, print_result, trouble_lines
from latlas.commands.parsing.command_line import with_options
from latlas.commands.search_options import SearchInputs
from latlas.errors import LatlasError, UsageError
from latlas.search.proxy_config import ProxyConfig
from latlas.search.strategies.names import FRONT_STRATEGIES

if TYPE_CHECKING:
    from latlas.search.run.search_run import Listener


@with_options
def search(
    inputs: SearchInputs,
    asked: SearchOptions,
    proxy: ProxyConfig,
    json: options.JsonOption = False,
) -> None:
    """Search a supernet under a hard latency budget; the winner is trained, exported and measured.

    It is compared with a baseline that is trained equally long. With --backbone candidates are cells of the predictor's space,
    each trained for --proxy-steps on its features.
    The same command goes on with a search that was killed or stopped. The exit code is 1 if the winner's upper bound is above
    the budget.
    """
    from latlas.api import search as library

    if inputs.pareto and asked.strategy != "evolution" and not asked.front:
        raise UsageError(
            f"--pareto is searched by {' or '.join(FRONT_STRATEGIES)}, not by {asked.strategy}; leave out one of both"
        )
    if inputs.pareto and asked.accuracy_predictor:
        raise UsageError("--pareto and --accuracy-predictor do not go together; leave out one of both")
    if inputs.pareto and not asked.front:
        asked = replace(asked, strategy=FRONT_STRATEGIES[0])
    with ExitStack() as stack:
        asked = replace(
            asked,
            supernet=inputs.supernet,
            data=load_data(inputs.data, images=inputs.images, mask_values=inputs.mask_values, seed=asked.seed),
            proxy=proxy,
            on_note=note,
            listener=partial(_listener, stack, asked, inputs.tensorboard),
        )
        result = library.search(inputs.predictor, **keywords(asked))
    print_result(result, json, lambda: _lines(result))
    if not result["certified"]:
        raise typer.Exit(LatlasError.exit_code)


def _listener(stack: ExitStack, asked: SearchOptions, tensorboard: Path | None) -> Listener:
    """A listener for each step, with a bar and, if asked for, TensorBoard; the stack closes both."""
    from latlas.search.report.tensorboard import Standing, TensorBoard
    from latlas.search.run.search_run import Listener
    from latlas.search.strategies.loop import History

    bar = stack.enter_context(bar_of("search"))
    board = stack.enter_context(TensorBoard(tensorboard)) if tensorboard is not None else None
    began: list[float] = []  # set with the first candidate; before it there are measurements

    def on_candidate(history: History, constraint: Any) -> None:
        scored, line = len(history.candidates), Standing.of(history, constraint).line()
        began.append(time.monotonic())
        left_s = (asked.evaluations - scored) * (began[-1] - began[0]) / (scored - 1) if scored > 1 else None
        bar(scored, asked.evaluations, line, left_s, "scoring candidates")
        if board is not None:
            board.on_candidate(history, constraint)

    def on_training(name: str, progress: Any) -> None:
        bar(progress.step, progress.steps, f"loss {progress.loss:.3f}", progress.eta_s, f"training the {name}")
        if board is not None:
            board.on_training(name, progress)

    def on_architecture_step(step: Any) -> None:
        what = "training architecture parameters"
        bar(step.step + 1, asked.arch_steps, f"loss {step.loss:.3f}", None, what)
        if board is not None:
            board.on_architecture_step(step)

    def on_measuring(progress: Any) -> None:
        bar(progress.done, progress.total, "", progress.eta_seconds, "measuring")

    return Listener(note, on_candidate, on_training, on_architecture_step, on_measuring)


def _lines(result: dict[str, Any]) -> list[str]:
    """The lines of a search's result."""
    from latlas.search.report.headline import all_fit_text, headline, what_settles
    from latlas.search.report.page import accuracy_text, comparison_rows

    return [
        headline(result),
        *trouble_lines(result["machine_warnings"]),
        *filter(None, [*what_settles(result), all_fit_text(result)]),
        f"{result['architecture']}",
        f"budget {result['budget_ms']:.3f} ms, {result['evaluated']} candidates, {result['filtered']} dropped, "
        f"{result['unused']} passed over, "
        f"{result['measured']} measured to decide, {result['false_accepts']} false accepts",
        *aligned(comparison_rows(result)),
        *([f"{len(result['front'])} networks on the front, in the report"] if result["front"] else []),
        *filter(None, [accuracy_text(result["accuracy_predictor"])]),
        f"model {result['model']}, report {result['report']}",
    ]
