"""The timing process: compiles and times one network a request, and holds nothing else.

`python -m latlas.latency.worker PARENT` reads one JSON object a line from standard input and answers in JSON lines on the
standard output it was started with; it ends with the process PARENT. It lives apart so that a compiler that hangs or dies
costs one entry and not the run, and so that nothing but OpenVINO and numpy is in the process that times.
Messages (`Bench` is the other side):

    <- {"options": {...}, "rule": {...}, "reference": "network"}             once, first
    -> {"event": "ready", "openvino": "2026.4.1", "reference": "network-2-..."}
    <- {"graph": [[file, [inputs]], ...]} or {"file": path, "shape": [1, 3, 256, 256] | null},
       and in both {"fresh": true | false}: whether to compile the reference anew before; and {"quiet_ms": 0.47 | null}, its
       quiet level so far
    -> {"event": "compiled", "seconds": 0.1}
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
from collections.abc import Callable
from typing import Any, TextIO

from latlas.latency import runtime, stitching
from latlas.latency.errors import LatlasError
from latlas.latency.host import Host
from latlas.latency.lifeline import end_with
from latlas.latency.reference import Reference, reference_of
from latlas.latency.stopwatch import StopRule, run_pass

WARM_UP_SECONDS = 0.02
WARM_UP_RUNS = 3
SETTLE_RUNS = 3
"""Runs before a sample that are not counted: the network before has taken caches and address translations. After a reference
of 7 MB the first run took 3 % longer than back to back, the second 1.5 %, the third 0.7 %, of networks of 4 to 7 ms."""
SETTLE_ENOUGH_MS = 50.0
"""After so long a network has its caches, however few runs that were."""
BLOCK_MS = 1.5
"""Networks faster than this are run several times a sample, which keeps the clock's and the call's cost small."""


def sampler(compiled: runtime.Compiled, samples: int) -> Callable[[], list[float]]:
    """A function that gives `samples` times of milliseconds an inference, as it is back to back; warms up at once."""
    started, warm_up = time.perf_counter(), list[float]()
    while len(warm_up) < WARM_UP_RUNS or time.perf_counter() - started < WARM_UP_SECONDS:
        warm_up.append(compiled.run())
    least = max(min(warm_up), 1e-3)  # one run that was interrupted must not decide for all passes of a process
    repeats = max(1, min(100, round(BLOCK_MS / least)))
    settling = min(SETTLE_RUNS, max(1, round(SETTLE_ENOUGH_MS / least)))

    def sample() -> list[float]:
        for _ in range(settling):
            compiled.run()
        return [sum(compiled.run() for _ in range(repeats)) / repeats for _ in range(samples)]

    return sample


def reference_sampler(host: Host, reference: Reference) -> Callable[[], float]:
    """Milliseconds of the reference, compiled here and now: another compile of it differs by 0.4 to 1.2 %."""
    sample = sampler(host.compile(stitching.reference_model(reference)), 1)
    return lambda: sample()[0]


def candidate_sampler(compiled: runtime.Compiled) -> Callable[[], tuple[float, float]]:
    """Two times of milliseconds of a candidate, one right after the other."""
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
            answer(event="compiled", seconds=candidate.compile_seconds)
            quiet_ms = request.get("quiet_ms")
            done = run_pass(candidate_sampler(candidate), run_reference, rule, time.perf_counter, quiet_ms)
        except LatlasError as error:
            answer(event="error", kind=type(error).__name__, message=str(error))
        except RuntimeError as error:
            # What OpenVINO's binding raises for a network it cannot compile or run.
            answer(event="error", kind="LatlasError", message=f"OpenVINO failed: {str(error)[:500]}")
        else:
            answer(event="pass", reference=done.reference_times_ms, times=done.times_ms)


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
