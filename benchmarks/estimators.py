"""Which estimator repeats best, and how many compiles and processes an entry needs: the experiment behind the stopwatch.

    python benchmarks/estimators.py --reference operator --networks 8 --processes 8 [--raw rounds.json]
    python benchmarks/estimators.py --analyse rounds.json

Each of several timing processes compiles the reference anew a few times and, with each, the same networks a few times, in
random order. For each compile two equally long blocks are recorded: rounds of reference, candidate, candidate, reference; and
the candidate alone, back to back. So every estimator sees the same minutes and has the same time. Prints JSON:

`blocks`: how much two blocks of one network differ, relative: the two halves of one block; after a recompile; with another
compile of the reference; in another process. `entries`: the same of two whole entries, made of blocks of disjoint processes,
at equal time: few long passes or many short ones, compiling and warming up counted. `scatter`: the standard deviation of the
logarithm of the ratio of minima that each level adds, common to all networks of a process or of a reference's compile, and
the network's own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.arrays import FloatArray
from latlas.files.lock import timing_lock
from latlas.latency.machine.environment import StealMeter, machine_state
from latlas.latency.measuring.stopwatch import trimmed_mean
from latlas.latency.measuring.worker import Host, sampler
from latlas.latency.runtime import conversion, stitching
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.reference import reference_of
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.sampling import draw
from latlas.supernet.operators.build import timing_operator

Block = dict[str, Any]


def record(request: dict[str, Any]) -> None:
    """The child: one line of JSON a compile, on standard output."""
    host = Host(runtime.CompileOptions(threads=request["threads"]))
    rng = np.random.default_rng(request["seed"])
    reference = reference_of(request["reference"])
    for reference_index in range(request["references"]):
        run_reference = sampler(host.compile(stitching.reference_model(reference)), 1)
        order = [(n, c) for c in range(request["compiles"]) for n in range(len(request["networks"]))]
        for position in rng.permutation(len(order)):
            network, compile_index = order[position]
            candidate = host.compile_request(request["networks"][network])
            run, alone = sampler(candidate, 2), sampler(candidate, 8)
            at = time.time()
            rounds: list[list[float]] = []
            plain: list[float] = []
            until = time.perf_counter() + request["seconds"]
            before = run_reference()[0]
            while time.perf_counter() < until or len(rounds) < 12:
                pair, after = run(), run_reference()[0]
                rounds.append([before, *pair, after])
                before = after
            until = time.perf_counter() + request["seconds"]
            while time.perf_counter() < until or len(plain) < 24:
                plain += alone()
            block = {
                "process": request["process"], "reference": reference_index, "compile": compile_index,
                "network": network, "at": at, "rounds": np.round(rounds, 5).tolist(), "plain": np.round(plain, 5).tolist(),
            }  # fmt: skip
            print(json.dumps(block), flush=True)


def collect(arguments: argparse.Namespace) -> list[Block]:
    """The blocks of all processes, one after the other."""
    blocks = []
    space, rng = PortraitSpace(), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, timing_lock():
        library = conversion.OperatorLibrary(Path(folder), timing_operator)
        if arguments.reference == "operator":
            specs = space.specs()
            chosen = [specs[int(i)] for i in np.linspace(0, len(specs) - 1, arguments.networks)]
            networks: list[dict[str, Any]] = [{"file": str(library.path(spec))} for spec in chosen]
        else:
            graphs = [draw(space, rng).graph() for _ in range(arguments.networks)]
            networks = [{"graph": library.describe(graph)} for graph in graphs]
        for process in range(arguments.processes):
            request = {
                "networks": networks, "process": process, "seed": process, "references": arguments.references,
                "compiles": arguments.compiles, "seconds": arguments.seconds, "threads": arguments.threads,
                "reference": arguments.reference,
            }  # fmt: skip
            command = [sys.executable, "-P", __file__, "--child"]
            done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=True)
            blocks += [json.loads(line) for line in done.stdout.splitlines()]
            print(f"process {process + 1} of {arguments.processes}", file=sys.stderr)
    return blocks


Samples = tuple[FloatArray, FloatArray, FloatArray]
"""Reference `(rounds + 1,)`, candidate `(rounds, 2)` in turn with it, candidate alone `(runs,)`, in milliseconds."""


def _kept(reference: FloatArray) -> npt.NDArray[np.bool_]:
    """Rounds whose brackets lie within 8 % of the reference's low quantile; all rounds if fewer than six do."""
    kept = np.maximum(reference[:-1], reference[1:]) <= 1.08 * np.quantile(reference, 0.1)
    return kept if kept.sum() >= 6 else np.ones(len(kept), dtype=bool)


def _pair_ratios(reference: FloatArray, times: FloatArray) -> FloatArray:
    return times.mean(axis=1) / (reference[:-1] + reference[1:]) * 2


ESTIMATORS: dict[str, Callable[[Samples], float]] = {
    "plain median": lambda s: float(np.median(s[2])),
    "plain minimum": lambda s: float(s[2].min()),
    "plain 10 % quantile": lambda s: float(np.quantile(s[2], 0.1)),
    "median of pair ratios": lambda s: float(np.median(_pair_ratios(s[0], s[1]))),
    "ratio of medians": lambda s: float(np.median(s[1]) / np.median(s[0])),
    "burst-rejecting pairs": lambda s: float(np.median(_pair_ratios(s[0], s[1])[_kept(s[0])])),
    "burst-rejecting smaller of pairs": lambda s: float(
        np.median((s[1].min(axis=1) / np.minimum(s[0][:-1], s[0][1:]))[_kept(s[0])])
    ),
    "ratio of 30 % quantiles": lambda s: float(np.quantile(s[1], 0.3) / np.quantile(s[0], 0.3)),
    "ratio of 10 % quantiles": lambda s: float(np.quantile(s[1], 0.1) / np.quantile(s[0], 0.1)),
    "ratio of minima": lambda s: float(s[1].min() / s[0].min()),
}


