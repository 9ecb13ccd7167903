"""The timing process: it compiles and times one network for each request, and does nothing else.

`python -m latlas.latency.measuring.worker PARENT` reads one JSON object a line from standard input and answers in JSON
lines on the standard output that it was started with. It ends when the process PARENT ends. It is a separate process, so
that a compiler that hangs or dies costs one entry and not the run, and so that it loads nothing but OpenVINO and numpy.
Messages (`Bench` is the other side):

    <- {"options": {...}, "rule": {...}, "reference": "network"}             once, first
    -> {"event": "ready", "openvino": "2026.4.1", "reference": "network-2-..."}
    <- {"graph": [[file, [inputs]], ...]} or {"file": path, "shapes": [[1, 3, 256, 256]], "fills": ["noise 0..1"]},
       and in both {"fresh": true | false}: whether to compile the reference anew before; and {"quiet_ms": 0.47 | null}, its
       quiet level so far
    -> {"event": "compiled", "seconds": 0.1, "precision": "f32", "int8_share": 0.0}    as read back
    -> {"event": "pass", "reference": [5.1, ...], "times": [4.2, ...]}      milliseconds
    <- either with {"nodes": true}: where its time goes
    -> {"event": "nodes", "call_us": 6.4, "samples": [{"border_us": [...], "inner_us": [...], "wall_us": 44.9}, ...]}
    -> {"event": "error", "kind": "FileFormatError", "message": "..."}    in place of any
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TextIO

from latlas.errors import LatlasError
from latlas.files.records import one_line
from latlas.files.signals import end_with
from latlas.latency.measuring.stopwatch import StopRule, run_pass
from latlas.latency.runtime import model_file, stitching
from latlas.latency.runtime import plugin as runtime
from latlas.latency.runtime.reference import Reference, reference_of

COMPILES = 3
"""How often a network is compiled anew; the median share counts, so that one interrupted compile does not decide."""
COUNT_SECONDS = 0.02
COUNT_RUNS = (30, 400)
"""How long nodes are timed after each compile, and in how many runs at least and at most."""
CALL_RUNS = 300


class Host:
    """Compiles many networks with fixed options; operator files are read once."""

    def __init__(self, options: runtime.CompileOptions) -> None:
        self._options = options
        self._operators: dict[str, Any] = {}
        self._call_us: float | None = None

    def compile(self, model: Any, perf_count: bool = False, fills: Sequence[str] = ()) -> runtime.Compiled:
        """The compiled model with its inputs filled as `fills` says."""
        return runtime.Compiled(model, self._options, perf_count, fills)

    def compile_request(self, request: Mapping[str, Any], perf_count: bool = False) -> runtime.Compiled:
        """The compiled network of a `Network.request()`: a model file, or operator files stitched together."""
        if "file" in request:
            path, shapes = Path(request["file"]), request.get("shapes")
            model = model_file.reshaped(model_file.load(path), shapes, path) if shapes else model_file.read(path)
            return self.compile(model, perf_count, request.get("fills") or ())
        keep = len(request["graph"]) > 1  # a single file is a whole network; there are too many to keep
        parts = [(self._operator(path, keep), tuple(inputs)) for path, inputs in request["graph"]]
        return self.compile(stitching.graft(parts), perf_count)

    def node_times(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Where a network's time goes, from `COMPILES` compiles with performance counters; see `boundary.inner_share`."""
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


WARM_UP_SECONDS = 0.02
WARM_UP_RUNS = 3
CACHE_RUNS = 3
"""Runs before a sample that do not count, because the other network has filled the caches. After a reference of 7 MB, networks
of 4 to 7 ms took 3 % longer in the first run than back to back, 1.5 % in the second and 0.7 % in the third."""
CACHE_ENOUGH_MS = 50.0
"""After this time a network has filled the caches, however few runs it had."""
BLOCK_MS = 1.5
"""Networks faster than this run several times for each sample, which keeps the cost of clock and call small."""


def sampler(compiled: runtime.Compiled, samples: int) -> Callable[[], list[float]]:
    """A function that returns `samples` times in milliseconds an inference, back to back; warms up at once."""
    started, warm_up = time.perf_counter(), list[float]()
    while len(warm_up) < WARM_UP_RUNS or time.perf_counter() - started < WARM_UP_SECONDS:
        warm_up.append(compiled.run())
    least = max(min(warm_up), 1e-3)  # one interrupted run must not decide for all passes of a process
    repeats = max(1, min(100, round(BLOCK_MS / least)))
    cache_runs = min(CACHE_RUNS, max(1, round(CACHE_ENOUGH_MS / least)))

    def sample() -> list[float]:
        for _ in range(cache_runs):
            compiled.run()
        return [sum(compiled.run() for _ in range(repeats)) / repeats for _ in range(samples)]

    return sample


def reference_sampler(host: Host, reference: Reference) -> Callable[[], float]:
    """A function that returns milliseconds of the reference, which is compiled now: compiles differ by 0.4 to 1.2 %."""
    sample = sampler(host.compile(stitching.reference_model(reference)), 1)
    return lambda: sample()[0]


def candidate_sampler(compiled: runtime.Compiled) -> Callable[[], tuple[float, float]]:
    """A function that returns two times of a candidate in milliseconds, one right after the other."""
    sample = sampler(compiled, 2)

    def pair() -> tuple[float, float]:
        first, second = sample()
        return first, second

    return pair


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the input ends."""

    def answer(**record: Any) -> None:
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    first = json.loads(requests.readline())
    try:
        options, rule = runtime.CompileOptions(**first["options"]), StopRule(**first["rule"])
        host = Host(options)
        reference = reference_of(first["reference"])
        run_reference = reference_sampler(host, reference)
    except LatlasError as error:
        answer(event="error", kind=type(error).__name__, message=str(error))
        return
    answer(event="ready", openvino=runtime.openvino_version(), reference=reference.id)
    for line in requests:
        try:
            request = json.loads(line)
            if request.get("nodes"):
                answer(event="nodes", **host.node_times(request))
                continue
            if request.get("fresh"):
                run_reference = reference_sampler(host, reference)
            candidate = host.compile_request(request)
            told = candidate.read_back() if request.get("describe") else {}
            answer(event="compiled", seconds=candidate.compile_seconds, **told)
            quiet_ms = request.get("quiet_ms")
            done = run_pass(candidate_sampler(candidate), run_reference, rule, time.perf_counter, quiet_ms)
        except LatlasError as error:
            answer(event="error", kind=type(error).__name__, message=str(error))
        except RuntimeError as error:
            # OpenVINO's binding raises this for a network that it cannot compile or run.
            answer(event="error", kind="LatlasError", message=f"OpenVINO failed: {_said(error)}")
        else:
            answer(event="pass", reference=done.reference_times_ms, times=done.times_ms)


def _said(error: RuntimeError) -> str:
    """OpenVINO's message in one line, without the source locations that it begins with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception from ")] or lines
    return one_line(" ".join(dict.fromkeys(told)), 400) or type(error).__name__


def main() -> None:
    """Serve on a private copy of standard output, so that a library's printing cannot break the protocol."""
    if len(sys.argv) > 1:
        end_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
