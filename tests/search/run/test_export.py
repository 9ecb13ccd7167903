from pathlib import Path
from types import SimpleNamespace

import pytest

from latlas.latency.measuring.profile import Setting
from latlas.search.constraint.constraint import Interval
from latlas.search.run import comparison
from latlas.search.run.campaigns import Campaigns
from latlas.search.run.export import Exported, averaged, rescaled
from latlas.search.run.session import Session


def test_a_machine_that_slowed_down_between_is_taken_out(tiny_space):
    anchor, winner = tiny_space.cover()[:2]
    before = Interval(4.0, 3.96, 4.04)  # 1 %
    # A tenth slower now, both of them; 1 % and 2 %.
    now = {anchor: Interval(4.4, 4.356, 4.444), winner: Interval(3.3, 3.234, 3.366)}
    found = rescaled(now, anchor, before)
    assert found[anchor] == before
    assert found[winner].latency_ms == pytest.approx(3.0)
    # sqrt(1^2 + 1^2 + 2^2) % of 3.
    assert found[winner].upper_ms - 3.0 == pytest.approx(0.03 * 6**0.5)
    assert found[winner].lower_ms == pytest.approx(3.0 - 0.03 * 6**0.5)


def test_measuring_again_averages_and_promises_no_more(tiny_space):
    one, two = tiny_space.cover()[:2]
    readings = [
        {one: Interval(3.0, 2.9, 3.1), two: Interval(1.0, 0.98, 1.02)},
        {one: Interval(3.2, 2.9, 3.5), two: Interval(1.0, 0.98, 1.02)},
    ]
    found = averaged(readings)
    assert (found[one].lower_ms, found[one].latency_ms, found[one].upper_ms) == pytest.approx((2.9, 3.1, 3.3))
    assert found[two].latency_ms == 1.0
    (alone,) = averaged([{one: readings[0][one]}]).values()
    assert (alone.lower_ms, alone.latency_ms, alone.upper_ms) == pytest.approx((2.9, 3.0, 3.1))


class Final:
    """`comparison.measure_final` with scripted readings of the winner; the baseline is always as before."""

    def __init__(self, monkeypatch, space, readings):
        self.winner, self.baseline = space.cover()[:2]
        self.left: list[float] = list(readings)
        self.notes: list[str] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(comparison, "measure_exported", self._measure)
        monkeypatch.setattr(comparison.time, "sleep", self.pauses.append)

    def _measure(self, campaigns, exported, setting, reference_ms):
        ms = self.left.pop(0)
        return {self.winner: Interval(ms, 0.99 * ms, 1.01 * ms), self.baseline: Interval(4.0, 3.96, 4.04)}

    def run(self, budget_ms):
        exported = [Exported(self.winner, *[Path("x")] * 3), Exported(self.baseline, *[Path("y")] * 3)]
        session = Session(Campaigns(Setting()), None, Setting(), SimpleNamespace(session_reference_ms=1.0))
        explored = SimpleNamespace(
            session=session,
            constraint=SimpleNamespace(budget_ms=budget_ms),
            landmarks=SimpleNamespace(baseline=Interval(4.0, 3.96, 4.04)),
        )
        return comparison.measure_final(exported, explored, self.baseline, self.notes.append)


def test_a_winner_within_the_budget_is_measured_once(monkeypatch, tiny_space):
    final = Final(monkeypatch, tiny_space, [1.9])
    assert final.run(2.0)[final.winner].latency_ms == pytest.approx(1.9)
    assert not final.notes


def test_one_above_it_is_measured_as_often_whatever_comes_out(monkeypatch, tiny_space):
    """Stopping at the first mean that holds would be choosing the luckiest."""
    final = Final(monkeypatch, tiny_space, [2.1, 1.8, 2.2])
    assert final.run(2.0)[final.winner].latency_ms == pytest.approx((2.1 + 1.8 + 2.2) / 3)
    assert not final.left
    assert len(final.notes) == 1
    assert final.pauses == [comparison.FINAL_PAUSE_SECONDS] * 2


def test_one_whose_upper_bound_is_above_it_is_measured_again(monkeypatch, tiny_space):
    # 1.98 is within 2.0; 1 % of its own and 1 % of either baseline reading above it are not.
    final = Final(monkeypatch, tiny_space, [1.98, 1.95, 1.95])
    found = final.run(2.0)[final.winner]
    assert found.latency_ms == pytest.approx(1.96)
    assert found.upper_ms == pytest.approx(1.96 * (1 + 0.01 * 3**0.5))
    (said,) = final.notes
    assert said.startswith("1.980 ms [1.946, 2.014]: the upper bound is above the budget; measuring 2 times more")


def test_known_subnets_measured_along_bring_the_last_readings_to_the_speed_of_the_first(monkeypatch, tiny_space):
    """A network's bounds then do not hold the baseline's two readings: they end within a budget that they exceeded before."""
    winner, baseline = tiny_space.cover()[:2]
    asked = []

    class Anchored(Session):
        __slots__ = ()

        def measure_networks(self, networks, passes, repeat_noisy=False):
            asked.append(([one.label for one in networks], passes, repeat_noisy))
            return {str(winner): Interval(1.96, 1.94, 1.98), str(baseline): Interval(4.04, 4.0, 4.08)}

    environment = SimpleNamespace(session_reference_ms=1.0)
    session = Anchored(Campaigns(Setting()), None, Setting(), environment, SimpleNamespace(networks=[]))
    before = Interval(4.0, 3.96, 4.04)
    explored = SimpleNamespace(
        session=session, constraint=SimpleNamespace(budget_ms=2.0), landmarks=SimpleNamespace(baseline=before)
    )
    exported = [Exported(winner, *[Path("x")] * 3), Exported(baseline, *[Path("y")] * 3)]
    found = comparison.measure_final(exported, explored, baseline, pytest.fail)
    assert found == {winner: Interval(1.96, 1.94, 1.98), baseline: before}
    assert asked == [([str(winner), str(baseline)], Setting().careful_passes, True)]
