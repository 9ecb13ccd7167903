"""Where a table lies below a folder or a URL: `<device>/<space>-<precision>-t<threads>.parquet`, everywhere the same.

A table has one name. Two tables with the same name have the same device, space, precision, threads and batch. The name
follows from the table alone, so nobody's index can send a file elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from latlas.errors import FileFormatError
from latlas.files.records import one_line
from latlas.latency.machine.environment import device_slug
from latlas.latency.table.manifest import Manifest

MAX_DEVICE = 100
MAX_NAME = 180
_PLAIN = re.compile(r"[A-Za-z0-9_.]")
# Matches only the results of `table_path`: two parts without a leading dot, so neither `..` nor a hidden file.
_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,99}/[A-Za-z0-9_~][A-Za-z0-9_.~-]{0,220}\.parquet")


def table_path(
    cpu_model: str,
    space: str,
    precision: str,
    threads: int | None,
    batch: int | None = 1,
    origin: str = "measured",
) -> PurePosixPath:
    """The path of a table with these properties: `intel-core-i7-8700/portrait-height-192-f32-t1.parquet`.

    A batch other than 1 adds `-b<batch>`. An imported table adds `-imported`, so it never takes the place of a measured one.
    The settings of the space appear as names and values in turn. Characters other than letters, digits, `_` and `.` become
    their code point between `~`, so two spaces never share a name. A name that is too long is cut, and its sha256 replaces the
    rest.

    Example:
        >>> str(table_path("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", "portrait", "f32", 1))
        'intel-core-i7-8700/portrait-f32-t1.parquet'
    """
    name = f"{_space_name(space)}-{_escaped(precision)}-t{_count(threads)}"
    if batch != 1:
        name += f"-b{_count(batch)}"
    if origin != "measured":
        name += f"-{_escaped(origin)}"
    if len(name) > MAX_NAME:
        # No escape contains an h, so no complete name looks like a cut one.
        name = f"{name[: MAX_NAME - 30]}~h{hashlib.sha256(name.encode()).hexdigest()[:24]}~"
    device = device_slug(cpu_model)[:MAX_DEVICE].rstrip("-")
    return PurePosixPath(device) / f"{name}.parquet"


def manifest_path(manifest: Manifest) -> PurePosixPath:
    """The path of the table with this manifest."""
    its = manifest.environment
    return table_path(its.cpu_model, manifest.space, its.precision, its.threads, its.batch, manifest.origin)


def is_table_path(text: str) -> bool:
    """Whether a text has the form of a table's path: two parts, and neither leads out of the folder."""
    return _PATH.fullmatch(text) is not None


def check_table_path(text: str, what: str) -> PurePosixPath:
    """The path in a text that was read from a file; raises `FileFormatError` if it is no path of a table."""
    if not is_table_path(text):
        raise FileFormatError(f"{what}: path is {one_line(repr(text), 80)}; it must be <device>/<name>.parquet")
    return PurePosixPath(text)


def _space_name(space: str) -> str:
    """`portrait:height=32,skip=True` is `portrait-height-32-skip-True`; spaces joined by a merge are `a~and~b`."""
    name = "~and~".join(
        "-".join(_escaped(word) for word in re.split("[:,=]", part)) if _is_regular(part) else _escaped(part)
        for part in space.split(" + ")
    )
    if name.startswith("."):
        name = f"~2e~{name[1:]}"
    return name


def _is_regular(space: str) -> bool:
    """Whether a space's text is `name` or `name:key=value,...`, so that a name made from it loses nothing."""
    return re.fullmatch(r"[^:,=]+(:[^:,=]+=[^:,=]*(,[^:,=]+=[^:,=]*)*)?", space) is not None


def _escaped(text: str) -> str:
    return "".join(sign if _PLAIN.fullmatch(sign) else f"~{ord(sign):x}~" for sign in text)


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)
