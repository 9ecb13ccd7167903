"""How a suite's tests are repeated, once for each thing that its class names, and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def repeat(metafunc: Any, given: Mapping[str, Sequence[Any] | Mapping[str, Any]]) -> None:
    """Repeat a test, pytest's `metafunc`, for all values of each parameter in `given` that it has.

    The values of a mapping have its keys as their names in pytest's output, those of a sequence their own text.
    """
    for name, values in given.items():
        if name in metafunc.fixturenames:
            named = values if isinstance(values, Mapping) else {str(value): value for value in values}
            metafunc.parametrize(name, list(named.values()), ids=list(named))


def skip(reason: str) -> None:
    """Leave the test that is running out."""
    import pytest

    pytest.skip(reason)
