"""Everything that touches OpenVINO: convert, stitch, read, compile, run. The only file that imports it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as opset

from latlas.latency.errors import FileFormatError, LatlasError, StorageError, UsageError
from latlas.latency.execution import border_nodes, execution_graph, int8_share
from latlas.latency.graph import INPUT, Node, check_graph, graph_hash
from latlas.latency.ops import OpSpec
from latlas.latency.quantise import quantise, quantisers, require_nncf
from latlas.latency.reference import Reference

if TYPE_CHECKING:
    from torch import nn

FloatArray = npt.NDArray[np.float32]
MODEL_SUFFIXES = (".xml", ".onnx", ".tflite")
PRECISIONS = {"f32": "f32", "bf16": "bf16", "int8": "f32"}
"""Each with OpenVINO's precision hint. An int8 network is one with quantisers in it; the hint is for the rest of it."""
_CAPABILITIES = {"f32": "fp32", "bf16": "bf16", "int8": "int8"}


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What is set on the CPU plugin, always explicitly, and read back from the compiled model."""

    precision: str = "f32"
    threads: int = 1
    streams: int = 1

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision is {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if self.threads < 1 or self.streams < 1:
            raise UsageError(f"threads is {self.threads} and streams {self.streams}; both must be at least 1")

    def properties(self) -> dict[str, Any]:
        """OpenVINO's property names and values."""
        return {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            "PERFORMANCE_HINT": "LATENCY",
            # A model cache brings nothing on CPU and has returned wrong outputs.
            "CACHE_DIR": "",
        }


@lru_cache(maxsize=1)
def core() -> ov.Core:
    """The process's one OpenVINO core, which lives as long as it: an unloaded CPU plugin leaves its Ctrl-C handler behind,
    and a Ctrl-C later, in a training say, is then a segmentation fault (seen with 2026.4.1)."""
    return ov.Core()


def openvino_version() -> str:
    """The version of OpenVINO that measures, as `2026.4.1`."""
    return str(ov.__version__).split("-")[0]


def openvino_build() -> str:
    """The same with the build's number and commit, as `2026.4.1-22982-e213a147257-releases/2026/4`."""
    return str(ov.get_version())


def supported_precisions() -> list[str]:
    """Those of our precisions that this CPU has instructions for."""
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


def convert(module: nn.Module, spec: OpSpec, batch: int = 1) -> ov.Model:
    """The OpenVINO model of one operator's torch module, at static shapes."""
    return convert_module(module, [(batch, *shape) for shape in spec.input_shapes])


