"""Tensors in safetensors files: written whole or not at all, checked when they are read, without pickle.

A file holds tensors. Its metadata has three entries: `format` (`latlas-supernet`, `latlas-subnet` or `latlas-training`),
`schema`, and `record`, a JSON object that says what the tensors belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from latlas.errors import FileFormatError, UsageError
from latlas.files.write import cannot_write, whole_file

# 1: the first.
SCHEMA = 1


def write_record(path: Path, kind: str, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write tensors and the record of what they belong to. `kind` is `supernet`, `subnet` or `training`.

    Raises what `write_tensors` raises.
    """
    text = json.dumps(record, sort_keys=True, allow_nan=False)
    write_tensors(path, tensors, {"format": f"latlas-{kind}", "schema": str(SCHEMA), "record": text})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all. It replaces a file that exists.

    Raises what `files.write.whole_file` raises.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path, overwrite=True) as draft:
        try:
            save_file(plain, draft, metadata)
        except SafetensorError as error:
            raise cannot_write(path, error) from None


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the `record` of a file of this kind. Raises what `read_record` raises."""
    record = read_record(path, (kind,))
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, record  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise FileFormatError(f"{path}: broken ({error})") from None


def read_record(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The `record` of a file of one of the `wanted` kinds.

    Raises:
        UsageError: The file cannot be read.
        FileFormatError: The file is broken, is not one of Latlas', or has another schema.
    """
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


def check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    """Raise `FileFormatError` if the found tensors differ in name, shape or type, or have a value that is not finite."""
    for name in sorted(expected.keys() - found.keys()):
        raise FileFormatError(f"{path}: lacks the tensor {name}")
    for name in sorted(found.keys() - expected.keys()):
        raise FileFormatError(f"{path}: has a tensor {name} that the network does not have")
    for name, tensor in expected.items():
        value = found[name]
        if value.shape != tensor.shape or value.dtype != tensor.dtype:
            raise FileFormatError(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)}; "
                f"the network's is {tensor.dtype} {tuple(tensor.shape)}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise FileFormatError(f"{path}: {name} has values that are not finite")
