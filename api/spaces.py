"""Reads spaces and architectures from their texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from latlas.errors import EnvironmentMismatchError, UsageError

if TYPE_CHECKING:
    from latlas.spaces.space import Architecture, SearchSpace


def space(text: str, resolution: str = "") -> SearchSpace:
    """The search space of a text: a name, and after a colon the settings that differ from its defaults.

    Args:
        text: Such as `portrait`, or `portrait:resolution=192x256,decoder_channels=24`.
        resolution: Height and width of the image in pixels, as `N` or `HxW`; it sets the space's `height` and `width`.

    Raises:
        UnknownSpaceError: No space of this name is registered; the message lists the names.
        UsageError: A setting is not known, or its value is not possible.

    Example:
        >>> import latlas
        >>> space = latlas.space("portrait:resolution=192x256")
        >>> space.height, space.width, len(space.choices)
        (192, 256, 14)
        >>> latlas.space("portrait", "128").text
        'portrait:height=128,width=128'
    """
    from latlas.spaces.text import parse_space

    if resolution:
        text += ("," if ":" in text else ":") + f"resolution={resolution}"
    return parse_space(text)


def architecture(
    text: str | Path, space: SearchSpace | None = None, *, on_note: Callable[[str], None] | None = None
) -> Architecture:
    """The architecture of a text, or of a file from `search`: a JSON file, or an exported network, which contains it.

    Args:
        text: Such as `portrait/mobilenetv3_large`; with `space` the part before the slash may be left out. A name that ends
            in `.json`, or the name of a model file, is read as a file.
        space: The space that must have the architecture. A baseline after the bare name of the space, as
            `portrait/mobilenetv3_large`, is taken as the baseline in `space`, whatever its resolution.
        on_note: Called with a line if a baseline was taken in this way.

    Raises:
        UsageError: The text names no space and none is given, has the wrong number of operators, or the file cannot be read.
        UnknownOperatorError: A layer has no such operator.
        EnvironmentMismatchError: It is of another space than `space`; the message names both.
        FileFormatError: The file is broken, or not of an architecture.

    Example:
        >>> import latlas
        >>> latlas.architecture("portrait/mobilenetv3_large").params
        2893969
        >>> small = latlas.space("portrait", "128")
        >>> str(latlas.architecture("portrait/mobilenetv3_large", small, on_note=print))
        portrait/mobilenetv3_large is taken as portrait:height=128,width=128/mobilenetv3_large
        'portrait:height=128,width=128/mobilenetv3_large'
    """
    from latlas.spaces.text import architecture_in, parse_architecture, read_architecture

    if not str(text).endswith(".json"):
        named = _in_model_file(str(text)) or str(text)
        return parse_architecture(named) if space is None else architecture_in(space, named, on_note)
    found = read_architecture(Path(text))
    if space is not None and found.space != space:
        raise EnvironmentMismatchError(f"{text} is of {found.space.text}, not of {space.text}")
    return found


def _in_model_file(text: str) -> str | None:
    """The architecture in a model file; None if the text names no such file.

    Raises `UsageError` for a file without an architecture, which only `measure` can use.
    """
    from latlas.latency.runtime.model_path import architecture_in, names_a_model, require_model

    if not names_a_model(text):
        return None
    require_model(Path(text))
    found = architecture_in(Path(text))
    if found is None:
        raise UsageError(
            f"{text}: it carries no architecture of a search space; give an architecture, or time the file with "
            f"`latlas measure {text}`"
        )
    return found