def samples(block: Block, share: float = 1.0, at: float = 0.0) -> Samples:
    """A block's samples, or a share of them that begins `at` of the rest."""
    rounds, plain = np.array(block["rounds"]), np.array(block["plain"])
    length, alone = max(6, round(share * len(rounds))), max(12, round(share * len(plain)))
    first, begin = round(at * max(0, len(rounds) - length)), round(at * max(0, len(plain) - alone))
    part = rounds[first : first + length]
    return np.append(part[:, 0], part[-1, 3]), part[:, 1:3], plain[begin : begin + alone]


def figures(differences: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and worst, in per cent."""
    return {
        "median": round(100 * float(np.median(differences)), 2),
        "p95": round(100 * float(np.quantile(differences, 0.95)), 2),
        "worst": round(100 * max(differences), 2),
    }


def difference(a: float, b: float) -> float:
    """Relative."""
    return abs(a - b) / ((a + b) / 2)


def compare_blocks(blocks: Sequence[Block]) -> dict[str, Any]:
    """For each estimator, the differences of two blocks of one network, by what separates the blocks."""
    result = {}
    for name, estimate in ESTIMATORS.items():
        values = [estimate(samples(block)) for block in blocks]
        found: dict[str, list[float]] = {"half": [], "recompile": [], "reference": [], "process": []}
        found["half"] = [difference(*(estimate(samples(block, 0.5, at)) for at in (0.0, 1.0))) for block in blocks]
        for i, j in combinations(range(len(blocks)), 2):
            a, b = blocks[i], blocks[j]
            if a["network"] == b["network"]:
                level = "process" if a["process"] != b["process"] else "reference"
                level = "recompile" if level == "reference" and a["reference"] == b["reference"] else level
                found[level].append(difference(values[i], values[j]))
        result[name] = {level: figures(differences) for level, differences in found.items() if differences}
    return result


def compare_entries(
    blocks: Sequence[Block], seconds: float, overhead: float, budget: float, tries: int
) -> dict[str, Any]:
    """For each estimator and length of a pass the differences of two entries of equal time, of disjoint processes."""
    rng = np.random.default_rng(0)
    by: defaultdict[tuple[int, int], list[Block]] = defaultdict(list)
    for block in blocks:
        by[block["network"], block["process"]].append(block)
    processes = sorted({process for _, process in by})
    result: dict[str, Any] = {}
    for share in (1.0, 0.5, 0.25):
        count = max(1, int(budget / (share * seconds + overhead)))
        for name, estimate in ESTIMATORS.items():
            differences = []
            for network in sorted({network for network, _ in by}):
                for _ in range(tries):
                    order, half = rng.permutation(processes), len(processes) // 2
                    entries = []
                    for group in (order[:half], order[half:]):
                        pool = [block for process in group for block in by[network, process]]
                        chosen = rng.permutation(len(pool))[:count]
                        entries.append(trimmed_mean([estimate(samples(pool[i], share, rng.random())) for i in chosen]))
                    differences.append(difference(*entries))
            result.setdefault(f"{count} passes of {share * seconds:g} s", {})[name] = figures(differences)
    return result


def scatter(blocks: Sequence[Block]) -> dict[str, float]:
    """Standard deviations, in per cent, of the log ratio of minima by level."""
    keys = ("network", "process", "reference", "compile")
    axes = [sorted({block[key] for block in blocks}) for key in keys]
    cube = np.full([len(axis) for axis in axes], np.nan)
    for block in blocks:
        cube[tuple(axis.index(block[key]) for axis, key in zip(axes, keys, strict=True))] = np.log(
            ESTIMATORS["ratio of minima"](samples(block))
        )
    cube = cube - cube.mean(axis=(1, 2, 3), keepdims=True)
    process = cube.mean(axis=(0, 2, 3), keepdims=True)
    reference = cube.mean(axis=(0, 3), keepdims=True) - process
    network_process = cube.mean(axis=(2, 3), keepdims=True) - process
    network_reference = cube.mean(axis=3, keepdims=True) - network_process - process - reference
    compiles = cube - cube.mean(axis=3, keepdims=True)
    correction = np.sqrt(len(axes[3]) / max(1, len(axes[3]) - 1))
    levels = {
        "process": process, "reference": reference, "network in process": network_process,
        "network with reference": network_reference, "compile": compiles * correction,
    }  # fmt: skip
    return {level: round(100 * float(values.std()), 2) for level, values in levels.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", choices=("operator", "network"), default="operator")
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--references", type=int, default=3)
    parser.add_argument("--compiles", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a block")
    parser.add_argument("--overhead", type=float, default=0.06, help="seconds to compile and warm up, in `entries`")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of an entry, in `entries`")
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--raw", type=Path, help="keep what was measured here")
    parser.add_argument("--analyse", type=Path, help="what was measured before; nothing is measured")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        record(json.loads(sys.stdin.readline()))
        return
    steal, started = StealMeter(), time.perf_counter()
    blocks = json.loads(arguments.analyse.read_text()) if arguments.analyse else collect(arguments)
    if arguments.raw:
        arguments.raw.write_text(json.dumps(blocks))
    result = {
        "networks": len({block["network"] for block in blocks}),
        "blocks_recorded": len(blocks),
        "blocks": compare_blocks(blocks),
        "entries": compare_entries(blocks, arguments.seconds, arguments.overhead, arguments.budget, arguments.tries),
        "scatter": scatter(blocks),
        "openvino": runtime.openvino_version(),
        "stolen_share": None if arguments.analyse else steal.read(),
        "load_1m": machine_state().load_1m,
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
