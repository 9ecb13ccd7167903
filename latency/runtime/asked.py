"""The shapes and values that the user asks for the inputs of model files, by file and by name.

A shape or value without a name is for a file's only open input; one with a name is for that input alone. Nothing here
imports OpenVINO.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latlas.errors import FileFormatError, UsageError
from latlas.files.records import one_line

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_SHAPE = re.compile(r"[\[(]?\s*(\d{1,9}(?:\s*[,x×]\s*\d{1,9})*)\s*,?\s*[\])]?")


@dataclass(frozen=True, slots=True)
class Asked:
    """The shapes and values for the inputs of several files. The key is `NAME`, `FILE:NAME`, `FILE`, or empty.

    `shapes` and `values` map this key to what was asked; a value is a number, a range `0..99`, or the path of a `.npy` file.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def parse_shape(text: str) -> tuple[int, ...] | None:
    """The sizes of `1,3,256,256`, `1x3x256x256` or `[1, 3, 256, 256]`; None for another text."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        return None
    sizes = tuple(int(part) for part in re.split(r"[,x×]", match[1]))
    return sizes if all(sizes) else None


def parse_asked(shapes: Sequence[str], values: Sequence[str]) -> Asked:
    """The shapes and values of options such as `x=1,3,256,256` or `model.onnx:ids=0..99`; raises `UsageError` for other texts."""
    found: dict[str, tuple[int, ...]] = {}
    for text in shapes:
        name, _, sizes = text.rpartition("=")
        shape = parse_shape(sizes)
        if shape is None:
            parts = (part.strip() for part in sizes.strip(" []()").split(","))
            wrong = next((part for part in parts if parse_shape(part) is None), sizes)
            raise UsageError(
                f"--shape is {one_line(text, 80)!r}, where {one_line(wrong, 40)!r} is no size; it must be such as "
                "1,3,256,256, NAME=1,3,256,256 or FILE:NAME=1,3,256,256, with sizes of at least 1"
            )
        _add(found, name.strip(), shape, "--shape")
    fills: dict[str, str] = {}
    for text in values:
        name, _, value = text.rpartition("=")
        check_fill(value.strip())
        _add(fills, name.strip(), value.strip(), "--values")
    return Asked(found, fills)


def _add(found: dict[str, Any], name: str, value: Any, option: str) -> None:
    if name in found:
        raise UsageError(f"{option} is given twice for {one_line(name, 80) or 'what has no name'}")
    found[name] = value


def check_fill(text: str) -> None:
    """Raises `UsageError` unless a text is a number, a range in order, or the path of an existing .npy file."""
    if text.lower().endswith(".npy"):
        if not Path(text).is_file():
            raise UsageError(f"--values: {text}: no such file")
        read_array(text)
        return
    match = _RANGE.fullmatch(text)
    ends = [float(part) for part in (match.groups() if match else (text, text)) if re.fullmatch(_NUMBER, part)]
    if len(ends) != 2 or not all(map(math.isfinite, ends)) or ends[0] > ends[1]:
        raise UsageError(
            f"--values is {one_line(text, 80)!r}; it must be a number, a range such as 0..99, or a .npy file, after NAME= "
            "where the model has several inputs"
        )


def asked_of(asks: Mapping[str, Any], files: Sequence[Path], index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is asked of one file by its name, and what is asked of every file; both map input names to what was asked.

    The name `""` stands for a text that names no input.
    """
    for_file: dict[str, Any] = {}
    for_all: dict[str, Any] = {}
    for text, value in asks.items():
        owners, name = _split(text, files)
        if owners is None:
            for_all[name] = value
        elif index in owners:
            for_file[name] = value
    return for_file, for_all


def _split(text: str, files: Sequence[Path]) -> tuple[set[int] | None, str]:
    """The files that a text names (None for all), and the name of the input in it."""
    best: tuple[int, set[int] | None, str] = (0, None, text)
    for index, file in enumerate(files):
        for title in {str(file), file.name}:
            if text == title or text.startswith(f"{title}:"):
                owners = best[1] if best[0] == len(title) and best[1] is not None else set()
                if len(title) >= best[0]:
                    best = (len(title), owners | {index}, text[len(title) + 1 :])
    return best[1], best[2]


def require_known(asked: Asked, files: Sequence[Path], names: Sequence[Sequence[str]]) -> None:
    """Raises `UsageError` if an option names an input that none of its files has; `names` are the inputs of each file."""
    for option, asks in (("--shape", asked.shapes), ("--values", asked.values)):
        for text in asks:
            owners, name = _split(text, files)
            mine = [names[index] for index in (range(len(files)) if owners is None else sorted(owners))]
            if name and not any(name in known for known in mine):
                listed = ", ".join(dict.fromkeys(one for known in mine for one in known)) or "none"
                where = "" if owners is None else f" of {one_line(text.removesuffix(name)[:-1], 120)}"
                raise UsageError(
                    f"{option} names {one_line(name, 80)!r}; the inputs{where} are {one_line(listed, 200)}"
                )


def read_array(text: str) -> Any:
    """The array of numbers in a .npy file, mapped and only read where it is used; raises `FileFormatError`."""
    import numpy as np

    try:
        array = np.load(text, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise FileFormatError(
            f"{text}: it is no array of numbers as numpy.save writes it ({one_line(str(error), 100)})"
        ) from None
    if array.dtype.kind not in "biuf":
        raise FileFormatError(f"{text}: it holds {array.dtype}; an input is filled with numbers")
    return array
