"""The inputs of a model file as they are measured: the shape of each, and its fill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latlas.errors import UsageError
from latlas.files.records import one_line
from latlas.latency.runtime.asked import read_array
from latlas.latency.runtime.fill import usual_fill
from latlas.latency.runtime.silence import ov

MAX_ELEMENTS = 2**31
_USUAL_SIDE, _USUAL_LENGTH = 256, 128


@dataclass(frozen=True, slots=True)
class Input:
    """An input as it is measured: its name, shape, element type and fill, and the shape in the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    fill: str
    own_shape: str

    @property
    def reshaped(self) -> bool:
        """Whether the file has another, static shape."""
        return "?" not in self.own_shape and self.own_shape != shape_text(self.shape)

    def to_record(self) -> dict[str, Any]:
        """Every field by name."""
        return asdict(self) | {"shape": list(self.shape)}

    def __str__(self) -> str:
        changed = f" (the file's own: {self.own_shape})" if self.reshaped else ""
        return f"{one_line(self.name, 40)} {shape_text(self.shape)} {self.type}{changed}, {self.fill}"


def name_of(port: Any) -> str:
    """The name of an input: the name of its tensor, else of its node."""
    names = sorted(port.get_names())
    return str(names[0] if names else port.get_node().get_friendly_name())


def resolve_inputs(
    path: Path, model: ov.Model, batch: int, shapes: Mapping[str, tuple[int, ...]], values: Mapping[str, str]
) -> tuple[list[Input], bool]:
    """Every input with its shape and fill, and whether the shape without a name was used.

    Args:
        path: the file, for messages.
        model: the model that was read from it.
        batch: the size for an open first dimension.
        shapes: shapes by input name, `""` for the only input with open sizes; an input with a static shape is reshaped.
        values: fills by input name, `""` for the only input.

    Raises `UsageError` where sizes stay open or a shape does not fit, with each input's name.
    """
    ports = list(model.inputs)
    found: dict[int, tuple[int, ...]] = {}
    for index, port in enumerate(ports):
        shape = shapes.get(name_of(port))
        if shape is not None:
            found[index] = _fitting(path, port, shape)
        elif (fill := values.get(name_of(port), "")).lower().endswith(".npy") and port.get_partial_shape().is_dynamic:
            found[index] = _fitting(path, port, read_array(fill).shape)
    open_ports = [i for i, port in enumerate(ports) if i not in found and port.get_partial_shape().is_dynamic]
    loose = shapes.get("")
    used = loose is not None and any(shape == loose for shape in map(_static, ports))
    if loose is not None and len(open_ports) == 1:
        (index,) = open_ports
        if _fits(ports[index].get_partial_shape(), loose) or _filled(ports[index].get_partial_shape(), batch) is None:
            found[index] = _fitting(path, ports[index], loose)
            used = True
    missing = []
    for index, port in enumerate(ports):
        if index not in found:
            shape = _filled(port.get_partial_shape(), batch)
            if shape is None:
                missing.append(port)
            else:
                found[index] = shape
    if missing:
        raise UsageError(_open_message(path, missing, loose))
    if "" in values and len(ports) != 1:
        listed = ", ".join(name_of(port) for port in ports)
        raise UsageError(f"{path}: it has {len(ports)} inputs ({listed}); say which: --values NAME={values['']}")
    inputs = []
    for index, port in enumerate(ports):
        fill = values.get(name_of(port), values.get("", ""))
        kind = port.get_element_type()
        _require_fillable(path, port, found[index], fill)
        own = _partial(port.get_partial_shape())
        inputs.append(Input(name_of(port), found[index], kind.get_type_name(), fill or usual_fill(kind), own))
    return inputs, used


def _require_fillable(path: Path, port: Any, shape: tuple[int, ...], fill: str) -> None:
    kind, name = port.get_element_type(), one_line(name_of(port), 60)
    if kind.get_type_name() == "string":
        raise UsageError(f"{path}: its input {name} is text, which Latlas does not fill; measure the network behind it")
    if math.prod(shape) > MAX_ELEMENTS:
        raise UsageError(
            f"{path}: its input {name} of {shape_text(shape)} has more than {MAX_ELEMENTS} numbers; give less"
        )
    if not fill:
        return
    if fill.lower().endswith(".npy"):
        array = read_array(fill)
        if array.shape != shape:
            raise UsageError(f"{fill} is {shape_text(array.shape)}; the input {name} of {path} is {shape_text(shape)}")
        if not kind.is_real() and array.dtype.kind == "f":
            raise UsageError(f"{fill} holds {array.dtype}; the input {name} of {path} is {kind.get_type_name()}")
    elif not kind.is_real() and not all(float(end).is_integer() for end in fill.split("..")):
        raise UsageError(f"--values {fill}: the input {name} of {path} is {kind.get_type_name()}, of whole numbers")


