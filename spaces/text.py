"""Reads spaces and architectures from text and JSON, and registers spaces by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypeVar

from latlas.errors import FileFormatError, UnknownSpaceError, UsageError
from latlas.registry import Registry, resolve
from latlas.spaces.settings import read_settings
from latlas.spaces.space import Architecture, SearchSpace

JSON_LIMIT_BYTES = 1_000_000
Space = TypeVar("Space", bound=SearchSpace)


def _read_space(name: str, value: object) -> type[SearchSpace]:
    if not (isinstance(value, type) and issubclass(value, SearchSpace) and value.name == name):
        raise UsageError(f"it is {value!r:.80}; it must be a class of SearchSpace whose name is {name!r}")
    lacking = sorted(value.__abstractmethods__) + ([] if hasattr(value, "short_names") else ["short_names"])
    if lacking:
        raise UsageError(f"space {name!r} does not say its {', '.join(lacking)}; see docs/extending.md")
    without = [field.name for field in fields(value) if field.default is MISSING]
    if without:
        raise UsageError(
            f"space {name!r} has no default for {', '.join(without)}; its text says what differs from them"
        )
    return value


SPACES: Registry[type[SearchSpace]] = Registry(
    "space",
    "latlas.spaces",
    {
        "dpc": "latlas.spaces.dpc:DpcSpace",
        "nasbench201": "latlas.spaces.nasbench201:NasBench201",
        "portrait": "latlas.spaces.portrait:PortraitSpace",
    },
    read=_read_space,
    error=UnknownSpaceError,
)
"""Search spaces by name. Each of Latlas' own has a line here."""


def register_space(space: type[Space]) -> type[Space]:
    """The class itself, registered under its name; usable as a class decorator.

    Raises:
        UsageError: The name is taken (the message names both owners), or a field of the space has no default.

    Example:
        >>> import latlas
        >>> from dataclasses import dataclass
        >>> from latlas.spaces.portrait import PortraitSpace
        >>> @latlas.register_space
        ... @dataclass(frozen=True)
        ... class Slender(PortraitSpace):
        ...     name = "slender"
        ...     stem_channels: int = 8
        >>> latlas.space("slender:resolution=64").text
        'slender:height=64,width=64'
    """
    SPACES.add(space.name, _read_space(space.name, space))
    return space


def parse_space(text: str) -> SearchSpace:
    """The space of a text such as `portrait` or `portrait:resolution=192x256,decoder_channels=24`.

    `resolution=N` or `HxW` stands for height and width; see `read_settings`. Raises `UnknownSpaceError` or `UsageError`.
    """
    name, _, settings = text.partition(":")
    name = name.strip()
    name = name if name in SPACES else name.lower() if name.lower() in SPACES else name
    kind, variants = SPACES.get(name), vars(SPACES.get(name)).get("variants", {})
    for key, reference in variants.items():
        if re.search(rf"(?i)(?:^|,)\s*{key}\s*=", settings):
            kind = _read_space(name, resolve(reference, f"space {name!r} with {key}"))
    defaults = {field.name: field.default for field in fields(kind)}
    return kind(**read_settings(settings, defaults, kind.name, tuple(variants)))


def parse_architecture(text: str, space: SearchSpace | None = None) -> Architecture:
    """The architecture of a text; a text without a space's name belongs to `space`."""
    head, slash, body = text.strip().partition("/")
    if slash and head.partition(":")[0].strip().lower() in SPACES:
        named = parse_space(head)
        if space is not None and named != space:
            raise UsageError(f"architecture {text!r} is of {named.text}, not of {space.text}")
        space = named
    else:
        body = text.strip()
        space = space or _recognising(body)
        if space is None:
            raise UsageError(f"architecture {text!r} names no space; write portrait/..., or give the space")
    if space.is_baseline(body):
        return space.baseline(body)
    return space.architecture(space.read(body))


def _recognising(body: str) -> SearchSpace | None:
    """The first space, at its defaults, that recognises a text without a space's name."""
    return next((space for kind in SPACES.loadable() if (space := kind()).recognises(body)), None)


def architecture_in(space: SearchSpace, text: str, on_note: Callable[[str], None] | None = None) -> Architecture:
    """The architecture of a text in a known space, for example a predictor's.

    A baseline after the bare name of the space, as `portrait/mobilenetv3_large`, is the baseline in this space, whatever its
    resolution; `on_note` is told so in a line. Raises as `parse_architecture` does.
    """
    name, slash, body = text.strip().partition("/")
    if slash and name == space.name != space.text and space.is_baseline(body):
        found = space.baseline(body)
        if on_note is not None:
            on_note(f"{text.strip()} is taken as {found}")
        return found
    return parse_architecture(text, space)


def architecture_from_record(record: object, origin: str = "architecture") -> Architecture:
    """The architecture of a `to_record` record; raises `FileFormatError` where the record is not one."""
    if not isinstance(record, dict) or not isinstance(record.get("space"), str):
        raise FileFormatError(f"{origin}: not an architecture; it needs a 'space' and 'operators'")
    operators = record.get("operators")
    if not isinstance(operators, list) or not all(isinstance(name, str) for name in operators):
        raise FileFormatError(f"{origin}: 'operators' is {operators!r}; it must be a list of operator names")
    architecture = parse_space(record["space"]).architecture(operators)
    if record.get("hash", architecture.hash) != architecture.hash:
        raise FileFormatError(
            f"{origin}: hash {record['hash']} is recorded, the graph's is {architecture.hash}; "
            "the space has changed since, or the file was edited"
        )
    return architecture


def read_architecture(path: Path) -> Architecture:
    """The architecture in a JSON file."""
    try:
        if path.stat().st_size > JSON_LIMIT_BYTES:
            raise FileFormatError(f"{path}: larger than {JSON_LIMIT_BYTES} bytes; not an architecture file")
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise FileFormatError(f"{path}: not JSON") from None
    return architecture_from_record(record, str(path))
