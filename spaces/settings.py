"""The settings of a space's text, such as `resolution=192x256,widths=16.24.40.80`, read into its fields.

Dots separate the values of a list. Commas work too: a text without `=` after a list belongs to this list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from latlas.choices import did_you_mean
from latlas.errors import UsageError
from latlas.files.records import one_line

RESOLUTION = "resolution"
LONGEST = 4000
_DIGITS = 20
_NUMBER = re.compile(rf"[+-]?[0-9]{{1,{_DIGITS}}}")
_BOOLS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def read_settings(text: str, defaults: Mapping[str, Any], space: str, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that a space's text sets. `defaults` has all fields; `others` are further names that messages list.

    Blanks and the case of names do not matter. `resolution=N` or `HxW` is height and width.

    Raises:
        UsageError: Names the setting, what is wrong with it, and an example.

    Example:
        >>> read_settings("Resolution=64X96, widths=8,8,16,16", {"height": 32, "width": 32, "widths": (4, 4)}, "mine")
        {'height': 64, 'width': 96, 'widths': (8, 8, 16, 16)}
    """
    if len(text) > LONGEST:
        raise UsageError(f"the settings of space {space} have {len(text)} characters; at most {LONGEST} are read")
    values: dict[str, Any] = {}
    settings = _settings(text, defaults, space, others)
    for key, value in settings:
        if key == RESOLUTION:  # the last one counts, as an option adds its own behind the text
            values |= dict(zip(("height", "width"), _size(value, space), strict=True))
            continue
        if [name for name, _ in settings].count(key) > 1:
            raise UsageError(f"space setting {key} is given twice; {space} takes one value of it")
        values[key] = _value(key, value, defaults[key])
    return values


def _settings(text: str, defaults: Mapping[str, Any], space: str, others: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names and values as text, lists with dots."""
    found: list[tuple[str, str]] = []
    names = (*((RESOLUTION,) if {"height", "width"} <= defaults.keys() else ()), *defaults)
    for setting in text.split(",") if text.strip() else ():
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals and found and isinstance(defaults.get(found[-1][0]), tuple) and name:
            found[-1] = (found[-1][0], f"{found[-1][1]}.{name}")
            continue
        key = {known.lower(): known for known in names}.get(name.lower().replace("-", "_"))
        if key is None or not equals:
            raise UsageError(
                _unknown(setting, name, (*names, *(other for other in others if other not in names)), space)
            )
        found.append((key, value))
    return found


def _unknown(setting: str, name: str, names: tuple[str, ...], space: str) -> str:
    shown = one_line(repr(setting.strip()), 80)
    if name.lower() in names:
        return f"space setting {shown} has no value; write {name.lower()}=..., such as in {space}:{name.lower()}=..."
    close = did_you_mean(one_line(name, 80), names) if len(name) < 80 else ""
    return f"space setting {shown} is not known; {space} has {', '.join(names)}{close}"


def _size(text: str, space: str) -> tuple[int, int]:
    """Height and width from `N` or `HxW`; x, X and the multiplication sign mean the same."""
    sides = re.split(r"\s*[xX\u00d7*]\s*", text)
    if len(sides) > 2 or not all(_NUMBER.fullmatch(side) for side in sides):
        raise UsageError(
            f"space setting {RESOLUTION}={one_line(text, 60)} is no size: write height x width in pixels, such as "
            f"{space}:{RESOLUTION}=192x256, or one number for both"
        )
    return int(sides[0]), int(sides[-1])


def _value(key: str, text: str, default: object) -> object:
    if isinstance(default, tuple):
        parts = [part.strip() for part in re.split(r"[.\s]+", text.strip("()[] "))]
        kind = default[0]
        if all(parts) and (not isinstance(kind, int) or all(map(_NUMBER.fullmatch, parts))):
            return tuple(type(kind)(part) if isinstance(kind, int) else part.lower() for part in parts)
    elif isinstance(default, bool):
        if text.lower() in _BOOLS:
            return _BOOLS[text.lower()]
    elif isinstance(default, int):
        if _NUMBER.fullmatch(text):
            return int(text)
    elif isinstance(default, float):
        if re.fullmatch(r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?", text):
            return float(text)
    elif text:
        return text
    raise UsageError(
        f"space setting {key} is {one_line(repr(text), 60)}, which is not {_kind(default)}; such is {key}={written(default)}"
    )


def _kind(default: object) -> str:
    if isinstance(default, tuple):
        return "whole numbers parted by dots" if isinstance(default[0], int) else "names parted by dots"
    kinds = {bool: "true or false", int: f"a whole number of at most {_DIGITS} digits", float: "a number"}
    return kinds.get(type(default), "a text")


def written(value: object) -> str:
    """A field's value, written as in the text of a space."""
    if isinstance(value, tuple):
        return ".".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest_multiple(value: int, step: int) -> int:
    """The multiple of `step` that is nearest to the value, at least `step`; of two equally near ones the larger."""
    return max(step, (value + step // 2) // step * step)


def sizes_that_work(height: int, width: int, step: int) -> str:
    """A hint for a size that is no multiple of `step`: the nearest resolution that is, as height x width."""
    fitting = f"{nearest_multiple(height, step)}x{nearest_multiple(width, step)}"
    return f"the nearest resolution is {fitting} (height x width)"
