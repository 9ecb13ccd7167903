"""Ours against OpenVINO's own `benchmark_app` on exported IR, run in turn.

    python benchmarks/agreement.py runs/demo/winner.xml runs/demo/baseline.xml [--turns 5]

Each turn runs `benchmark_app -hint none -api sync -nireq 1 -nstreams 1 -nthreads 1` and `latlas measure` on each model.
Prints JSON with the median of both and their ratio, turn by turn.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path


def benchmark_app(model: Path, seconds: int, threads: int) -> float:
    """Median milliseconds of `benchmark_app`."""
    command = [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none",
        "-nireq", "1", "-nstreams", "1", "-nthreads", str(threads), "-infer_precision", "f32", "-t", str(seconds),
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Median:\s+([\d.]+) ms", output)
    if found is None:
        sys.exit(f"benchmark_app printed no median:\n{output[-2000:]}")
    return float(found[1])


def latlas_measure(model: Path, threads: int) -> float:
    """Milliseconds of `latlas measure`."""
    command = [sys.executable, "-m", "latlas.cli", "measure", str(model), "--threads", str(threads), "--json"]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["latency_ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    for model in arguments.models:
        turns = [
            (latlas_measure(model, arguments.threads), benchmark_app(model, arguments.seconds, arguments.threads))
            for _ in range(arguments.turns)
        ]
        ours, theirs = zip(*turns, strict=True)
        ratios = [a / b for a, b in turns]
        rows.append(
            {
                "model": str(model),
                "latlas_ms": statistics.median(ours),
                "benchmark_app_ms": statistics.median(theirs),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
        )
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
