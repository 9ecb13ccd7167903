"""Model files: ours written whole or not at all, anybody's read and made static."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openvino as ov

from latlas.errors import FileFormatError, UsageError
from latlas.files.write import cannot_write, whole_file
from latlas.latency.runtime.plugin import core
from latlas.latency.runtime.quantise import quantisers

MODEL_SUFFIXES = (".xml", ".onnx", ".tflite")


def save(model: ov.Model, path: Path) -> None:
    """Write IR `.xml` and `.bin`, weights uncompressed; the `.xml` appears last and whole. What is there is replaced.

    Raises `StorageError` where the disk is full, `UsageError` where it cannot be written there; nothing is left then.
    """
    with whole_file(path, overwrite=True) as draft:
        try:
            ov.save_model(model, str(draft), compress_to_fp16=False)
        except RuntimeError as error:  # "iostream error" is all that OpenVINO says of a full disk
            raise cannot_write(path, error) from None


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
