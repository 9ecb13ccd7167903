"""Model files: writes Latlas' own, whole or not at all, and reads anybody's and makes their shapes static."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from latlas.errors import FileFormatError, UsageError
from latlas.files.write import cannot_write, whole_file
from latlas.latency.runtime.asked import Asked, asked_of, require_known
from latlas.latency.runtime.inputs import Input, batch_of, name_of, resolve_inputs, shape_text
from latlas.latency.runtime.model_path import MODEL_SUFFIXES, explain_unreadable, require_model
from latlas.latency.runtime.plugin import core
from latlas.latency.runtime.quantise import quantisers
from latlas.latency.runtime.silence import ov

__all__ = [
    "MODEL_SUFFIXES",
    "ModelFile",
    "check_readable",
    "load",
    "metadata_of",
    "read",
    "reshaped",
    "resolve_files",
    "save",
]


def save(model: ov.Model, path: Path) -> None:
    """Write IR `.xml` and `.bin`, with uncompressed weights. The `.xml` appears last and whole. Existing files are replaced.

    Raises `StorageError` if the disk is full, `UsageError` if the path cannot be written; nothing is left behind then.
    """
    with whole_file(path, overwrite=True) as draft:
        try:
            ov.save_model(model, str(draft), compress_to_fp16=False)
        except RuntimeError as error:  # OpenVINO only says "iostream error" of a full disk
            raise cannot_write(path, error) from None


def load(path: Path) -> ov.Model:
    """The model of a file or SavedModel folder, unchanged: open shapes stay open.

    Raises `UsageError` if the path is missing or no model file, `FileFormatError` if a model file cannot be read.
    """
    require_model(path)
    try:
        with _quietly():
            return core().read_model(str(path))
    except RuntimeError as error:
        raise FileFormatError(f"{path}: {explain_unreadable(path, _last_line(error))}") from None


def read(path: Path, shape: Sequence[int] | None = None, batch: int = 1) -> ov.Model:
    """The model of a file with static shapes: its only open input gets `shape`; without it, an open batch becomes `batch`.

    Raises as `load` does, and `UsageError` if a size is left open.
    """
    model = load(path)
    inputs, used = resolve_inputs(path, model, batch, {} if shape is None else {"": tuple(shape)}, {})
    if shape is not None and not used:
        raise UsageError(_unused(tuple(shape), [(path, inputs)]))
    return reshaped(model, [one.shape for one in inputs], path)


def reshaped(model: ov.Model, shapes: Sequence[Sequence[int]], path: Path) -> ov.Model:
    """The model with these shapes for its inputs, in order; raises `UsageError` if its operators cannot have them."""
    if [list(port.shape) if port.get_partial_shape().is_static else None for port in model.inputs] == [
        *map(list, shapes)
    ]:
        return model
    try:
        model.reshape({port: list(shape) for port, shape in zip(model.inputs, shapes, strict=True)})
    except RuntimeError as error:
        given = ", ".join(
            f"{name_of(port)} {shape_text(shape)}" for port, shape in zip(model.inputs, shapes, strict=True)
        )
        raise UsageError(
            f"{path}: its operators cannot have inputs of {given} ({_last_line(error)}); give others with --shape"
        ) from None
    return model


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file with its inputs as they are measured; `batch` is None if nothing says how many samples they hold.

    `own` is what Latlas stored in a file of its own, such as the `architecture`.
    """

    path: Path
    inputs: tuple[Input, ...]
    batch: int | None
    own: Mapping[str, str]


def resolve_files(paths: Sequence[Path], asked: Asked, batch: int = 1, precision: str = "f32") -> list[ModelFile]:
    """Each file with the inputs that it is measured with; all are checked before any timing process is started.

    A shape for `NAME` goes to the open inputs of that name or, if no file has one, to the static ones. Raises as `load` does, and
    `UsageError` if a size stays open, if no input uses a name or a shape, if the batch is not the asked one, or if int8 is asked
    of a file without quantisers.
    """
    models = [load(path) for path in paths]
    require_known(asked, paths, [[name_of(port) for port in model.inputs] for model in models])
    open_names = {name_of(p) for model in models for p in model.inputs if p.get_partial_shape().is_dynamic}
    found, used = [], False
    for index, (path, model) in enumerate(zip(paths, models, strict=True)):
        shapes, everywhere = asked_of(asked.shapes, paths, index)
        own = {name_of(port) for port in model.inputs if port.get_partial_shape().is_dynamic}
        shapes = {name: shape for name, shape in everywhere.items() if name in own or name not in open_names} | shapes
        own_values, all_values = asked_of(asked.values, paths, index)
        inputs, took = resolve_inputs(path, model, batch, shapes, all_values | own_values)
        used |= took
        reshaped(model, [one.shape for one in inputs], path)
        _check(path, model, inputs, batch, precision)
        found.append(ModelFile(path, tuple(inputs), batch_of(model, inputs, batch), metadata_of(model)))
    if "" in asked.shapes and not used:
        raise UsageError(_unused(asked.shapes[""], [(one.path, one.inputs) for one in found]))
    return found


def check_readable(path: Path, shape: Sequence[int] | None = None, batch: int = 1, precision: str = "f32") -> None:
    """Raises as `resolve_files` does for a single file, with the shape of its only open input."""
    resolve_files([path], Asked({} if shape is None else {"": tuple(shape)}), batch, precision)


def _check(path: Path, model: ov.Model, inputs: Sequence[Input], batch: int, precision: str) -> None:
    found = batch_of(model, inputs, batch)
    if found not in (None, batch):
        raise UsageError(f"{path}: its batch is {found}, asked for {batch}; say so with --batch {found}")
    if precision == "int8" and not quantisers(model):
        raise UsageError(f"{path}: it has no quantisers, so nothing of it is int8; quantise it, or measure it at f32")


def _unused(shape: tuple[int, ...], files: Sequence[tuple[Path, Sequence[Input]]]) -> str:
    given = ",".join(map(str, shape))
    if not files:
        return f"--shape {given}: it is of model files, and none is given"
    path, inputs = files[0]
    listed = ", ".join(f"{one.name} {one.own_shape}" for one in inputs) or "no input"
    name = inputs[0].name if inputs else "NAME"
    return (
        f"--shape {given}: no input took it; {path} has {listed}, and a shape without a name is for an input with open "
        f"sizes. To reshape one that is static, name it: --shape {name}={given}"
    )


def metadata_of(model: ov.Model) -> dict[str, str]:
    """The metadata that `stitch` stored under `latlas`; empty for a model that Latlas did not make."""
    if not model.has_rt_info("latlas"):
        return {}
    stored = model.get_rt_info(["latlas"])
    return {str(key): str(getattr(value, "value", value)) for key, value in getattr(stored, "value", stored).items()}


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide what OpenVINO's readers write to standard error: every reader tries each file and complains."""
    try:
        sys.stderr.flush()
        standard_error, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError, AttributeError):
        yield
        return
    os.dup2(silence, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(silence)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
