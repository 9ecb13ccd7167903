"""YAML read event by event: nested mappings of texts, and nothing else.

No anchor, alias, tag or list is taken, so that there is nothing to expand or to construct; depth, entries and fields are
bounded, and a key given twice is an error.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Any, TypeAlias

from latlas.latency.errors import FileFormatError
from latlas.latency.record import one_line

MAX_ENTRIES = 100_000
MAX_FIELDS = 64
_MAX_DEPTH = 3

Mapping: TypeAlias = "dict[str, str | Mapping]"


def read_mapping(text: str, what: str) -> dict[str, Any]:
    """The mapping that a YAML text is; raises `FileFormatError` with the line for anything else."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is 20 times faster, where it was built in
    try:
        events = yaml.parse(text, Loader=loader)
        for expected in (yaml.StreamStartEvent, yaml.DocumentStartEvent):
            if not isinstance(next(events), expected):
                raise FileFormatError(f"{what} is empty; it must be YAML, a mapping of keys to latencies")
        found = _value(events, next(events), 1, what)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise FileFormatError(f"{what} has a second YAML document; one is read")
    except yaml.YAMLError as error:
        raise FileFormatError(f"{what} is not YAML: {one_line(str(error), 200)}") from None
    if not isinstance(found, dict):
        raise FileFormatError(
            f"{what} is {one_line(reprlib.repr(found), 60)}; it must be a mapping of keys to latencies"
        )
    return found


def _value(events: Iterator[Any], event: Any, depth: int, what: str) -> str | Mapping:
    import yaml

    where = f"{what}, line {event.start_mark.line + 1}"
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise FileFormatError(f"{where}: it has a YAML anchor or alias; neither is read")
    if event.tag is not None:
        raise FileFormatError(f"{where}: it has the YAML tag {one_line(event.tag[:400], 60)}; tags are not read")
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    if not isinstance(event, yaml.MappingStartEvent):
        raise FileFormatError(f"{where}: it has a list; only mappings are read")
    if depth > _MAX_DEPTH:
        raise FileFormatError(f"{where}: mappings within mappings, more than {_MAX_DEPTH} deep")
    found: Mapping = {}
    limit = MAX_ENTRIES if depth == 1 else MAX_FIELDS
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        where = f"{what}, line {event.start_mark.line + 1}"
        key = _value(events, event, _MAX_DEPTH + 1, what)
        if not isinstance(key, str):
            raise FileFormatError(f"{where}: a key that is not text")
        if key in found:
            raise FileFormatError(f"{where}: the key {one_line(key[:400], 120)} is given twice")
        if len(found) == limit:
            raise FileFormatError(f"{where}: more than {limit} keys in one mapping")
        found[key] = _value(events, next(events), depth + 1, what)
    return found
