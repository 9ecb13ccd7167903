"""A latency table of its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latlas.latency.table.table import Table


def load_table(path: str | Path) -> Table:
    """The latency table of a Parquet file, all of it checked.

    A table is immutable. It has a row an operator: `table.latency_ms(spec)` is the operator's isolated latency in milliseconds,
    `len(table)` counts rows, `table.manifest` says where they come from, `table.to_frame()` is a pandas data frame.

    Raises:
        UsageError: There is no such file.
        FileFormatError: The file is broken, hostile, or of a schema that this Latlas does not read.

    Example:
        >>> import latlas
        >>> table = latlas.load_table("table.parquet")
        >>> spec = table.rows[0].spec
        >>> table.latency_ms(spec) > 0
        True
    """
    from latlas.latency.table.table import Table

    return Table.read(path)
