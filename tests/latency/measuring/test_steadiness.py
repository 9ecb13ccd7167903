"""Warnings of a machine that was not as usual, by scripted passes; and what is remembered as usual."""

import json
from dataclasses import replace

import pytest

from latlas.latency.measuring.campaign import Measured
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.steadiness import (
    REMEMBERED,
    pace_warning,
    remember,
    steadiness_warnings,
    usual_ms,
    usual_path,
)
from latlas.latency.measuring.stopwatch import Pass, StopRule

RULE = StopRule()


@pytest.mark.parametrize("ratio", [0.96, 1.0, 1.05])
def test_a_usual_pace_is_no_warning(ratio):
    assert pace_warning(ratio, "it usually has") == ""


@pytest.mark.parametrize("ratio", [0.7, 1.5])
def test_another_pace_is_one_with_what_to_do(ratio):
    said = pace_warning(ratio, "it had when the predictor was made")
    assert said.startswith(f"this machine runs at {ratio:.2f} times the latency it had when the predictor was made")
    assert "`latlas doctor`" in said and "`--predictor`" in said


def measured(ratios, busy=0):
    """Passes in the order of time, the last `busy` of them busy."""
    quiet = len(ratios) - busy
    return Measured(
        "net",
        [Pass((1.0 if i < quiet else 1.5,) * 3, (r,) * 4, at=float(i), quiet_ms=1.0) for i, r in enumerate(ratios)],
    )


def test_passes_that_agree_are_no_warning():
    assert steadiness_warnings([measured([2.0, 2.01, 1.99, 2.0, 2.01, 2.0])], RULE) == []
    assert steadiness_warnings([measured([2.0, 2.5, 2.0])], RULE) == []  # too few to be halved


def test_later_passes_beyond_the_earlier_ones_interval_are_one():
    (said,) = steadiness_warnings([measured([2.0] * 6 + [2.3] * 6), measured([2.0] * 12)], RULE)
    assert said.startswith("net: its earlier passes say 2.000 [") and "its later ones 2.300 [" in said
    assert said.endswith("measure again")


def test_a_campaign_of_busy_passes_says_so():
    (said,) = steadiness_warnings([measured([2.0] * 6, busy=3)], RULE)
    assert said.startswith("3 of 6 passes were busy")
    assert steadiness_warnings([measured([2.0] * 6, busy=2)], RULE) == []


def test_what_is_usual_is_the_median_of_earlier_campaigns_in_the_same_environment(tmp_path):
    path = tmp_path / "of mine" / "references.json"
    one = Setting().environment_of("2026.4", "network-2", 2.0)
    two_threads = replace(one, threads=2)
    assert usual_ms(one, path) is None
    for reference_ms in (2.0, 2.2):
        remember(replace(one, reference_ms=reference_ms), path)
    assert usual_ms(one, path) is None  # two campaigns say little
    remember(replace(one, reference_ms=9.0), path)
    assert usual_ms(one, path) == 2.2 and usual_ms(two_threads, path) is None
    for _ in range(REMEMBERED):
        remember(replace(one, reference_ms=3.0), path)
    assert usual_ms(one, path) == 3.0
    assert [len(values) for values in json.loads(path.read_text()).values()] == [REMEMBERED]


@pytest.mark.parametrize("content", ["", "[1]", '{"x": 3}', "\x00"])
def test_a_broken_file_says_nothing_and_is_written_anew(tmp_path, content):
    path = tmp_path / "references.json"
    path.write_text(content)
    one = Setting().environment_of("2026.4", "network-2", 2.0)
    assert usual_ms(one, path) is None
    for _ in range(3):
        remember(one, path)
    assert usual_ms(one, path) == 2.0


def test_where_it_cannot_be_written_nothing_is_remembered(tmp_path):
    (tmp_path / "file").write_text("")
    remember(Setting().environment_of("2026.4", "network-2", 2.0), tmp_path / "file" / "references.json")


def test_it_lies_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert usual_path() == tmp_path / "latlas" / "references.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert usual_path() == tmp_path / "home" / ".cache" / "latlas" / "references.json"
