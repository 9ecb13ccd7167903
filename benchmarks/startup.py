"""How long a command takes to answer, over `python -c "import numpy"`, in turn in one run.

    python benchmarks/startup.py [--python OTHER/.venv/bin/python] [--predictor DIR] [--table TABLE.parquet] [--rounds 7]

Each `--python` is the interpreter of another checkout. Its commands run in turn with this one's, so that a busy machine slows
both. Prints JSON: for each interpreter and command the median seconds, and the median over numpy's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

NUMPY = "import numpy"


def seconds(command: list[str], folder: str) -> float:
    """The seconds that a process takes."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - started


def commands(predictor: Path | None, table: Path | None) -> dict[str, list[str]]:
    """The command lines that are timed, by name."""
    found = {
        "--help": ["--help"],
        "wrong option": ["search", "--straregy", "x"],
        "wrong space": ["profile-ops", "--space", "portrai"],
        "wrong precision": ["profile-ops", "--precision", "fp32"],
        "dry run": ["profile-ops", "--dry-run"],
    }
    if table is not None:
        found["tables show"] = ["tables", "show", str(table.resolve())]
    if predictor is not None:
        where = str(predictor.resolve())
        found["predictor show"] = ["predictor", "show", where]
        found["predict"] = ["predict", "--predictor", where, "--random", "1"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, action="append", default=[])
    parser.add_argument("--predictor", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    # An interpreter of an environment is a link: to resolve it would leave the environment.
    pythons = [Path(sys.executable), *(one.absolute() for one in arguments.python)]
    lines = {
        (str(python), name): [str(python), "-P", "-m", "latlas.cli", *words]
        for name, words in commands(arguments.predictor, arguments.table).items()
        for python in pythons
    }
    lines |= {(str(python), NUMPY): [str(python), "-P", "-c", NUMPY] for python in pythons}
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in lines}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for key, line in lines.items():
                taken[key].append(seconds(line, folder))
    base = {str(python): median(taken[str(python), NUMPY]) for python in pythons}
    found = [
        {"python": python, "command": name, "seconds": median(times), "over_numpy": median(times) / base[python]}
        for (python, name), times in taken.items()
    ]
    print(json.dumps({"rounds": arguments.rounds, "commands": found}, indent=1))


if __name__ == "__main__":
    main()
