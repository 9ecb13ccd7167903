"""`demo`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from latlas.commands import options
from latlas.commands.job import Job, Phase
from latlas.commands.output import note, part_of_a_whole, time_left_text
from latlas.errors import InterruptedRunError, LatlasError

SPACE = "portrait:resolution=64,widths=24.32.64.128,depths=1.3.3.2,operators=mbconv_k3.mbconv_k5,skip=true"
"""A space of 3,888 networks with four to nine inverted bottlenecks, about as fast as `mobilenetv3_small`. At this size a
network trains in half a minute."""
WHAT = (
    "a small demonstration on drawn portraits: 64x64 pixels, at most nine inverted bottlenecks, held against "
    "mobilenetv3_small, each trained for half a minute; no network to ship"
)
LEARNING_RATE = 8e-3
"""Four times the default of the commands, because these trainings are short."""
PLAN = (
    Phase("profile-ops", "converting operators", "other", 58, 4, quiet_seconds=3),
    Phase("profile-ops", "measuring operators", "measuring", 174, 33, quiet_seconds=2),
    Phase("profile-ops", "measuring borders", "measuring", 58, 9),
    Phase("fit-predictor", "measuring subnets", "measuring", 96, 29, quiet_seconds=5),
    Phase("train-supernet", "training the supernet", "training", 250, 12, quiet_seconds=8),
    Phase("search", "scoring candidates", "training", 20, 8, quiet_seconds=9),
    Phase("search", "training the finalist", "training", 450, 20, parts=3),
    Phase("search", "training the winner", "training", 700, 32),
    Phase("search", "training the baseline", "training", 700, 32),
    Phase("search", "the last campaign and the report", "other", 1, 10),  # no bar has this title: it is left to the end
    Phase("search", "measuring", "measuring", 110, 42, quiet_seconds=3, parts=5, interleaved=True),
)
"""The unit of each bar, and the seconds that it takes on two quiet cores of an AMD EPYC."""


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo"),
    seed: options.SeedOption = 0,
) -> None:
    """The main job from nothing in about five minutes: a small search on drawn portraits.

    It profiles operators, fits a predictor, trains a supernet and searches it. Finished parts are not done again. The exit code
    is 1 if the network is not certified to be within the budget.
    """
    options.require_writable(out)
    job = Job(PLAN)
    said = time_left_text(job.seconds_left()).removesuffix(" left")
    note(f"this is {WHAT}; it takes about {said} on two quiet cores, in {out}")
    again = shlex.join(["latlas", "demo", "--out", str(out), *(["--seed", str(seed)] if seed else [])])
    for product, words in commands(out, seed):
        if product.exists():
            note(f"{product} is there already, kept; delete it to make it anew")
            continue
        note(f"$ {shlex.join(['latlas', *words])}")
        job.begin(words[0])
        with part_of_a_whole(job.time_left):
            code = _run(context, words, again)
        if not product.exists():
            raise typer.Exit(code or LatlasError.exit_code)
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    typer.echo(f"{out / 'result.json'}, {out / 'report.html'}; this was {WHAT}")
    if not result["certified"]:
        raise typer.Exit(LatlasError.exit_code)


def commands(out: Path, seed: int = 0) -> list[tuple[Path, list[str]]]:
    """The commands of the demo, each with the path that it makes."""
    table, predictor, supernet = out / "table.parquet", out / "predictor", out / "supernet.safetensors"
    # At 5 % an operator or a subnet has three short passes; the search's 1.5 % is what certifies its winner.
    # ONNX would take a tenth of the whole time.
    profile = ("profile-ops", "--space", SPACE, "--relative-error", 0.05, "--out", table)
    fit = (
        *("fit-predictor", "--table", table, "--subnets", 24, "--test", 8),
        *("--relative-error", 0.05, "--out", predictor),
    )
    training = ("--images", 1600, "--learning-rate", LEARNING_RATE)
    train = ("train-supernet", "--space", SPACE, *training, "--steps", 250, "--out", supernet)
    search = (
        *("search", "--predictor", predictor, "--supernet", supernet, *training, "--budget-ms", "auto"),
        *("--baseline", "mobilenetv3_small", "--min-use", 0.85, "--evaluations", 20, "--score-images", 200),
        *("--max-measurements", 16, "--relative-error", 0.015, "--finalists", 3, "--halving-steps", 150),
        *("--train-steps", 700, "--no-onnx", "--out", out),
    )
    made: list[tuple[Path, tuple[object, ...]]] = [
        (table, profile),
        (predictor, fit),
        (supernet, train),
        (out / "result.json", search),
    ]
    return [(product, [*map(str, words), "--seed", str(seed)]) for product, words in made]


def _run(context: typer.Context, words: list[str], again: str) -> int:
    """Run one command in this process and return its exit code. An interrupt reaches it as if it ran alone.

    Raises an `InterruptedRunError` that says how to go on if the command was stopped.
    """
    import torch

    root = context.find_root()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks as small as these wait longer for a second thread than it saves them
    try:
        code = root.command.main(words, prog_name="latlas", standalone_mode=False, obj=root.obj)
    except InterruptedRunError as error:
        note(f"{words[0]}: {error}")
        code = STOPPED
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    finally:
        torch.set_num_threads(threads)
    if code in (STOPPED, InterruptedRunError.exit_code):
        raise InterruptedRunError(
            f"the demo was stopped during {words[0]}; what is finished is kept, and `{again}` goes on from there"
        )
    return int(code or 0)


STOPPED = 130
"""Typer's exit code for Ctrl-C."""
