"""Compares `latlas measure` with OpenVINO's own `benchmark_app` on exported IR, run in turn.

    python benchmarks/agreement.py --subnets 10 [--turns 3]
    python benchmarks/agreement.py runs/demo/winner.xml runs/demo/baseline.xml

Each turn runs, model after model, `latlas measure` and `benchmark_app -hint none -api sync -nireq 1 -nstreams 1 -nthreads N`,
and the two take turns to be first. Prints JSON with the median of both over the turns, their ratio, and how many models agree
within 3 %.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from latlas.latency.machine.environment import StealMeter
from latlas.latency.runtime import conversion, model_file
from latlas.latency.runtime import plugin as runtime
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.sampling import draw
from latlas.supernet.operators.build import timing_operator


def benchmark_app(model: Path, seconds: int, threads: int, precision: str) -> float:
    """Median milliseconds of `benchmark_app`."""
    command = [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none",
        "-nireq", "1", "-nstreams", "1", "-nthreads", str(threads), "-infer_precision", precision, "-t", str(seconds),
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Median:\s+([\d.]+) ms", output)
    if found is None:
        sys.exit(f"benchmark_app printed no median:\n{output[-2000:]}")
    return float(found[1])


def latlas_measure(model: Path, threads: int, precision: str) -> float:
    """Milliseconds of `latlas measure`."""
    options = ["--threads", str(threads), "--precision", precision, "--json"]
    command = [sys.executable, "-m", "latlas.cli", "measure", str(model), *options]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["latency_ms"])


def exported(folder: Path, count: int, seed: int) -> list[Path]:
    """The IR files of random subnets of the default space."""
    rng, library = np.random.default_rng(seed), conversion.OperatorLibrary(folder, timing_operator)
    paths = []
    for index in range(count):
        paths.append(folder / f"subnet-{index}.xml")
        model_file.save(library.stitch(draw(PortraitSpace(), rng).graph()), paths[-1])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--subnets", type=int, default=10, help="where no model is given")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    how, steal = (arguments.threads, arguments.precision), StealMeter()
    with tempfile.TemporaryDirectory() as folder:
        models = arguments.models or exported(Path(folder), arguments.subnets, arguments.seed)
        ours: list[list[float]] = [[] for _ in models]
        theirs: list[list[float]] = [[] for _ in models]
        for turn in range(arguments.turns):
            for model, mine, other in zip(models, ours, theirs, strict=True):
                if turn % 2:
                    other.append(benchmark_app(model, arguments.seconds, *how))
                mine.append(latlas_measure(model, *how))
                if not turn % 2:
                    other.append(benchmark_app(model, arguments.seconds, *how))
    rows = [
        {
            "model": str(model) if arguments.models else model.stem,
            "latlas_ms": statistics.median(mine),
            "benchmark_app_ms": statistics.median(other),
            "ratio": statistics.median(a / b for a, b in zip(mine, other, strict=True)),
            "ratios": [a / b for a, b in zip(mine, other, strict=True)],
        }
        for model, mine, other in zip(models, ours, theirs, strict=True)
    ]
    ratios = [float(row["ratio"]) for row in rows]  # type: ignore[arg-type]
    result = {
        "models": rows,
        "median_ratio": statistics.median(ratios),
        "within_3_percent": sum(abs(ratio - 1) <= 0.03 for ratio in ratios) / len(ratios),
        "threads": arguments.threads,
        "precision": arguments.precision,
        "openvino": runtime.openvino_version(),
        "stolen_share": steal.read(),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
