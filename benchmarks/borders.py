"""What borders cost: compares `boundary_ms` with chains of one operator, and int8 networks with stitched quantised operators.

    python benchmarks/borders.py --precision f32,bf16,int8 [--passes 6] [--subnets 6]

An operator that keeps its shape is chained with itself: the second and third add no borders and no call of their own. Their
time is printed beside the isolated latency and `boundary_ms`. Each subnet is measured in three ways: quantised as a whole, as
it is shipped and as Latlas measures it; stitched from operators that were quantised one by one; and at f32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from latlas.latency.machine.environment import machine_state
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Bench, Network, network_of_graph
from latlas.latency.measuring.boundary import inner_share
from latlas.latency.runtime import conversion
from latlas.spaces.graph import INPUT, Graph, Node
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.portrait import PortraitSpace
from latlas.spaces.sampling import draw
from latlas.supernet.operators.build import timing_operator

OPERATORS = (
    OpSpec("mbconv", 40, 40, 32, 32, 1, 3, hidden_channels=240, squeeze_channels=64, activation="relu"),
    OpSpec("mbconv", 160, 160, 8, 8, 1, 5, hidden_channels=960, squeeze_channels=240, activation="hswish"),
    OpSpec("sepconv", 24, 24, 64, 64, 1, 3),
    OpSpec("dilconv", 80, 80, 16, 16, 1, 3, dilation=2),
    OpSpec("dilconv", 160, 160, 8, 8, 1, 3, dilation=2),
    OpSpec("shuffle", 40, 40, 32, 32),
    OpSpec("shuffle", 160, 160, 8, 8),
    OpSpec("dwsep", 32, 32, 64, 64, 1, 3),
)
"""Large and small ones of the default space."""
CHAIN = 3


def milliseconds(bench: Bench, networks: Sequence[Network], passes: int, seed: int) -> dict[str, float]:
    """Latencies by label, at one reference latency."""
    found = campaign.measure_all(bench, networks, passes=passes, max_passes=passes, seed=seed)
    reference_ms = campaign.reference_ms(list(found.values()))
    return {label: one.reading(bench.rule).ratio * reference_ms for label, one in found.items()}


def chain_of(spec: OpSpec, length: int) -> Graph:
    """The operator, chained this many times."""
    return tuple(Node(spec, (index - 1 if index else INPUT,)) for index in range(length))


def operators(precision: str, threads: int, passes: int, seed: int) -> list[dict[str, Any]]:
    """Isolated, boundary-corrected and chained latencies of `OPERATORS`."""
    with tempfile.TemporaryDirectory() as folder:
        library = conversion.OperatorLibrary(Path(folder), timing_operator, precision)
        networks = [
            network_of_graph(f"{length} {spec}", library.describe(chain_of(spec, length)))
            for spec in OPERATORS
            for length in (1, CHAIN)
        ]
        with Bench(precision=precision, threads=threads, reference="operator") as bench:
            found = milliseconds(bench, networks, passes, seed)
            files = {spec: Network(str(spec), file=str(library.path(spec))) for spec in OPERATORS}
            started = time.monotonic()
            shares = {spec: inner_share(bench.node_times(network)) for spec, network in files.items()}
            seconds = (time.monotonic() - started) / len(shares)
    rows = []
    for spec in OPERATORS:
        isolated = found[f"1 {spec}"]
        chained = (found[f"{CHAIN} {spec}"] - isolated) / (CHAIN - 1)
        corrected = isolated * shares[spec]
        rows.append(
            {
                "operator": str(spec),
                "precision": precision,
                "isolated_ms": isolated,
                "boundary_ms": corrected,
                "chained_ms": chained,
                "isolated_over_chained": isolated / chained,
                "boundary_over_chained": corrected / chained,
                "seconds_for_the_share": seconds,
            }
        )
    return rows


def subnets(count: int, threads: int, passes: int, seed: int) -> list[dict[str, Any]]:
    """Int8 subnets, quantised as a whole and stitched from quantised operators, and at f32."""
    if not count:
        return []
    graphs = [draw(PortraitSpace(), np.random.default_rng(seed + index)).graph() for index in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "int8").mkdir()
        plain = conversion.OperatorLibrary(Path(folder), timing_operator)
        quantised = conversion.OperatorLibrary(Path(folder) / "int8", timing_operator, "int8")
        networks, seconds = {"f32": list[Network](), "int8": list[Network]()}, []
        for index, graph in enumerate(graphs):
            networks["f32"].append(network_of_graph(f"f32 {index}", plain.describe(graph)))
            parts = [(str(quantised.path(node.spec)), list(node.inputs)) for node in graph]
            for node in graph:
                quantised._source.model(node.spec)  # type: ignore[union-attr]  # converted beside the clock
            started = time.monotonic()
            whole = quantised.describe(graph)
            seconds.append(time.monotonic() - started)
            networks["int8"].append(network_of_graph(f"whole {index}", whole))
            networks["int8"].append(network_of_graph(f"stitched {index}", parts))
        found: dict[str, float] = {}
        for precision, some in networks.items():
            with Bench(precision=precision, threads=threads) as bench:
                found |= milliseconds(bench, some, passes, seed)
    return [
        {
            "subnet": index,
            "f32_ms": found[f"f32 {index}"],
            "whole_ms": found[f"whole {index}"],
            "stitched_ms": found[f"stitched {index}"],
            "stitched_over_whole": found[f"stitched {index}"] / found[f"whole {index}"],
            "quantise_seconds": seconds[index],
        }
        for index in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="f32", help="several by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--subnets", type=int, default=0, help="int8 subnets to compare")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = [
        row
        for precision in filter(None, arguments.precision.split(","))
        for row in operators(precision, arguments.threads, arguments.passes, arguments.seed)
    ]
    networks = subnets(arguments.subnets, arguments.threads, arguments.passes, arguments.seed)
    print(
        json.dumps(
            {
                "isolated_over_chained": median(r["isolated_over_chained"] for r in rows) if rows else None,
                "boundary_over_chained": median(r["boundary_over_chained"] for r in rows) if rows else None,
                "boundary_error": median(abs(r["boundary_over_chained"] - 1) for r in rows) if rows else None,
                "stitched_over_whole": median(n["stitched_over_whole"] for n in networks) if networks else None,
                "operators": rows,
                "subnets": networks,
                "state": repr(machine_state()),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
