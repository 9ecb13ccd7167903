"""Two latency tables compared: the operators that changed, and those that change rank."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latlas.errors import UsageError
from latlas.option import option

if TYPE_CHECKING:
    from latlas.latency.table.compare import Comparison, Ranks
    from latlas.latency.table.table import Table


class FailOn(StrEnum):
    """Which changes make `diff` end with exit code 1."""

    any = "any"
    slower = "slower"
    faster = "faster"
    none = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """How two tables are compared. Raises `UsageError` for a threshold or confidence that is impossible."""

    threshold: float = option(1.0, "Smallest ratio, up or down, that counts as a change.")
    confidence: float = option(0.95, "Compare intervals of this confidence.")
    bonferroni: bool = option(False, "Divide 1 - confidence by the number of operators.")
    ranks: bool = option(False, "Say which operators change rank at each place.")

    def __post_init__(self) -> None:
        from latlas.latency.table.compare import require_comparable

        require_comparable(self.threshold, self.confidence)


@dataclass(frozen=True, slots=True)
class ComparedTables:
    """Two tables and the result of comparing them; `ranked` is None where ranks were not asked for."""

    before: Table
    after: Table
    found: Comparison
    ranked: list[Ranks] | None

    def fails(self, on: FailOn | str) -> bool:
        """Whether there is a change of this kind; raises `UsageError` for an unknown kind."""
        if on not in tuple(FailOn):
            raise UsageError(f"fail_on is {on!r:.60}; it must be one of {', '.join(FailOn)}")
        kinds = {"any": self.found.changed, "slower": self.found.slower, "faster": self.found.faster, "none": ()}
        return bool(kinds[on])

    def to_record(self) -> dict[str, Any]:
        """All that is known of the comparison, as `tables diff --json` prints it."""
        from latlas.latency.table.compare_record import comparison_record

        return comparison_record(self.before, self.after, self.found, self.ranked)


def compare_tables(before: Path, after: Path, options: CompareOptions) -> ComparedTables:
    """The operators of two tables' files that changed beyond both intervals, and with `ranks` those that change rank.

    Raises:
        UsageError: There is no such file.
        FileFormatError: A file is no valid table.
    """
    from latlas.latency.table.compare import compare, ranks
    from latlas.latency.table.table import Table

    one, other = Table.read(before), Table.read(after)
    found = compare(
        one, other, threshold=options.threshold, confidence=options.confidence, bonferroni=options.bonferroni
    )
    return ComparedTables(one, other, found, ranks(one, other) if options.ranks else None)
