"""The timing process's networks: built of files as they are asked for, all with the same options."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from latlas.latency import model_file, runtime, stitching

COMPILES = 3
"""Networks compiled anew of which the median share counts: one that was interrupted must not decide."""
COUNT_SECONDS = 0.02
COUNT_RUNS = (30, 400)
"""How long nodes are timed after each compile, and at least and at most how many runs."""
CALL_RUNS = 300


class Host:
    """Fixed options for a process that compiles many networks; operator files are read once."""

    def __init__(self, options: runtime.CompileOptions) -> None:
        self._options = options
        self._operators: dict[str, Any] = {}
        self._call_us: float | None = None

    def compile(self, model: Any, perf_count: bool = False) -> runtime.Compiled:
        """The compiled model."""
        return runtime.Compiled(model, self._options, perf_count)

    def compile_request(self, request: Mapping[str, Any], perf_count: bool = False) -> runtime.Compiled:
        """The compiled network of a `Network.request()`: a model file, or operator files to be stitched."""
        if "file" in request:
            model = model_file.read(Path(request["file"]), request.get("shape"), request.get("batch") or 1)
            return self.compile(model, perf_count)
        keep = len(request["graph"]) > 1  # what stands alone is a whole network, of which there are many
        parts = [(self._operator(path, keep), tuple(inputs)) for path, inputs in request["graph"]]
        return self.compile(stitching.graft(parts), perf_count)

    def node_times(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Where a network's time goes, in `COMPILES` compiles with performance counters: see `boundary.inner_share`."""
        if self._call_us is None:
            call = self.compile(stitching.call_model())
            self._call_us = 1e3 * median(call.run() for _ in range(CALL_RUNS))
        samples = []
        for _ in range(COMPILES):
            compiled = self.compile_request(request, perf_count=True)
            started, times = time.perf_counter(), list[float]()
            least, most = COUNT_RUNS
            while len(times) < least or (time.perf_counter() - started < COUNT_SECONDS and len(times) < most):
                times.append(compiled.run())
            border, inner = compiled.node_times_us()
            samples.append({"border_us": border, "inner_us": inner, "wall_us": 1e3 * median(times)})
        return {"call_us": self._call_us, "samples": samples}

    def _operator(self, path: str, keep: bool) -> Any:
        if path in self._operators:
            return self._operators[path]
        model = runtime.core().read_model(path)
        if keep:
            self._operators[path] = model
        return model
