"""Files of weights: a supernet's file also holds its space, a subnet's file its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.spaces.graph import Graph, Node, check_graph, graph_hash
from latlas.spaces.operators.spec import OpSpec
from latlas.spaces.space import Architecture, SearchSpace
from latlas.spaces.text import parse_space
from latlas.supernet.networks.network import Subnet, Supernet
from latlas.supernet.networks.tensor_file import check_tensors, read_record, read_tensors, write_record


def save_weights(module: Supernet | Subnet, path: Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network's weights, its space or graph, and `metadata`, which must be JSON. The file is whole or absent.

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
        write_record(path, "supernet", module.state_dict(), record)
    else:
        record["graph"] = [[node.spec.to_record(), list(node.inputs)] for node in module.graph]
        record["hash"] = graph_hash(module.graph)
        write_record(path, "subnet", module.state_dict(), record)


def load_supernet(path: Path, space: SearchSpace | None = None) -> Supernet:
    """The supernet of a file, in inference mode.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, is not one of Latlas', has another schema, or its tensors do not fit its space.
        EnvironmentMismatchError: Its space is not `space`.
    """
    tensors, record = read_tensors(path, "supernet")
    text = record.get("space")
    if not isinstance(text, str):
        raise FileFormatError(f"{path}: names no search space")
    try:
        stored = parse_space(text)
    except UsageError as error:
        raise FileFormatError(f"{path}: {error}") from None
    if space is not None and stored != space:
        raise EnvironmentMismatchError(
            f"{path}: weights of {text}, not of {space.text}; train a supernet of that space"
        )
    if sum(stored.stages) > len(tensors):
        raise FileFormatError(f"{path}: {len(tensors)} tensors are too few for {sum(stored.stages)} layers of {text}")
    with _without_memory(path):
        supernet = Supernet(stored)
    _fill(supernet, tensors, path)
    return supernet.eval()


def load_subnet(path: Path, architecture: Architecture | None = None) -> Subnet:
    """The subnet of a file, in inference mode.

    Raises what `load_supernet` raises; `EnvironmentMismatchError` if its graph is not that of `architecture`.
    """
    tensors, record = read_tensors(path, "subnet")
    graph = _graph_from_record(record.get("graph"), path)
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
    """The `metadata` that `save_weights` was given. Raises what `load_supernet` raises."""
    found = read_record(path, ("supernet", "subnet")).get("metadata")
    if not isinstance(found, dict):
        raise FileFormatError(f"{path}: has no metadata")
    return found


def file_kind(path: Path) -> str:
    """`supernet` or `subnet`: the network a file's weights belong to. Raises what `load_supernet` raises."""
    read_record(path, ("supernet", "subnet"))
    with safe_open(path, framework="pt") as file:
        return str(file.metadata()["format"]).removeprefix("latlas-")


def _graph_from_record(record: object, path: Path) -> Graph:
    try:
        if not isinstance(record, list):
            raise TypeError
        nodes = []
        for spec, inputs in record:
            if not isinstance(spec, dict) or not all(type(source) is int for source in inputs):
                raise TypeError
            nodes.append(Node(OpSpec.from_record(spec), tuple(inputs)))
        check_graph(nodes)
        return tuple(nodes)
    except UsageError as error:
        raise FileFormatError(f"{path}: {error}") from None
    except (TypeError, ValueError):
        raise FileFormatError(f"{path}: its graph is not a list of operators and inputs") from None


@contextmanager
def _without_memory(path: Path) -> Iterator[None]:
    """Build modules without memory inside the block, so that a file cannot ask for more memory than it fills."""
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, OverflowError, TypeError) as error:
        raise FileFormatError(f"{path}: describes a network that cannot be built ({error})") from error


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    check_tensors(module.state_dict(), tensors, path)
    module.load_state_dict(tensors, assign=True)
