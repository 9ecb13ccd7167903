"""Formats of latency tables by name: how each reads and writes, and how it recognises a file.

Another package adds a format by registering a `TableFormat`, or with an entry point in the group `latlas.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from latlas.errors import UsageError
from latlas.files.records import one_line
from latlas.option import check_options, option
from latlas.registry import Registry

if TYPE_CHECKING:
    from latlas.latency.table.manifest import Manifest
    from latlas.latency.table.row import Row
    from latlas.latency.table.table import Table

UNITS = {"s": 3, "ms": 0, "us": -3, "ns": -6}
"""Units of time, as powers of ten of a millisecond."""
ACTIVATIONS = ("relu", "hswish", "ofa")
"""The activations for keys that do not say theirs; `ofa` is Once-for-All's MobileNetV3, by stage."""


VALUES = {"isolated": "latency_ms", "boundary": "boundary_ms", "in-network": "in_network_ms"}
"""The values that may be exported, and the field of a row for each."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the user says about a file that the file does not say itself; a field is None if nothing was said.

    `unit` is one of `UNITS`, `latency_column` the column or field of the latencies, `activation` one of `ACTIVATIONS`; `skip_bad`
    keeps entries without a latency as failed rows. Raises `UsageError` for a value that is out of range or not known.
    """

    cpu_model: str | None = option(None, "CPU that it was measured on.")
    threads: int | None = option(None, "Inference threads.", at_least=1, at_most=4096)
    precision: str | None = option(None, "Precision, such as f32.")
    batch: int | None = option(None, "Batch size.", at_least=1, at_most=2**20)
    space: str | None = option(None, "Search space of the operators.")
    unit: str | None = option(None, "Unit of the latencies: s, ms, us or ns.")
    source: str = option("", "Project and licence of the file.")
    latency_column: str | None = option(None, "Column or field of the latencies.")
    activation: str | None = option(
        None, "Activation, if keys do not say it: relu, hswish, or ofa (Once-for-All's MobileNetV3, by stage)."
    )
    skip_bad: bool = option(False, "Keep entries without a latency as failed rows, and list them.")

    def __post_init__(self) -> None:
        check_options(self)
        for name, known in (("unit", tuple(UNITS)), ("activation", ACTIVATIONS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise UsageError(f"--{name} is {one_line(value, 60)}; it must be one of {', '.join(known)}")

    def require_unset(self, *names: str) -> None:
        """Raises `UsageError` if one of these fields was given although the format or the file says it itself."""
        for name in names:
            if getattr(self, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} has no place here: a file of this format says that itself"
                )


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a file.

    `ignored` are the fields of the file that a table does not keep. `devices` are the devices that it names. With a `manifest`,
    the file itself describes its whole environment.
    """

    rows: Sequence[Row]
    ignored: Collection[str] = ()
    devices: Collection[str] = ()
    manifest: Manifest | None = field(default=None)


Writer: TypeAlias = "Callable[[Table, Sequence[tuple[Row, float]]], str]"


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A format of latency tables.

    `read(text, path, options)` returns the contents of a file; it raises `FileFormatError` for a broken or hostile file, and
    `UsageError` if the user must say more. `write(table, pairs)` returns the text of a table's rows, each with the milliseconds
    to write. Either may be missing. A file has the format if its name, in lower case, has one of the `endings`. If no format has
    the file's ending, the format that `recognises` the beginning of the text is taken. `surely` recognises a text whatever
    the ending. A `whole` format writes every latency of every row: it gets no pairs, and no latency is chosen for it.
    """

    name: str
    read: Callable[[str, Path, ImportOptions], Contents] | None = None
    write: Writer | None = None
    endings: tuple[str, ...] = ()
    recognises: Callable[[str], bool] = lambda text: False
    surely: Callable[[str], bool] = lambda text: False
    whole: bool = False


def _read_format(name: str, value: object) -> TableFormat:
    if not isinstance(value, TableFormat) or value.name != name or not (value.read or value.write):
        raise UsageError(
            f"it is {value!r:.80}; it must be a TableFormat whose name is {name!r} and which reads or writes"
        )
    return value


FORMATS: Registry[TableFormat] = Registry(
    "table format",
    "latlas.formats",
    {
        "ofa": "latlas.latency.formats.ofa:OFA",
        "proxyless": "latlas.latency.formats.ofa:PROXYLESS",
        "fbnet": "latlas.latency.formats.fbnet:FBNET",
        "csv": "latlas.latency.formats.csv_table:CSV",
    },
    read=_read_format,
    definition=lambda one: one.read or one.write,
)
"""Formats by name; each of Latlas' own formats is a line here."""


def register_format(table_format: TableFormat) -> TableFormat:
    """The format itself, which is known by its name from now on.

    Raises:
        UsageError: The name is taken (the message names both owners), or the format neither reads nor writes.

    Example:
        >>> import latlas
        >>> from latlas.latency.formats.table_format import TableFormat
        >>> def write(table, pairs):
        ...     return "".join(f"{row.spec}: {latency_ms} ms\\n" for row, latency_ms in pairs)
        >>> latlas.register_format(TableFormat("lines", write=write, endings=(".lines",))).name
        'lines'
    """
    FORMATS.add(table_format.name, _read_format(table_format.name, table_format))
    return table_format


def format_of(name: str) -> TableFormat:
    """The format with this name; raises `UsageError`, which lists the known names, for any other."""
    if name not in FORMATS:
        raise UsageError(
            f"--format is {one_line(name, 60)}; it must be one of {', '.join(FORMATS.names())}; for one of another package "
            "install that, or give `--import PACKAGE`"
        )
    return FORMATS.get(name)


def format_to_write(name: str, value: str) -> tuple[TableFormat, Writer]:
    """The format with this name and its function that writes such latencies; both are known before any table is read.

    Raises `UsageError` for an unknown name or value, and for a format that Latlas only reads.
    """
    one = format_of(name)
    if one.write is None:
        known = ", ".join(other.name for other in FORMATS.loadable() if other.write is not None)
        raise UsageError(f"--format is {one.name}, which Latlas reads and does not write; it must be one of {known}")
    if value not in VALUES:
        raise UsageError(f"--value is {one_line(value, 60)}; it must be one of {', '.join(VALUES)}")
    if one.whole and value != "isolated":
        raise UsageError(f"--value is {value}; {one.name} has every latency of a row, so leave it out")
    return one, one.write