def convert_module(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> ov.Model:
    """The OpenVINO model of any torch module whose inputs have these shapes `(N, C, H, W)`.

    The module is converted in evaluation mode and left in the mode it was in.
    """
    import torch

    was_training = module.training
    module.eval()
    examples = tuple(torch.zeros(shape) for shape in input_shapes)
    try:
        with torch.no_grad(), _without_telemetry(), _logging_kept():
            model = ov.convert_model(module, example_input=examples, input=[list(shape) for shape in input_shapes])
    finally:
        module.train(was_training)
        _forget_traces()
    _require_static(model, type(module).__name__)
    return model


def _forget_traces() -> None:
    """Drop the types that torch keeps of every module it ever traced, as torch's own tests do between two.

    They hold 1.3 MB a conversion (torch 2.13): 2,000 conversions would take 2.7 GB.
    """
    import torch

    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Give the root logger back its level, filters and handlers, which a failed conversion leaves at errors only."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


_REPORTS = ("send_event", "send_error", "send_stack_trace", "start_session", "end_session")


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep `openvino.convert_model` from reporting each conversion, its beginning and its end, over the network.

    Fifteen operators took 2.4 to 8.9 s with it and 0.65 s without, and each report is a process of its own, beside what is
    measured; a measuring tool also has nothing to say to anybody about what it measures.
    """
    try:
        from openvino_telemetry import Telemetry
    except ImportError:
        yield
        return
    held = {name: getattr(Telemetry, name) for name in _REPORTS if hasattr(Telemetry, name)}
    for name in held:
        setattr(Telemetry, name, lambda *arguments, **options: None)
    try:
        yield
    finally:
        for name, method in held.items():
            setattr(Telemetry, name, method)


def _require_static(model: ov.Model, what: str) -> None:
    dynamic = [
        str(port.get_partial_shape()) for port in (*model.inputs, *model.outputs) if port.partial_shape.is_dynamic
    ]
    if dynamic:
        raise LatlasError(f"{what}: OpenVINO made dynamic shapes {dynamic}; a latency needs static ones")


def stitch(graph: Sequence[Node], models: Sequence[ov.Model], metadata: Mapping[str, str] | None = None) -> ov.Model:
    """One model of the graph, grafted from clones of its nodes' models; no conversion takes place.

    `models[i]` is the operator of `graph[i]`, with as many inputs as the node. The result's input is the image
    `(N, C, H, W)`, its output that of the last node. Nodes that the output does not depend on are left out, as the
    compiler would leave them. `metadata` is kept in the model's runtime information under `latlas`.
    """
    check_graph(graph)
    if len(models) != len(graph):
        raise UsageError(f"{len(models)} models for a graph of {len(graph)} nodes; one for each is needed")
    stitched = graft([(model, node.inputs) for model, node in zip(models, graph, strict=True)])
    for key, value in (metadata or {}).items():
        stitched.set_rt_info(value, ["latlas", key])
    return stitched


def graft(parts: Sequence[tuple[ov.Model, tuple[int, ...]]]) -> ov.Model:
    """One model of `(operator, inputs)` in topological order, each operator cloned; see `stitch`."""
    image: Any = None
    outputs: list[ov.Output] = []
    for model, inputs in parts:
        clone = model.clone()
        for parameter, source in zip(clone.get_parameters(), inputs, strict=True):
            if source == INPUT and image is None:
                image = opset.parameter(list(parameter.get_output_shape(0)), np.float32, name="image")
            producer = image.output(0) if source == INPUT else outputs[source]
            for target in parameter.output(0).get_target_inputs():
                target.replace_source_output(producer)
        # An identity's result hangs on its parameter, and so by now on the producer itself.
        outputs.append(clone.get_results()[0].input_value(0))
    image.output(0).get_tensor().set_names({"image"})
    stitched = ov.Model([opset.result(outputs[-1], name="output")], [image], "latlas")
    _require_static(stitched, "stitched network")
    return stitched


def reference_model(reference: Reference) -> ov.Model:
    """The OpenVINO model of a reference network."""
    image = opset.parameter(list(reference.input_shape), np.float32, name="image")
    value: Any = image
    for index, layer in enumerate(reference.layers):
        pad, strides, kernel = [layer.kernel_size // 2] * 2, [layer.stride] * 2, reference.weights(index)
        if layer.depthwise:
            grouped = opset.constant(kernel[:, None])
            value = opset.group_convolution(value, grouped, strides, pad, pad, [1, 1])
        else:
            value = opset.convolution(value, opset.constant(kernel), strides, pad, pad, [1, 1])
        value = opset.relu(value)
    return ov.Model([opset.result(value)], [image], f"latlas-{reference.name}")


def call_model() -> ov.Model:
    """A model in which nothing is to be done: what it takes is the call."""
    value = opset.parameter([1, 1, 1, 1], np.float32)
    return ov.Model([opset.result(value)], [value], "latlas-call")


def save(model: ov.Model, path: Path) -> None:
    """Write IR `.xml` and `.bin`, weights uncompressed; the `.xml` appears last and whole.

    Raises `StorageError` where they cannot be written, as on a full disk; nothing is left of them then.
    """
    temporary = path.with_name(f".{path.stem}.partial.xml")
    try:
        ov.save_model(model, str(temporary), compress_to_fp16=False)
        temporary.with_suffix(".bin").replace(path.with_suffix(".bin"))
        temporary.replace(path)
    except (RuntimeError, OSError) as error:  # OpenVINO says "iostream error" of a full disk
        for left in (temporary, temporary.with_suffix(".bin")):
            with suppress(OSError):
                left.unlink()
        raise StorageError(f"cannot write {path}: {_first_line(error)}; is the disk of {path.parent} full?") from None


def read(path: Path, shape: Sequence[int] | None = None, batch: int = 1) -> ov.Model:
    """The model of an .xml, .onnx or .tflite file, made static.

    `shape` is that of its only input; without it a dynamic batch becomes `batch`. Raises `UsageError` for a missing file or
    a size left dynamic, `FileFormatError` for a file that OpenVINO cannot read.
    """
    if path.suffix not in MODEL_SUFFIXES:
        raise UsageError(f"{path}: not a model file; known endings: {', '.join(MODEL_SUFFIXES)}")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        model = core().read_model(str(path))
    except RuntimeError as error:
        raise FileFormatError(f"{path}: OpenVINO cannot read it: {_first_line(error)}") from None
    if shape is not None:
        if len(model.inputs) != 1:
            raise UsageError(f"{path}: a shape was given, but the model has {len(model.inputs)} inputs")
        try:
            model.reshape({model.inputs[0]: list(shape)})
        except RuntimeError as error:
            given = model.inputs[0].partial_shape
            raise UsageError(
                f"{path}: shape {tuple(shape)} does not fit its input {given}: {_first_line(error)}"
            ) from None
    elif model.is_dynamic():
        fixed = {}
        for port in model.inputs:
            partial = port.get_partial_shape()
            if partial.rank.is_static and len(partial) and partial[0].is_dynamic:
                partial[0] = ov.Dimension(batch)
            fixed[port] = partial
        try:
            model.reshape(fixed)
        except RuntimeError as error:
            raise UsageError(
                f"{path}: it cannot be made batch {batch} ({_first_line(error)}); give its input with --shape"
            ) from None
    if any(port.partial_shape.is_dynamic for port in model.inputs):
        shapes = [str(port.partial_shape) for port in model.inputs]
        raise UsageError(f"{path}: its input has dynamic sizes {shapes}; give them with --shape 1,3,256,256")
    return model


def check_readable(path: Path, shape: Sequence[int] | None = None, batch: int = 1, precision: str = "f32") -> None:
    """Raises what `read` raises, before a timing process is started for nothing; `UsageError` for another batch than asked
    for, and at int8 for a network that has no quantisers."""
    model = read(path, shape, batch)
    shapes = [tuple(port.shape) for port in model.inputs]
    found = shapes[0][0] if shapes and len(shapes[0]) == 4 else batch
    if found != batch:
        raise UsageError(f"{path}: its batch is {found}, asked for {batch}; say so with --batch {found}")
    if precision == "int8" and not quantisers(model):
        raise UsageError(f"{path}: it has no quantisers, so nothing of it is int8; quantise it, or measure it at f32")


def metadata_of(model: ov.Model) -> dict[str, str]:
    """What `stitch` kept under `latlas`, empty for a model that is not ours."""
    if not model.has_rt_info("latlas"):
        return {}
    kept = model.get_rt_info(["latlas"])
    return {str(key): str(getattr(value, "value", value)) for key, value in getattr(kept, "value", kept).items()}


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


class Compiled:
    """A compiled network with inputs bound once; `run()` is one inference in milliseconds.

    Inputs are seeded uniform numbers in 0..1 (whole numbers for integer inputs), never zeros.
    """

    def __init__(self, model: ov.Model, options: CompileOptions, perf_count: bool = False) -> None:
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
        asked = asdict(options) | {"precision": PRECISIONS[options.precision]}
        if got != asked:
            raise LatlasError(f"asked OpenVINO for {asked}, it compiled for {got}; this CPU cannot do it")
        self._compiled = compiled
        self._quantisers = quantisers(model)
        if options.precision == "int8" and self._quantisers and _has_convolution(model) and not self.int8_share():
            raise LatlasError("the network is quantised, and OpenVINO runs none of it in int8; this CPU cannot do it")
        self._request = compiled.create_infer_request()
        rng = np.random.default_rng(0)
        for port in compiled.inputs:
            dtype = port.get_element_type().to_dtype()
            values = rng.random(tuple(port.shape)) * (1 if np.issubdtype(dtype, np.floating) else 100)
            self._request.set_tensor(port, ov.Tensor(np.ascontiguousarray(values.astype(dtype))))
        _keep_interrupt_handler()

    def run(self) -> float:
        """Milliseconds of one inference."""
        started = time.perf_counter_ns()
        # share_outputs: without it the binding copies every output, which is not the network's time.
        self._request.infer(share_outputs=True)
        return (time.perf_counter_ns() - started) / 1e6

    def int8_share(self) -> float:
        """The share of layers whose kernel is int8, from 0 to 1."""
        return int8_share(execution_graph(self._compiled), self._quantisers)

    def node_times_us(self) -> tuple[list[float], list[float]]:
        """Microseconds of the nodes that convert at the borders, and of the others; of a model made with `perf_count`.

        OpenVINO gives means over all runs so far, warm-up too, and cuts off each run's and the mean's fractions.
        """
        border = border_nodes(execution_graph(self._compiled), self._quantisers)
        times: tuple[list[float], list[float]] = ([], [])
        for node in self._request.profiling_info:
            if node.status == node.Status.EXECUTED:
                times[node.node_name not in border].append(node.real_time.total_seconds() * 1e6)
        return times

    def infer(self, *inputs: FloatArray) -> FloatArray:
        """The first output for these inputs."""
        outputs = self._request.infer(dict(enumerate(inputs)))
        _keep_interrupt_handler()
        return np.array(outputs[self._compiled.output(0)])


def _keep_interrupt_handler() -> None:
    """Put Python's handler of Ctrl-C back, which OpenVINO's CPU plugin replaces when it compiles.

    With OpenVINO's, a Ctrl-C in a training that follows would not be the `KeyboardInterrupt` that saves it.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _has_convolution(model: ov.Model) -> bool:
    return any(op.get_type_name() in ("Convolution", "GroupConvolution") for op in model.get_ops())


def _precision_name(element_type: Any) -> str:
    return {"f32": "f32", "float32": "f32", "bf16": "bf16", "bfloat16": "bf16"}.get(
        str(element_type.to_string() if hasattr(element_type, "to_string") else element_type).lower(), str(element_type)
    )


class OperatorLibrary:
    """Each distinct operator converted once and kept as IR in a folder, where timing processes read it.

    `build_module` gives the torch module of a spec, with weights fit for timing. The folder is one session's: nothing
    in it outlives the code that converted it. At int8 an operator is quantised by itself, and a network as a whole: stitched
    from quantised operators it would convert at each operator's borders, which nobody ships.
    """

    def __init__(
        self, folder: Path, build_module: Callable[[OpSpec], nn.Module], precision: str = "f32", batch: int = 1
    ) -> None:
        self._folder = folder
        self._build_module = build_module
        self._batch = batch
        # What is quantised is made of f32 operators, which are kept beside it.
        self._source: OperatorLibrary | None = None
        if precision == "int8":
            (folder / "f32").mkdir(exist_ok=True)
            self._source = OperatorLibrary(folder / "f32", build_module, batch=batch)
        self._paths: dict[OpSpec, Path] = {}
        self._models: dict[OpSpec, ov.Model] = {}

    def path(self, spec: OpSpec) -> Path:
        """The operator's IR file, converting it the first time."""
        if spec not in self._paths:
            target = self._folder / f"{len(self._paths):05d}-{spec.name}.xml"
            if self._source is None:
                model = convert(self._build_module(spec), spec, self._batch)
            else:
                model = quantise(self._source.model(spec))
            save(model, target)
            self._paths[spec] = target
        return self._paths[spec]

    def model(self, spec: OpSpec) -> ov.Model:
        """The operator's model, read once."""
        if spec not in self._models:
            self._models[spec] = core().read_model(str(self.path(spec)))
        return self._models[spec]

    def stitch(self, graph: Sequence[Node]) -> ov.Model:
        """The network of a graph."""
        if self._source is not None:
            return quantise(self._source.stitch(graph))
        return stitch(graph, [self.model(node.spec) for node in graph])

    def describe(self, graph: Sequence[Node]) -> list[tuple[str, list[int]]]:
        """`(file, inputs)` of each part, from which another process stitches the same network: operators, or at int8 the
        network itself."""
        if self._source is None:
            return [(str(self.path(node.spec)), list(node.inputs)) for node in graph]
        target = self._folder / f"network-{graph_hash(graph)}.xml"
        if not target.exists():
            save(self.stitch(graph), target)
        return [(str(target), [INPUT])]
