"""Builds OpenVINO models of networks from the models of operators, without converting, and of the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from latlas.errors import LatlasError, UsageError
from latlas.latency.runtime.reference import Reference
from latlas.latency.runtime.silence import opset, ov
from latlas.spaces.graph import INPUT, Node, check_graph


def stitch(graph: Sequence[Node], models: Sequence[ov.Model], metadata: Mapping[str, str] | None = None) -> ov.Model:
    """One model of the graph, grafted from clones of its nodes' models; no conversion takes place.

    `models[i]` is the operator of `graph[i]`, with as many inputs as the node. The model's input is the image
    `(N, C, H, W)`; its output is the output of the last node. Nodes that the output does not depend on are left out, as the
    compiler would do. `metadata` is kept in the model's runtime information under `latlas`.
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
        # An identity's result is connected to its parameter, and so by now to the producer itself.
        outputs.append(clone.get_results()[0].input_value(0))
    image.output(0).get_tensor().set_names({"image"})
    stitched = ov.Model([opset.result(outputs[-1], name="output")], [image], "latlas")
    require_static(stitched, "stitched network")
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
    """A model that does nothing: its time is the cost of the call."""
    value = opset.parameter([1, 1, 1, 1], np.float32)
    return ov.Model([opset.result(value)], [value], "latlas-call")


def require_static(model: ov.Model, what: str) -> None:
    """Raises `LatlasError`, which begins with `what`, if an input or output has a dynamic size."""
    dynamic = [
        str(port.get_partial_shape()) for port in (*model.inputs, *model.outputs) if port.partial_shape.is_dynamic
    ]
    if dynamic:
        raise LatlasError(f"{what}: OpenVINO made dynamic shapes {dynamic}; a latency needs static ones")
