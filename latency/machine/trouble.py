"""Carries problems of the machine from a measurement to the command that states the result.

A measurement notices them many calls below the command that prints. It tells them here, and all listeners get them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

log = logging.getLogger(__name__)
_LISTENERS: list[list[str]] = []


@contextmanager
def listening() -> Iterator[list[str]]:
    """A list that fills with the problems that are told while it is open, each once."""
    heard: list[str] = []
    _LISTENERS.append(heard)
    try:
        yield heard
    finally:
        _LISTENERS[:] = [one for one in _LISTENERS if one is not heard]


def tell(problems: Sequence[str]) -> None:
    """Tell all listeners; without any, log the problems as warnings."""
    for problem in problems:
        if not _LISTENERS:
            log.warning("%s", problem)
        for heard in _LISTENERS:
            if problem not in heard:
                heard.append(problem)
