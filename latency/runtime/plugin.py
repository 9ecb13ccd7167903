"""OpenVINO's CPU plugin: what it can do, and how it compiles and runs a network with the asked options."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from latlas.choices import unknown
from latlas.errors import LatlasError, UsageError
from latlas.latency.precisions import PRECISIONS
from latlas.latency.runtime.fill import tensor_of
from latlas.latency.runtime.quantise import quantisers, require_nncf
from latlas.latency.runtime.silence import ov

INT8 = ("i8", "u8")
CONVERSIONS = ("Reorder", "Convert", "FakeQuantize")
"""Types of layers that only change the layout or the precision of numbers."""


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """A node of the execution graph: its layer (`Convolution`), its kernel's precision (`f32`), the names of the operations
    fused into it, and the names of the nodes that feed it, without constants."""

    name: str
    layer: str
    precision: str
    operations: tuple[str, ...]
    inputs: tuple[str, ...]


def execution_graph(compiled: Any) -> list[ExecutedNode]:
    """The nodes of an `openvino.CompiledModel`, in topological order, without constants and nodes computed from constants."""
    nodes: list[ExecutedNode] = []
    constant: set[str] = set()
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        name, layer = op.get_friendly_name(), _text(info, "layerType")
        sources = [op.input_value(index).get_node().get_friendly_name() for index in range(op.get_input_size())]
        if layer == "Const" or (sources and constant.issuperset(sources)):
            constant.add(name)
            continue
        nodes.append(
            ExecutedNode(
                name=name,
                layer=layer,
                precision=_text(info, "runtimePrecision").lower(),
                operations=tuple(filter(None, _text(info, "originalLayersNames").split(","))),
                inputs=tuple(source for source in sources if source not in constant),
            )
        )
    return nodes


def int8_share(nodes: Sequence[ExecutedNode], quantisers: frozenset[str] = frozenset()) -> float:
    """The share, from 0 to 1, of the layers (without conversions) whose kernel works on eight-bit integers."""
    others = ("Input", "Output", "Reshape")
    layers = [node for node in nodes if node.layer not in others and not _is_conversion(node, quantisers)]
    return sum(node.precision in INT8 for node in layers) / len(layers) if layers else 0.0


def border_nodes(nodes: Sequence[ExecutedNode], quantisers: frozenset[str] = frozenset()) -> set[str]:
    """Names of the conversions between the inputs and the first layers, and between the last layers and the outputs.

    Conversions in the middle belong to the network. `quantisers` are the names of its `FakeQuantize` operations, which the
    plugin may run as a `Subgraph`.
    """
    inputs, outputs = ({node.name for node in nodes if node.layer == layer} for layer in ("Input", "Output"))
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for source in node.inputs:
            readers.setdefault(source, set()).add(node.name)
    conversions = [node for node in nodes if _is_conversion(node, quantisers)]
    before, after = set(inputs), set(outputs)
    for node in conversions:
        if before.issuperset(node.inputs):
            before.add(node.name)
    for node in reversed(conversions):
        if readers.get(node.name) and after.issuperset(readers[node.name]):
            after.add(node.name)
    return (before - inputs) | (after - outputs)


def _is_conversion(node: ExecutedNode, quantisers: frozenset[str]) -> bool:
    fused = node.layer == "Subgraph" and node.operations and quantisers.issuperset(node.operations)
    return node.layer in CONVERSIONS or bool(fused)


def _text(info: Mapping[str, Any], key: str) -> str:
    value = info[key]
    return str(getattr(value, "value", value))


Float32Array = npt.NDArray[np.float32]
_HINTS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""OpenVINO's hint for each precision. Quantisers in the network make it int8; the hint is for the rest of the network."""
_CAPABILITIES = {"f32": "fp32", "bf16": "bf16", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """The options of the CPU plugin. All are set explicitly and read back from the compiled model."""

    precision: str = "f32"
    threads: int = 1
    streams: int = 1

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(unknown("precision", self.precision, PRECISIONS))
        if self.threads < 1 or self.streams < 1:
            raise UsageError(f"threads is {self.threads} and streams {self.streams}; both must be at least 1")

    def properties(self) -> dict[str, Any]:
        """OpenVINO's property names and values."""
        return {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            "PERFORMANCE_HINT": "LATENCY",
            # A model cache saves nothing on a CPU and has returned wrong outputs.
            "CACHE_DIR": "",
        }


@lru_cache(maxsize=1)
def core() -> ov.Core:
    """The only OpenVINO core of the process; it lives as long as the process. An unloaded CPU plugin would leave its Ctrl-C
    handler behind, and a later Ctrl-C, for example in a training, would be a segmentation fault (seen with 2026.4.1)."""
    return ov.Core()


def openvino_version() -> str:
    """The version of OpenVINO, for example `2026.4.1`."""
    return str(ov.__version__).split("-")[0]


def openvino_build() -> str:
    """The version with the build's number and commit, for example `2026.4.1-22982-e213a147257-releases/2026/4`."""
    return str(ov.get_version())


def supported_precisions() -> list[str]:
    """The precisions of Latlas that this CPU has instructions for."""
    capabilities = {str(name).lower() for name in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")}
    return [ours for ours, theirs in _CAPABILITIES.items() if ours == "f32" or theirs in capabilities]


def require_precision(precision: str) -> None:
    """Raises `UsageError` for a precision that is unknown, that this CPU lacks, or whose library is not installed."""
    CompileOptions(precision)
    supported = supported_precisions()
    if precision not in supported:
        raise UsageError(f"precision {precision}: this CPU has no instructions for it; it has {', '.join(supported)}")
    if precision == "int8":
        require_nncf()


class Compiled:
    """A compiled network with inputs bound once; `run()` is one inference in milliseconds.

    `fills` say what its inputs hold, in order. By default numbers are seeded noise in 0..1 and whole numbers 0 or 1
    (`fill.usual_fill`).
    """

    def __init__(
        self, model: ov.Model, options: CompileOptions, perf_count: bool = False, fills: Sequence[str] = ()
    ) -> None:
        properties = options.properties() | ({"PERF_COUNT": True} if perf_count else {})
        started = time.perf_counter()
        compiled = core().compile_model(model, "CPU", properties)
        self.compile_seconds = time.perf_counter() - started
        self.options = options
        got = {
            "precision": _precision_name(compiled.get_property("INFERENCE_PRECISION_HINT")),
            "threads": int(compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": int(compiled.get_property("NUM_STREAMS")),
        }
        asked = asdict(options) | {"precision": _HINTS[options.precision]}
        if got != asked:
            raise LatlasError(_other_options(asked, got))
        self._precision = str(got["precision"])
        self._compiled = compiled
        self._quantisers = quantisers(model)
        if options.precision == "int8" and self._quantisers and _has_convolution(model) and not self.int8_share():
            raise LatlasError("the network is quantised, and OpenVINO runs none of it in int8; this CPU cannot do it")
        self._request = compiled.create_infer_request()
        rng = np.random.default_rng(0)
        for index, port in enumerate(compiled.inputs):
            self._request.set_tensor(port, tensor_of(port, fills[index] if index < len(fills) else "", rng))
        _keep_interrupt_handler()

    def run(self) -> float:
        """Milliseconds of one inference."""
        started = time.perf_counter_ns()
        # share_outputs: without it the binding copies every output, and that time is not the network's.
        self._request.infer(share_outputs=True)
        return (time.perf_counter_ns() - started) / 1e6

    def read_back(self) -> dict[str, Any]:
        """The precision that the network was compiled for, as OpenVINO says, and the share of its layers that run in int8."""
        share = self.int8_share() if self._quantisers else 0.0
        return {"precision": self._precision, "int8_share": round(share, 4)}

    def int8_share(self) -> float:
        """The share of the layers whose kernel is int8, from 0 to 1."""
        return int8_share(execution_graph(self._compiled), self._quantisers)

    def node_times_us(self) -> tuple[list[float], list[float]]:
        """Microseconds of the nodes that convert at the borders, and of all others; the model must be made with `perf_count`.

        OpenVINO returns means over all runs so far, with the warm-up, and cuts off the fractions of each run and of the mean.
        """
        border = border_nodes(execution_graph(self._compiled), self._quantisers)
        times: tuple[list[float], list[float]] = ([], [])
        for node in self._request.profiling_info:
            if node.status == node.Status.EXECUTED:
                times[node.node_name not in border].append(node.real_time.total_seconds() * 1e6)
        return times

    def infer(self, *inputs: Float32Array) -> Float32Array:
        """The first output for these inputs."""
        outputs = self._request.infer(dict(enumerate(inputs)))
        _keep_interrupt_handler()
        return np.array(outputs[self._compiled.output(0)])


def _keep_interrupt_handler() -> None:
    """Restore Python's Ctrl-C handler, which OpenVINO's CPU plugin replaces when it compiles.

    With OpenVINO's handler, a Ctrl-C in a later training would not raise the `KeyboardInterrupt` that saves the training.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _other_options(asked: dict[str, Any], got: dict[str, Any]) -> str:
    said = f"asked OpenVINO for {asked}, it compiled for {got}"
    may_use = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    if may_use is not None and asked["threads"] > may_use:
        return (
            f"{said}: this process may use {may_use} CPU(s); allow more (`taskset`, a container's cpuset), or ask for fewer "
            "--threads"
        )
    return f"{said}; this CPU cannot do it"


def _has_convolution(model: ov.Model) -> bool:
    return any(op.get_type_name() in ("Convolution", "GroupConvolution") for op in model.get_ops())


def _precision_name(element_type: Any) -> str:
    return {"f32": "f32", "float32": "f32", "bf16": "bf16", "bfloat16": "bf16"}.get(
        str(element_type.to_string() if hasattr(element_type, "to_string") else element_type).lower(), str(element_type)
    )
