"""`demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from latlas.commands import options
from latlas.commands.output import note
from latlas.errors import UsageError


def demo(out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/demo")) -> None:
    """The main job from nothing, in under a quarter of an hour, on drawn portraits; what is finished is not done again."""
    if len(str(out).split()) != 1:
        raise UsageError(f"--out is {str(out)!r}; the demo needs a path without blanks")
    options.require_writable(out)
    table, predictor, supernet = out / "table.parquet", out / "predictor", out / "supernet.safetensors"
    # At 128x128 and 2 % all of it takes a quarter of an hour on two cores; the commands' defaults are 256x256 and 1 %.
    steps = (
        (table, f"profile-ops --space portrait --resolution 128 --relative-error 0.02 --out {table}"),
        (predictor, f"fit-predictor --table {table} --subnets 70 --test 20 --relative-error 0.02 --out {predictor}"),
        (supernet, f"train-supernet --resolution 128 --images 1200 --steps 400 --out {supernet}"),
        (
            out / "result.json",
            f"search --predictor {predictor} --supernet {supernet} --images 1200 --budget-ms auto --evaluations 30 "
            f"--max-measurements 15 --finalists 8 --halving-steps 50 --train-steps 350 --relative-error 0.02 --out {out}",
        ),
    )
    for product, command in steps:
        if product.exists():
            note(f"{product} is there already, kept; delete it to make it anew")
            continue
        note(f"$ latlas {command}")
        code = subprocess.run([sys.executable, "-P", "-m", "latlas.cli", *command.split()], check=False).returncode
        if code:
            raise typer.Exit(code)
    typer.echo(f"{out / 'result.json'}, {out / 'report.html'}")
