"""What was wrong with the machine while something was measured, brought to whoever states the result.

A measurement knows it, many calls below the command that prints; what is told lands with all that listen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

log = logging.getLogger(__name__)
_LISTENERS: list[list[str]] = []


@contextmanager
def listening() -> Iterator[list[str]]:
    """A list that fills with what is told meanwhile, each thing once."""
    heard: list[str] = []
    _LISTENERS.append(heard)
    try:
        yield heard
    finally:
        _LISTENERS[:] = [one for one in _LISTENERS if one is not heard]


def tell(problems: Sequence[str]) -> None:
    """Tell all that listen; where nobody does, log it as warnings."""
    for problem in problems:
        if not _LISTENERS:
            log.warning("%s", problem)
        for heard in _LISTENERS:
            if problem not in heard:
                heard.append(problem)
