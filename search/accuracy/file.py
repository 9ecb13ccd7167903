"""Files of accuracy predictors: one safetensors file, whose metadata say in JSON what the tensors belong to. No pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from latlas.errors import EnvironmentMismatchError, FileFormatError, UsageError
from latlas.files.records import one_line
from latlas.search.accuracy.models import KINDS, MLPAccuracy, RidgeAccuracy
from latlas.spaces.space import SearchSpace
from latlas.supernet.networks.tensor_file import write_tensors

# 1: the first.
SCHEMA = 1
FORMAT = "latlas-accuracy"
MAX_BYTES = 64 * 2**20
MAX_RECORD = 1_000_000
MAX_LAYERS = 16


def save_accuracy(
    predictor: RidgeAccuracy | MLPAccuracy, space: SearchSpace, path: Path, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted predictor of a space's architectures, and `metadata`, which must be JSON. The file is whole or absent.

    Raises `UsageError` if the predictor is not fitted or does not fit the space's codes, or if the path cannot be written.
    """
    _require_sizes(predictor.sizes, space)
    numbers: dict[str, float]
    tensors: dict[str, Tensor]
    if isinstance(predictor, RidgeAccuracy):
        tensors = {f"table.{i}": torch.from_numpy(table.copy()) for i, table in enumerate(predictor.tables_)}
        numbers = {"constant": predictor.constant_}
    else:
        tensors = {f"weight.{i}": weight for i, (weight, _) in enumerate(predictor.weights_)}
        tensors |= {f"bias.{i}": bias for i, (_, bias) in enumerate(predictor.weights_) if bias is not None}
        numbers = {"mean": predictor.mean_, "spread": predictor.spread_}
    if not tensors:
        raise UsageError("this predictor of quality has learnt nothing yet; fit it before it is saved")
    record = {"kind": predictor.kind, "space": space.text, "numbers": numbers, "metadata": dict(metadata or {})}
    try:
        text = json.dumps(record, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: metadata is not JSON ({error})") from None
    write_tensors(path, tensors, {"format": FORMAT, "schema": str(SCHEMA), "record": text})


def load_accuracy(path: Path, space: SearchSpace) -> tuple[RidgeAccuracy | MLPAccuracy, dict[str, Any]]:
    """The predictor of a file, and its metadata.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: It is broken, is not such a file, has another schema, or its tensors do not fit its kind and space.
        EnvironmentMismatchError: It is for another space.
    """
    tensors, record = _read(path)
    if record.get("space") != space.text:
        raise EnvironmentMismatchError(
            f"{path}: quality of {one_line(str(record.get('space')), 80)}, not of {space.text}; learn a predictor for that space"
        )
    kind, numbers, metadata = record.get("kind"), record.get("numbers"), record.get("metadata")
    if kind not in KINDS or not isinstance(numbers, dict) or not isinstance(metadata, dict):
        raise FileFormatError(f"{path}: its kind is {one_line(repr(kind), 40)}; known: {', '.join(KINDS)}")
    sizes = tuple(len(options) for options in space.choices)
    if kind == "ridge":
        ridge = RidgeAccuracy(sizes)
        _check(path, tensors, {f"table.{i}": (size,) for i, size in enumerate(sizes)}, torch.float64)
        ridge.constant_ = _number(path, numbers, "constant")
        ridge.tables_ = [np.asarray(tensors[f"table.{i}"].numpy(), float) for i in range(len(sizes))]
        return ridge, metadata
    layers = sum(name.startswith("weight.") for name in tensors)
    if not 1 <= layers <= MAX_LAYERS:
        raise FileFormatError(f"{path}: has {layers} layers; 1 to {MAX_LAYERS} are read")
    # A layer's input is as wide as the layer before it; only the layer's own width is free.
    widths = [sum(sizes), *(_rows(tensors.get(f"weight.{i}")) for i in range(layers - 1)), 1]
    shapes: dict[str, tuple[int, ...]] = {f"weight.{i}": (widths[i + 1], widths[i]) for i in range(layers)}
    shapes |= {f"bias.{i}": (widths[i + 1],) for i in range(layers - 1)}
    _check(path, tensors, shapes, torch.float32)
    mlp = MLPAccuracy(sizes, hidden=tuple(widths[1:-1]))
    mlp.mean_, mlp.spread_ = _number(path, numbers, "mean"), _number(path, numbers, "spread")
    mlp.weights_ = [(tensors[f"weight.{i}"], tensors.get(f"bias.{i}")) for i in range(layers)]
    return mlp, metadata


def _require_sizes(sizes: Sequence[int], space: SearchSpace) -> None:
    wanted = tuple(len(options) for options in space.choices)
    if tuple(sizes) != wanted:
        raise UsageError(f"a predictor of codes with {tuple(sizes)} options is not of {space.text}, which has {wanted}")


def _rows(tensor: Tensor | None) -> int:
    return int(tensor.shape[0]) if tensor is not None and tensor.ndim else 0


def _number(path: Path, numbers: Mapping[str, Any], name: str) -> float:
    value = numbers.get(name)
    if type(value) is not float or not math.isfinite(value):
        raise FileFormatError(f"{path}: {name} is {one_line(repr(value), 40)}; it must be a finite number")
    return value


def _check(
    path: Path, tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype
) -> None:
    if tensors.keys() != shapes.keys():
        odd = sorted(tensors.keys() ^ shapes.keys())[0]
        raise FileFormatError(f"{path}: the tensor {one_line(odd, 40)} is missing, or has no place in it")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != shapes[name] or tensor.dtype != dtype or not bool(tensor.isfinite().all()):
            raise FileFormatError(
                f"{path}: {name} is {tensor.dtype} {tuple(tensor.shape)}; finite {dtype} {shapes[name]} is needed"
            )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{path}: larger than {MAX_BYTES} bytes; not a predictor of quality")
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
            if known.get("format") != FORMAT:
                raise FileFormatError(
                    f"{path}: its format is {one_line(repr(known.get('format')), 40)}; {FORMAT} is needed"
                )
            if known.get("schema") != str(SCHEMA):
                raise FileFormatError(
                    f"{path}: schema {one_line(repr(known.get('schema')), 40)}; this version of Latlas reads {SCHEMA}"
                )
            text = known.get("record", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    except SafetensorError as error:
        raise FileFormatError(f"{path}: not a safetensors file, or broken ({error})") from None
    try:
        record = json.loads(text) if len(text) <= MAX_RECORD else None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise FileFormatError(f"{path}: its record is not a JSON object")
    return tensors, record
