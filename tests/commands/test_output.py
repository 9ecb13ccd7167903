"""Text that the commands print."""

from __future__ import annotations

import logging
import re
import sys
from io import StringIO

import pytest

from latlas.commands import output
from latlas.commands.output import NoteHandler, aligned, bar_of, part_of_a_whole, time_left_text


def test_a_table_keeps_its_columns_apart_whatever_their_names_are_long() -> None:
    rows = [("", "searched", "mobilenetv3_large_x0.5"), ("latency, ms", "4.111", "4.336"), ("mIoU, %", "5.1", "6.2")]
    assert aligned(rows) == [
        "             searched  mobilenetv3_large_x0.5",
        "latency, ms     4.111                   4.336",
        "mIoU, %           5.1                     6.2",
    ]


def test_time_left_is_never_nothing_and_long_ones_are_round() -> None:
    assert [time_left_text(s) for s in (None, 0.0, 0.3, 41.2, 99.9, 130, 5000, 7500)] == [
        *("", "1 s left", "1 s left", "42 s left", "100 s left", "2 min left", "83 min left", "2 h 5 min left"),
    ]


class Lines:
    """Standard error of a command without a terminal, on a clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.said = 0.0, list[str]()
        monkeypatch.setattr(output.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(output, "note", self.said.append)


def test_a_line_has_the_phase_what_is_counted_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    with bar_of("measuring subnets") as bar:
        for second, (done, left) in enumerate(((0, None), (10, 42.0), (20, 0.2))):
            lines.now = 11.0 * (second + 1)
            bar(done, 30, "a label", left)
        lines.now = 44.0
        bar(3, 5, "loss 0.3", 80.0, "training the winner")
    assert lines.said == [
        "measuring subnets: 0 of 30  a label",
        "measuring subnets: 10 of 30, 42 s left  a label",
        "measuring subnets: 20 of 30, 1 s left  a label",
        "training the winner: 3 of 5, 80 s left  loss 0.3",
    ]


def test_a_bar_within_a_longer_job_tells_the_time_left_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, heard = Lines(monkeypatch), []

    def time_left(*where: object) -> float:
        heard.append(where)
        return 180.0

    with part_of_a_whole(time_left), bar_of("measuring") as bar:
        bar(1, 9, "", 5.0)  # told, though nothing is printed yet
        lines.now = 10.0
        bar(2, 9, "", 4.0, "converting")
    assert heard == [("measuring", 1, 9, 5.0), ("converting", 2, 9, 4.0)]
    assert lines.said == ["converting: 2 of 9, 3 min left of all  "]
    with bar_of("measuring") as bar:
        lines.now = 30.0
        bar(1, 9, "", 5.0)
    assert lines.said[-1] == "measuring: 1 of 9, 5 s left  "


class Screen(StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_logged_under_a_bar_goes_above_it_and_no_total_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    log = logging.getLogger("latlas.test_output")
    log.addHandler(handler := NoteHandler())
    try:
        with bar_of("measuring") as bar:
            bar(1, 9, "", 5.0)
            log.warning("the machine is busy")
            bar(2, 9, "", 4.0)
    finally:
        log.removeHandler(handler)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n")
    assert "the machine is busy" in shown.splitlines()  # a line of its own
    assert "None" not in shown and "2/9 4 s left" in shown
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")  # the cursor is back
