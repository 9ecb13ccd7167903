"""Campaigns of a run, kept raw, and what a run that goes on makes of them."""

from dataclasses import replace

import pytest

from latlas.errors import EnvironmentMismatchError, FileFormatError, LatlasError
from latlas.latency.measuring.bench import Network
from latlas.latency.measuring.profile import Setting
from latlas.latency.measuring.stopwatch import Pass
from latlas.search.run.campaigns import Campaigns
from latlas.search.run.journal import RunJournal

NETWORKS = [Network("a"), Network("b")]
SETTING = Setting(passes=2, max_passes=2)


class Bench:
    """Scripted: `a` takes 2 ms, `b` fails at its second pass, the reference takes 1 ms; entered as often as it is left."""

    openvino_version, reference_id, rule = "2026.4.1", "network-1", SETTING.rule

    def __init__(self):
        self.entered, self.open, self.times = 0, False, 0

    def __enter__(self):
        assert not self.open
        self.entered, self.open = self.entered + 1, True
        return self

    def __exit__(self, *error):
        self.open = False

    def time(self, network):
        assert self.open
        self.times += 1
        if network.label == "b" and self.times > 2:
            raise LatlasError("the compiler gave up")
        return Pass((1.0, 1.1), (2.0, 2.1), at=float(self.times), known_ms=1.0)


@pytest.fixture
def bench(monkeypatch):
    bench = Bench()
    monkeypatch.setattr(Setting, "bench", lambda self: bench)
    monkeypatch.setattr("latlas.search.run.campaigns.time.sleep", lambda seconds: None)
    return bench


def measured(campaigns):
    found = campaigns.measure_all(NETWORKS, passes=2, max_passes=2, seed=0)
    return {label: (one.reason, one.passes) for label, one in found.items()}


def test_the_bench_is_open_only_while_it_measures(bench):
    campaigns = Campaigns(SETTING)
    assert not bench.open
    measured(campaigns)
    measured(campaigns)
    assert bench.entered == 2 and not bench.open


def test_a_run_that_goes_on_has_the_same_passes_and_measures_nothing(bench, tmp_path):
    with RunJournal(tmp_path / "j", {}) as journal:
        campaigns = Campaigns(SETTING, journal)
        first, environment = measured(campaigns), campaigns.environment
    assert first["b"][0] == "the compiler gave up" and len(first["a"][1]) == 2
    with RunJournal(tmp_path / "j", {}) as journal:
        campaigns = Campaigns(SETTING, journal)
        assert campaigns.replaying
        assert measured(campaigns) == first
        assert campaigns.environment == environment
        assert not campaigns.replaying
    assert bench.entered == 1


def test_another_machine_is_refused_where_the_run_goes_on(bench, tmp_path, monkeypatch):
    with RunJournal(tmp_path / "j", {}) as journal:
        measured(Campaigns(SETTING, journal))
    detected = Setting.environment
    monkeypatch.setattr(Setting, "environment", lambda self, *of: replace(detected(self, *of), cpu_model="Another CPU"))
    with RunJournal(tmp_path / "j", {}) as journal:
        campaigns = Campaigns(SETTING, journal)
        measured(campaigns)
        with pytest.raises(EnvironmentMismatchError, match="Another CPU"):
            measured(campaigns)


def test_a_campaign_of_other_networks_is_another_question(bench, tmp_path):
    with RunJournal(tmp_path / "j", {}) as journal:
        measured(Campaigns(SETTING, journal))
    with RunJournal(tmp_path / "j", {}) as journal, pytest.raises(FileFormatError, match="where this run asks for"):
        Campaigns(SETTING, journal).measure_all(NETWORKS[:1], passes=2, max_passes=2)
