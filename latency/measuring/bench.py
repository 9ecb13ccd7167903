"""The bench: it starts and asks the timing process, and lets only one process of a host measure at a time."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Protocol, TypeVar

from latlas import errors
from latlas.errors import CompileTimeoutError, LatlasError
from latlas.files import signals as interrupt
from latlas.files.lock import timing_lock
from latlas.latency.machine.run_conditions import Watch, problems
from latlas.latency.machine.trouble import tell
from latlas.latency.measuring.stopwatch import QUIET_SECONDS, Pass, StopRule, quiet_level

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

START_SECONDS = 120.0
"""How long a timing process may take to start and greet; generous, because a cold disk is slow."""


MAX_CRASHES = 2
"""A network that crashed its process this often is not timed again: a time from between two crashes says nothing."""
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class ProcessDiedError(CompileTimeoutError):
    """The timing process ended; `from_outside` says whether a signal from another process ended it."""

    from_outside = False


@dataclass(frozen=True, slots=True)
class Network:
    """What the timing process builds: an operator graph or a model file.

    `shapes` and `fills` belong to the inputs of a file, in order. `shapes` is empty if the file's shapes are static, `fills`
    is empty for the usual fill.
    """

    label: str
    graph: tuple[tuple[str, tuple[int, ...]], ...] = ()
    file: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()
    fills: tuple[str, ...] = ()

    def request(self) -> dict[str, Any]:
        """The request that makes the worker time one pass of it."""
        if not self.file:
            return {"graph": self.graph}
        return {"file": self.file, "shapes": self.shapes, "fills": self.fills}


class Timer(Protocol):
    """Anything that times one pass of a network: the bench, or a scripted timer in tests."""

    rule: StopRule

    def time(self, network: Network) -> Pass:
        """One pass, compiled anew; raises `LatlasError` if the network cannot be built or timed."""
        ...


class Bench:
    """Times networks in a child process, which is replaced after `recycle_after` passes and whenever it hangs or dies.

    Use it as a context manager, in one thread: it holds the host's timing lock and the process. It may be entered again after
    it was left, and remembers the reference's quiet level of the last minutes. `options` are the `CompileOptions` of the
    runtime. `reference` is `network` for whole networks and `operator` for single operators. `crashes` counts by label how
    often the process crashed on a network. `problems` lists what was wrong with the machine when the bench was last in use.
    `read_back` holds the precision that the first compile reported.
    """

    def __init__(
        self,
        *,
        precision: str = "f32",
        threads: int = 1,
        streams: int = 1,
        reference: str = "network",
        rule: StopRule | None = None,
        compile_seconds: float = 60.0,
        recycle_after: int = 100,
        lock_seconds: float | None = None,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.options = {"precision": precision, "threads": threads, "streams": streams}
        self._threads = threads
        self.reference = reference
        self.rule = rule or StopRule()
        self.openvino_version = ""
        self.reference_id = ""
        self.last_compile_seconds = 0.0
        self._compile_seconds = compile_seconds
        self._recycle_after = recycle_after
        self._lock_options = (lock_seconds, on_wait or log.warning)
        self._process: subprocess.Popen[bytes] | None = None
        self._passes = 0
        self._buffer = b""
        self._recent: deque[Pass] = deque()
        self._met: set[str] = set()
        self.crashes: Counter[str] = Counter()
        self.read_back: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []

    def __enter__(self) -> Bench:
        self._lock = timing_lock(*self._lock_options)
        self._lock.__enter__()
        self._watch = Watch()
        try:
            self._twice(self._start)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._lock.__exit__(kind, error, trace)
        self.problems = problems(self._watch.read(), self._threads)
        tell(self.problems)

    def time(self, network: Network) -> Pass:
        """One pass of a network, compiled anew.

        Raises `CompileTimeoutError` if the compiler hangs, `ProcessDiedError` if the process dies twice in a row or has crashed
        `MAX_CRASHES` times over all passes, and any other error that the process reports. A single death may have come from
        outside, so it is not blamed on the network.
        """
        died = 0
        while True:
            try:
                return self._time(network)
            except ProcessDiedError as error:
                died += 1
                self.crashes[network.label] += not error.from_outside
                if self.crashes[network.label] >= MAX_CRASHES:
                    times = self.crashes[network.label]
                    raise ProcessDiedError(f"{error}, {times} times in all: {_ADVICE}") from None
                if died == MAX_CRASHES:
                    raise
                log.warning("%s; trying once more", error)

    def _time(self, network: Network) -> Pass:
        self._make_ready()
        at = time.time()
        quiet_ms = self._quiet_ms(at)
        # No network meets the same compile of the reference twice, or all its passes would share that compile's error.
        fresh = network.label in self._met
        self._met = {network.label} if fresh else self._met | {network.label}
        describe = network.label not in self.read_back
        self._send(network.request() | {"fresh": fresh, "quiet_ms": quiet_ms, "describe": describe})
        compiled = self._receive(self._compile_seconds, f"compiling {network.label}")
        self.last_compile_seconds = float(compiled["seconds"])
        if describe:
            self.read_back[network.label] = {name: compiled.get(name) for name in ("precision", "int8_share")}
        # A pass may last longer than the rule's bound by one round, which may be the first.
        seconds = 10 * self.rule.max_seconds + self._compile_seconds
        answer = self._receive(seconds, f"timing {network.label}")
        done = Pass(tuple(answer["reference"]), tuple(answer["times"]), self.rule.quiet_tolerance, quiet_ms, at)
        self._recent.append(done)
        return done

    def node_times(self, network: Network) -> dict[str, Any]:
        """Where a network's time goes, as `Host.node_times` returns it; raises the same errors as `time`."""
        return self._twice(lambda: self._node_times(network))

    def _node_times(self, network: Network) -> dict[str, Any]:
        self._make_ready()
        self._send(network.request() | {"nodes": True})
        return self._receive(self._compile_seconds, f"timing the nodes of {network.label}")

    def _twice(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except ProcessDiedError as error:
            log.warning("%s; trying once more", error)
            return ask()

    def _make_ready(self) -> None:
        """Make sure that a process can take one more request: start a new one if there is none, or if it has taken enough."""
        if self._process is None or self._passes >= self._recycle_after:
            self._stop()
            self._start()
        self._passes += 1

    def _quiet_ms(self, now: float) -> float | None:
        """The reference's quiet level of the last minutes, None before there is one."""
        while self._recent and self._recent[0].at < now - QUIET_SECONDS:
            self._recent.popleft()
        return quiet_level([done.reference_level_ms for done in self._recent]) if self._recent else None

    def _start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "latlas.latency.measuring.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        self._passes, self._buffer, self._met = 0, b"", set()
        self._send({"options": self.options, "rule": asdict(self.rule), "reference": self.reference})
        ready = self._receive(START_SECONDS, "starting the timing process")
        self.openvino_version, self.reference_id = ready["openvino"], ready["reference"]

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _send(self, record: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(record).encode() + b"\n")
        except BrokenPipeError:
            self._stop()
            died = ProcessDiedError("the timing process died before it took a request; see its message above")
            died.from_outside = True  # it had no network yet
            raise died from None

    def _receive(self, seconds: float, doing: str) -> dict[str, Any]:
        with interrupt.waiting():
            line = self._read_line(time.monotonic() + seconds)
        if line is None:
            code = self._process.poll() if self._process is not None else None
            self._stop()
            if code is not None:
                died = ProcessDiedError(f"{doing}: its process died ({_end_of(code)})")
                died.from_outside = -code in _FROM_OUTSIDE
                raise died
            raise CompileTimeoutError(
                f"{doing}: nothing came back within {seconds:g} s; the entry is given up, "
                "the timing process is started anew"
            )
        answer: dict[str, Any] = json.loads(line)
        if answer["event"] == "error":
            kind: type[LatlasError] = getattr(errors, answer["kind"], LatlasError)
            raise kind(answer["message"])
        return answer

    def _read_line(self, deadline: float) -> bytes | None:
        """The next line of the process; None if it has ended or the time is over."""
        assert self._process is not None and self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    # The pipe closes a moment before the exit code is known.
                    self._process.wait()
                    return None
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _end_of(code: int) -> str:
    """How a process ended, from its exit code."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{name}, as where memory is short" if name == "SIGKILL" else name


_ADVICE = (
    "it is given up; where its inputs are indices, give values that lie within its tables with --values NAME=0..99"
)


def network_of_graph(label: str, described: Sequence[tuple[str, list[int]]]) -> Network:
    """The network of a graph that `OperatorLibrary.describe` described."""
    return Network(label, graph=tuple((path, tuple(inputs)) for path, inputs in described))
