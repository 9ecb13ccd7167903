"""Converts torch modules to OpenVINO models, without output, and each operator of a session only once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.latency.runtime.model_file import save
from latlas.latency.runtime.plugin import core
from latlas.latency.runtime.quantise import quantise
from latlas.latency.runtime.silence import ov, telemetry_muted
from latlas.latency.runtime.stitching import require_static, stitch
from latlas.spaces.graph import INPUT, Node, graph_hash
from latlas.spaces.operators.spec import OpSpec

if TYPE_CHECKING:
    from torch import nn


def convert(module: nn.Module, spec: OpSpec, batch: int = 1) -> ov.Model:
    """The OpenVINO model of one operator's torch module, with static shapes."""
    return convert_module(module, [(batch, *shape) for shape in spec.input_shapes])


def convert_module(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> ov.Model:
    """The OpenVINO model of any torch module whose inputs have these shapes `(N, C, H, W)`.

    The module is converted in evaluation mode and left in the mode it was in. It is traced once: torch would trace it again
    to see that nothing in it is random, which took half of a conversion's time.
    """
    import torch
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    was_training = module.training
    module.eval()
    examples = tuple(torch.zeros(shape) for shape in input_shapes)
    try:
        with torch.no_grad(), telemetry_muted(), _logging_restored():
            traced = TorchScriptPythonDecoder(module, example_input=examples, trace_kwargs={"check_trace": False})
            model = ov.convert_model(traced, example_input=examples, input=[list(shape) for shape in input_shapes])
    finally:
        module.train(was_training)
        _forget_traces()
    require_static(model, type(module).__name__)
    return model


def _forget_traces() -> None:
    """Drop the types that torch keeps of every module it has traced; torch's own tests do the same between two tests.

    They hold 1.3 MB for each conversion (torch 2.13): 2,000 conversions would take 2.7 GB.
    """
    import torch

    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Restore the root logger's level, filters and handlers: a failed conversion leaves it showing errors only."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


class OperatorLibrary:
    """Converts each distinct operator once and keeps it as IR in a folder, where timing processes read it.

    `build_module` returns the torch module of a spec, with weights fit for timing. The folder belongs to one session: nothing
    in it outlives the code that converted it. At int8, single operators are quantised alone, and a network as a whole. A network
    stitched from quantised operators would convert at each operator's borders, and nobody ships such a network.
    """

    def __init__(
        self, folder: Path, build_module: Callable[[OpSpec], nn.Module], precision: str = "f32", batch: int = 1
    ) -> None:
        self._folder = folder
        self._build_module = build_module
        self._batch = batch
        # Quantised models are made from f32 operators, which are kept beside them.
        self._source: OperatorLibrary | None = None
        if precision == "int8":
            (folder / "f32").mkdir(exist_ok=True)
            self._source = OperatorLibrary(folder / "f32", build_module, batch=batch)
        self._paths: dict[OpSpec, Path] = {}
        self._models: dict[OpSpec, ov.Model] = {}

    def path(self, spec: OpSpec) -> Path:
        """The operator's IR file; the first call converts it."""
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
        """`(file, inputs)` of each part, from which another process stitches the same network. The parts are operators, or at
        int8 the network itself."""
        if self._source is None:
            return [(str(self.path(node.spec)), list(node.inputs)) for node in graph]
        target = self._folder / f"network-{graph_hash(graph)}.xml"
        if not target.exists():
            save(self.stitch(graph), target)
        return [(str(target), [INPUT])]