def _open_message(path: Path, missing: Sequence[Any], loose: tuple[int, ...] | None) -> str:
    listed = ", ".join(
        f"{one_line(name_of(port), 40)} {_partial(port.get_partial_shape())} {port.get_element_type().get_type_name()}"
        for port in missing
    )
    several = len(missing) > 1
    examples = " ".join(
        f"--shape {name_of(port) + '=' if several else ''}{','.join(map(str, _example(port.get_partial_shape())))}"
        for port in missing
    )
    which, has = (f"inputs {listed}", "have") if several else (f"input {listed}", "has")
    said = f"; {shape_text(loose)} does not say which is meant" if several and loose is not None else ""
    return f"{path}: its {which} {has} dynamic sizes{said}; give them with {examples}"


def _example(partial: Any) -> list[int]:
    if partial.rank.is_dynamic:
        return [1, 3, _USUAL_SIDE, _USUAL_SIDE]
    usual = _USUAL_SIDE if len(partial) == 4 else _USUAL_LENGTH
    return [
        (1 if index == 0 else usual) if size.is_dynamic else size.get_length() for index, size in enumerate(partial)
    ]


def _fits(partial: Any, shape: Sequence[int]) -> bool:
    if partial.rank.is_dynamic:
        return True
    return len(partial) == len(shape) and all(
        size.get_min_length() <= given and (size.get_max_length() in (-1,) or given <= size.get_max_length())
        for size, given in zip(partial, shape, strict=True)
    )


def _fitting(path: Path, port: Any, shape: Sequence[int]) -> tuple[int, ...]:
    partial = port.get_partial_shape()
    same_rank = partial.rank.is_dynamic or len(partial) == len(shape)
    if not same_rank or (partial.is_dynamic and not _fits(partial, shape)):
        raise UsageError(
            f"{path}: shape {shape_text(shape)} does not fit its input {one_line(name_of(port), 60)} {_partial(partial)}"
        )
    return tuple(int(size) for size in shape)


def _static(port: Any) -> tuple[int, ...] | None:
    partial = port.get_partial_shape()
    return tuple(size.get_length() for size in partial) if partial.is_static else None


def _filled(partial: Any, batch: int) -> tuple[int, ...] | None:
    """The shape with the batch as its first size, if that is open; None if other sizes are open."""
    if partial.is_static:
        return tuple(size.get_length() for size in partial)
    if partial.rank.is_dynamic or not len(partial) or any(size.is_dynamic for size in list(partial)[1:]):
        return None
    return (batch, *(size.get_length() for size in list(partial)[1:]))


def batch_of(model: ov.Model, inputs: Sequence[Input], batch: int) -> int | None:
    """How many samples an inference has; None if the inputs do not say.

    These say it: a layout, an open first size that became the batch, inputs that all begin with 1, and images of three channels.
    A first size alone does not, because it may also count boxes, sequences or heads.
    """
    told: set[int | None] = set()
    for port, used in zip(model.inputs, inputs, strict=True):
        layout = getattr(port.get_node(), "layout", None)
        if layout is not None and layout.has_name("N"):
            told.add(used.shape[layout.get_index_by_name("N")])
        elif used.shape:
            open_first = used.own_shape.startswith("[?")
            image = len(used.shape) == 4 and 3 in (used.shape[1], used.shape[3])
            told.add(used.shape[0] if open_first or image or used.shape[0] == 1 else None)
    return next(iter(told)) if len(told) == 1 else None


def shape_text(shape: Sequence[int]) -> str:
    """A shape as `[1,3,256,256]`."""
    return "[" + ",".join(map(str, shape)) + "]"


def _partial(partial: Any) -> str:
    return str(partial).replace(" ", "")
