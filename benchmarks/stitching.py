"""Building and compiling subnets: stitched from operators converted once, against converting each whole subnet.

    python benchmarks/stitching.py [--subnets 10]

Prints JSON with seconds a subnet of each and their ratio, subnet by subnet in turn in one process. The one-off
conversion of the operators is stated beside it, not hidden.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from latlas.latency.runtime import conversion
from latlas.latency.runtime import plugin as runtime
from latlas.spaces.portrait import PortraitSpace
from latlas.supernet.networks.network import Subnet
from latlas.supernet.operators.build import timing_operator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subnets", type=int, default=10)
    count = parser.parse_args().subnets
    space, options = PortraitSpace(), runtime.CompileOptions()
    architectures = space.sample(count, np.random.default_rng(0))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        library = conversion.OperatorLibrary(Path(folder), timing_operator)
        specs = {node.spec for a in architectures for node in a.graph()}
        started = time.perf_counter()
        for spec in specs:
            library.model(spec)
        once = time.perf_counter() - started
        for architecture in architectures:
            graph = architecture.graph()
            started = time.perf_counter()
            stitched = library.stitch(graph)
            built = time.perf_counter()
            first = runtime.Compiled(stitched, options)
            compiled = time.perf_counter()
            subnet = Subnet(graph, [timing_operator(node.spec) for node in graph])
            begun = time.perf_counter()
            converted = conversion.convert_module(subnet, [(1, *space.input_shape())])
            second = runtime.Compiled(converted, options)
            ended = time.perf_counter()
            image = np.random.default_rng(1).random((1, *space.input_shape()), dtype=np.float32)
            difference = float(abs(first.infer(image) - second.infer(image)).max())
            rows.append((built - started, compiled - built, ended - begun, difference))
    stitch, compile_seconds, convert, differences = (list(column) for column in zip(*rows, strict=True))
    ours = [a + b for a, b in zip(stitch, compile_seconds, strict=True)]
    print(
        json.dumps(
            {
                "subnets": count,
                "openvino": runtime.openvino_version(),
                "stitch_s": statistics.median(stitch),
                "stitch_and_compile_s": statistics.median(ours),
                "convert_and_compile_s": statistics.median(convert),
                "ratio": statistics.median(c / o for c, o in zip(convert, ours, strict=True)),
                "operators_converted_once": len(specs),
                "operators_converted_once_s": once,
                "largest_output_difference": max(differences),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
