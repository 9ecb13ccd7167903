"""Keeps a benchmark's work on architectures as lines of JSON: a killed run continues, and several processes add to one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from latlas.errors import FileFormatError, UsageError

Record = dict[str, Any]


class KeptLines:
    """Finished work by architecture and what was done, of one `setting`, JSON; lines of other settings are left alone.

    `path` None keeps it in memory. Raises `UsageError` where the file cannot be read.
    """

    def __init__(self, path: Path | None, setting: Mapping[str, Any]) -> None:
        self.path = path
        self.setting = sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:16]
        self.found: dict[tuple[str, str], Record] = {}
        self.read()

    def read(self) -> None:
        """Read what the file has by now, also from other processes."""
        if self.path is None or not self.path.exists():
            return
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path}: cannot be read ({error})") from None
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except ValueError:  # a line that a kill cut short, or an empty one
                continue
            try:
                if record["setting"] == self.setting:
                    self.found[record["architecture"], record["done"]] = dict(record["values"])
            except (KeyError, TypeError, ValueError):
                raise FileFormatError(f"{self.path}, line {number}: no finished work; name another file") from None

    def get(self, architecture: object, done: str, do: Callable[[], Record]) -> Record:
        """What is known of it; else it is done now, and kept with the `seconds` that took, where it has no own."""
        key = (str(architecture), done)
        if key not in self.found:
            started = time.monotonic()
            values = do()
            self.found[key] = {"seconds": time.monotonic() - started} | values
            if self.path is not None:
                record = {"setting": self.setting, "architecture": key[0], "done": done, "values": self.found[key]}
                with self.path.open("a", encoding="utf-8") as file:
                    # A line break before, too: one that was cut short must not swallow this one.
                    file.write("\n" + json.dumps(record, allow_nan=False) + "\n")
        return self.found[key]
