"""Text that the commands print."""

from __future__ import annotations

from latlas.commands.output import aligned


def test_a_table_keeps_its_columns_apart_whatever_their_names_are_long() -> None:
    rows = [("", "searched", "mobilenetv3_large_x0.5"), ("latency, ms", "4.111", "4.336"), ("mIoU, %", "5.1", "6.2")]
    assert aligned(rows) == [
        "             searched  mobilenetv3_large_x0.5",
        "latency, ms     4.111                   4.336",
        "mIoU, %           5.1                     6.2",
    ]
