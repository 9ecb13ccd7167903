"""Weights and training runs as safetensors files: atomic, checked on reading, and without pickle.

A file holds tensors, and in its metadata `format` (`latlas-supernet`, `latlas-subnet` or `latlas-training`), `schema`
and `record`, JSON that says what the tensors belong to.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from latlas.latency.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.latency.graph import Graph, Node, check_graph, graph_hash
from latlas.latency.ops import OpSpec
from latlas.supernet.network import Subnet, Supernet
from latlas.supernet.space import Architecture, SearchSpace, parse_space

# 1: the first.
SCHEMA = 1
_ADAM_TENSORS, _SGD_TENSORS = ("step", "exp_avg", "exp_avg_sq"), ("momentum_buffer",)


def save_weights(module: Supernet | Subnet, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network's weights, what it is, and `metadata`, which must be JSON; the file appears whole or not at all.

    Raises:
        UsageError: The path cannot be written.

    Example:
        >>> save_weights(supernet, Path("supernet.safetensors"), {"steps": 4000})
        >>> load_supernet(Path("supernet.safetensors")).space == supernet.space
        True
    """
    record: dict[str, Any] = {"metadata": dict(metadata or {})}
    if isinstance(module, Supernet):
        record["space"] = module.space.text
        _write(path, "supernet", module.state_dict(), record)
    else:
        record["graph"] = [[node.spec.to_dict(), list(node.inputs)] for node in module.graph]
        record["hash"] = graph_hash(module.graph)
        _write(path, "subnet", module.state_dict(), record)


def load_supernet(path: Path, space: SearchSpace | None = None) -> Supernet:
    """The supernet of a file, in inference mode.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, foreign, of another schema, or its tensors are not those of its space.
        EnvironmentMismatchError: It is of another space than `space`.
    """
    tensors, record = _read(path, "supernet")
    text = record.get("space")
    if not isinstance(text, str):
        raise FileFormatError(f"{path}: names no search space")
    try:
        stored = parse_space(text)
    except UsageError as error:
        raise FileFormatError(f"{path}: {error}") from None
    if space is not None and stored != space:
        raise EnvironmentMismatchError(f"{path}: weights of {text}, not of {space.text}; train one of that space")
    if sum(stored.stages) > len(tensors):
        raise FileFormatError(f"{path}: {len(tensors)} tensors are too few for {sum(stored.stages)} layers of {text}")
    with _without_memory(path):
        supernet = Supernet(stored)
    _fill(supernet, tensors, path)
    return supernet.eval()


def load_subnet(path: Path, architecture: Architecture | None = None) -> Subnet:
    """The subnet of a file, in inference mode; errors as `load_supernet`, for another graph than `architecture`'s."""
    tensors, record = _read(path, "subnet")
    graph = _graph_from_json(record.get("graph"), path)
    if record.get("hash") != graph_hash(graph):
        raise FileFormatError(f"{path}: hash {record.get('hash')!r} is recorded, the graph's is {graph_hash(graph)}")
    if architecture is not None and graph != architecture.graph():
        raise EnvironmentMismatchError(
            f"{path}: weights of the network {graph_hash(graph)}, not of {architecture} ({architecture.hash})"
        )
    with _without_memory(path):
        subnet = Subnet(graph)
    _fill(subnet, tensors, path)
    return subnet.eval()


def read_metadata(path: Path) -> dict[str, Any]:
    """What `save_weights` was given as `metadata`; errors as `load_supernet`."""
    found = _read_record(path, ("supernet", "subnet")).get("metadata")
    if not isinstance(found, dict):
        raise FileFormatError(f"{path}: has no metadata")
    return found


def file_kind(path: Path) -> str:
    """`supernet` or `subnet`, what a file's weights are of; errors as `load_supernet`."""
    _read_record(path, ("supernet", "subnet"))
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["format"]).removeprefix("latlas-")


