"""Where a table lies below a folder or a URL: `<device>/<space>-<precision>-t<threads>.parquet`, everywhere the same.

One table, one name, and two tables of one name are of one device, space, precision, threads and batch. The name is told
from the table alone, so that nobody's index can send a file elsewhere.
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
# What `table_path` gives and nothing else: two parts, no leading dot, so neither `..` nor a hidden file.
_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,99}/[A-Za-z0-9_~][A-Za-z0-9_.~-]{0,220}\.parquet")


def table_path(
    cpu_model: str,
    space: str,
    precision: str,
    threads: int | None,
    batch: int | None = 1,
    origin: str = "measured",
) -> PurePosixPath:
    """Where a table of these lies: `intel-core-i7-8700/portrait-height-192-f32-t1.parquet`.

    A batch other than 1 adds `-b<batch>`, and a table that was imported `-imported`, so that it never stands where a
    measured one belongs. Settings of the space are its names and values in turn; signs other than letters, digits, `_`
    and `.` are their code point between `~`, so that two spaces never share a name. A name that is too long is cut, and its
    sha256 stands for the rest.

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
        # No escape has an h in it, so that no whole name looks like a cut one.
        name = f"{name[: MAX_NAME - 30]}~h{hashlib.sha256(name.encode()).hexdigest()[:24]}~"
    device = device_slug(cpu_model)[:MAX_DEVICE].rstrip("-")
    return PurePosixPath(device) / f"{name}.parquet"


def manifest_path(manifest: Manifest) -> PurePosixPath:
    """Where the table of this manifest lies."""
    its = manifest.environment
    return table_path(its.cpu_model, manifest.space, its.precision, its.threads, its.batch, manifest.origin)


def is_table_path(text: str) -> bool:
    """Whether a text has the form of such a path: two parts, and neither leads out of the folder."""
    return _PATH.fullmatch(text) is not None


def check_table_path(text: str, what: str) -> PurePosixPath:
    """The path of a text that was read somewhere; raises `FileFormatError` for one that is no path of a table."""
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
    """Whether it is `name` or `name:key=value,...`, so that a name made from it loses nothing."""
    return re.fullmatch(r"[^:,=]+(:[^:,=]+=[^:,=]*(,[^:,=]+=[^:,=]*)*)?", space) is not None


def _escaped(text: str) -> str:
    return "".join(sign if _PLAIN.fullmatch(sign) else f"~{ord(sign):x}~" for sign in text)


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)
