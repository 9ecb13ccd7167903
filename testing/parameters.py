"""Repeats a suite's tests for each thing that its class names, and skips tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def repeat(metafunc: Any, given: Mapping[str, Sequence[Any] | Mapping[str, Any]]) -> None:
    """Repeat a test, pytest's `metafunc`, for all values of each of its parameters that is in `given`.

    In pytest's output a value of a mapping is named by its key, a value of a sequence by its own text.
    """
    for name, values in given.items():
        if name in metafunc.fixturenames:
            named = values if isinstance(values, Mapping) else {str(value): value for value in values}
            metafunc.parametrize(name, list(named.values()), ids=list(named))


def skip(reason: str) -> None:
    """Skip the running test."""
    import pytest

    pytest.skip(reason)