def save_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
    step: int,
    seconds: float,
) -> None:
    """Write all that a training run needs to go on exactly.

    Args:
        path: The file, replaced whole.
        model: Its parameters and buffers are kept.
        optimizer: An Adam, or an SGD with momentum, over the model's parameters.
        average: Averaged state by the model's names; empty where none is kept.
        run: What must be equal when the run goes on, as JSON.
        step: How many steps are done.
        seconds: How long they took.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    for name, parameter in model.named_parameters():
        # Membership first: the state is a defaultdict, and a parameter that never had a gradient has none.
        if parameter in optimizer.state:
            state = optimizer.state[parameter]
            tensors |= {f"optimizer.{key}.{name}": state[key] for key in _tensors_of(optimizer)}
    _write(path, "training", tensors, {"run": dict(run), "step": step, "seconds": seconds})


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    run: Mapping[str, Any],
) -> tuple[int, float]:
    """Step and seconds of a `save_training` file, after its tensors were copied into model, optimiser and average.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, foreign, of another schema, or its tensors are not the model's.
        EnvironmentMismatchError: It is of another run than `run`; the message names what differs.
    """
    tensors, record = _read(path, "training")
    stored, step, seconds = record.get("run"), record.get("step"), record.get("seconds")
    if not isinstance(stored, dict):
        raise FileFormatError(f"{path}: does not say which run it is of")
    if type(step) is not int or type(seconds) is not float or step < 0 or not 0 <= seconds < math.inf:
        raise FileFormatError(f"{path}: stands at step {step!r} after {seconds!r} seconds, which cannot be")
    # Through JSON, so that a tuple equals the list that it was written as.
    wanted = json.loads(json.dumps(dict(run)))
    for key in sorted(wanted.keys() | stored.keys()):
        if stored.get(key) != wanted.get(key):
            raise EnvironmentMismatchError(
                f"{path}: a run with {key} {stored.get(key)!r}, now it is {wanted.get(key)!r}; "
                "start anew without resuming, or name another checkpoint"
            )
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for key, tensor in tensors.items():
        group, _, name = key.partition(".")
        if group not in groups:
            raise FileFormatError(f"{path}: has a tensor {key}, which no training checkpoint has")
        groups[group][name] = tensor
    parameters = dict(model.named_parameters())
    moments = _moments(groups["optimizer"], parameters, _tensors_of(optimizer))
    _check(model.state_dict(), groups["model"], path)
    _check(average, groups["average"], path)
    _check(moments, groups["optimizer"], path)
    with torch.no_grad():
        for targets, values in ((model.state_dict(), groups["model"]), (average, groups["average"])):
            for name, target in targets.items():
                target.copy_(values[name])
        # Fused AdamW walks raw memory: its moments must be laid out as the parameters are, channels last or not.
        for name, moment in moments.items():
            key, _, parameter = name.partition(".")
            optimizer.state[parameters[parameter]][key] = moment.copy_(groups["optimizer"][name])
    return step, seconds


def _tensors_of(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What an optimiser keeps of a parameter."""
    return _SGD_TENSORS if isinstance(optimizer, torch.optim.SGD) else _ADAM_TENSORS


def _moments(
    stored: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter], keys: Sequence[str]
) -> dict[str, Tensor]:
    """Empty optimiser tensors for each parameter of which any is stored."""
    moments: dict[str, Tensor] = {}
    for name in {key.partition(".")[2] for key in stored} & parameters.keys():
        parameter = parameters[name].detach()
        for key in keys:
            # Fused kernels keep the step beside the parameter.
            empty = torch.zeros((), device=parameter.device) if key == "step" else torch.empty_like(parameter)
            moments[f"{key}.{name}"] = empty
    return moments


def _graph_from_json(record: object, path: Path) -> Graph:
    try:
        if not isinstance(record, list):
            raise TypeError
        nodes = []
        for spec, inputs in record:
            if not isinstance(spec, dict) or not all(type(source) is int for source in inputs):
                raise TypeError
            nodes.append(Node(OpSpec.from_dict(spec), tuple(inputs)))
        check_graph(nodes)
        return tuple(nodes)
    except UsageError as error:
        raise FileFormatError(f"{path}: {error}") from None
    except (TypeError, ValueError):
        raise FileFormatError(f"{path}: its graph is not a list of operators and inputs") from None


@contextmanager
def _without_memory(path: Path) -> Iterator[None]:
    """Modules made inside take no memory, so that a file cannot ask for more than it holds."""
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, OverflowError, TypeError) as error:
        raise FileFormatError(f"{path}: describes a network that cannot be built ({error})") from error


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(expected.keys() - found.keys()):
        raise FileFormatError(f"{path}: lacks the tensor {name}")
    for name in sorted(found.keys() - expected.keys()):
        raise FileFormatError(f"{path}: has a tensor {name}, which the network has not")
    for name, tensor in expected.items():
        value = found[name]
        if value.shape != tensor.shape or value.dtype != tensor.dtype:
            raise FileFormatError(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)}; "
                f"the network's is {tensor.dtype} {tuple(tensor.shape)}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise FileFormatError(f"{path}: {name} has values that are not finite")


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    _check(module.state_dict(), tensors, path)
    module.load_state_dict(tensors, assign=True)


def _write(path: Path, kind: str, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    text = json.dumps(record, sort_keys=True, allow_nan=False)
    write_tensors(path, tensors, {"format": f"latlas-{kind}", "schema": str(SCHEMA), "record": text})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; raises `UsageError` where it cannot be written."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(plain, temporary, metadata)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path}: cannot be written ({error})") from None


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    record = _read_record(path, (kind,))
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise FileFormatError(f"{path}: broken ({error})") from None


def _read_record(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The `record` of a file of one of the `wanted` kinds."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise FileFormatError(f"{path}: not a safetensors file, or broken ({error})") from None
    names = [f"latlas-{kind}" for kind in wanted]
    if metadata.get("format") not in names:
        raise FileFormatError(f"{path}: its format is {metadata.get('format')!r}; {' or '.join(names)} is needed")
    if metadata.get("schema") != str(SCHEMA):
        raise FileFormatError(f"{path}: schema {metadata.get('schema')!r}; this version of Latlas reads {SCHEMA}")
    try:
        record = json.loads(metadata.get("record", ""))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise FileFormatError(f"{path}: its record is not a JSON object")
    return record
