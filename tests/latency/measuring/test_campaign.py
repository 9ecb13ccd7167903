import json

import numpy as np
import pytest

from latlas.errors import CompileTimeoutError, FileFormatError, LatlasError, UsageError
from latlas.files.journal import Journal
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Network, ProcessDiedError
from latlas.latency.measuring.stopwatch import Pass, StopRule
from latlas.latency.measuring.time_left import Progress


class ScriptedTimer:
    """A timer whose networks have the ratio that their label says, `hang` ones do not compile."""

    def __init__(self, spread=0.0, die_after=None):
        self.rule = StopRule()
        self.order: list[str] = []
        self._spread, self._die_after = spread, die_after
        self._rng = np.random.default_rng(0)

    def time(self, network: Network) -> Pass:
        if self._die_after is not None and len(self.order) >= self._die_after:
            raise KeyboardInterrupt
        self.order.append(network.label)
        if network.label == "hang":
            raise CompileTimeoutError("compiling hang: nothing came back within 60 s")
        ratio = float(network.label) * (1 + self._spread * self._rng.normal())
        return Pass((0.5,) * 7, (0.5 * ratio,) * 12)


NETWORKS = [Network(label) for label in ("1", "2", "3", "4", "5")]


def test_every_network_is_measured_in_each_pass_in_another_order():
    timer = ScriptedTimer()
    found = campaign.measure_all(timer, NETWORKS, passes=2, max_passes=4, repeat_noisy=False, seed=1)
    assert {label: one.reading(timer.rule).ratio for label, one in found.items()} == {
        "1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0,
    }  # fmt: skip
    first, second = timer.order[:5], timer.order[5:]
    assert sorted(first) == sorted(second) == ["1", "2", "3", "4", "5"]
    assert first != second
    again = ScriptedTimer()
    campaign.measure_all(again, NETWORKS, passes=2, max_passes=4, repeat_noisy=False, seed=1)
    assert again.order == timer.order


def test_further_passes_are_for_those_whose_interval_is_not_met():
    timer = ScriptedTimer(spread=0.03)
    found = campaign.measure_all(timer, NETWORKS, passes=2, max_passes=4)
    counts = {label: len(one.passes) for label, one in found.items()}
    assert max(counts.values()) > 2
    for label, one in found.items():
        assert len(one.passes) == 4 or one.reading(timer.rule).status == "ok", label


def test_some_of_the_networks_along_have_a_pass_in_each_round_in_turn():
    timer, known = ScriptedTimer(), [Network(label) for label in ("6", "7", "8", "hang")]
    found = campaign.measure_all(timer, NETWORKS[:2], passes=6, repeat_noisy=False, along=known)
    assert [len(found[label].passes) for label in ("1", "2", "6", "7", "8", "hang")] == [6, 6, 3, 3, 3, 0]
    assert found["hang"].reason
    rounds = [timer.order[:4], timer.order[4:8]]
    assert [sorted(one) for one in rounds] == [["1", "2", "6", "7"], ["1", "2", "8", "hang"]]
    with pytest.raises(UsageError, match="same label"):
        campaign.measure_all(timer, NETWORKS, along=NETWORKS[:1])


class SpellTimer(ScriptedTimer):
    """A busy spell over the first `busy` passes; each takes ten seconds."""

    def __init__(self, busy):
        super().__init__()
        self._busy = busy

    def time(self, network):
        quiet = super().time(network)
        count = len(self.order)
        slow = 1.5 if count <= self._busy else 1.0
        # Not all networks are slowed alike: the ratio is off too.
        references = tuple(t * slow for t in quiet.reference_times_ms)
        return Pass(references, tuple(t * slow**0.5 for t in quiet.times_ms), at=10.0 * count)


def test_what_a_busy_spell_hit_is_measured_again_even_where_noise_is_taken():
    timer = SpellTimer(busy=4)
    found = campaign.measure_all(timer, NETWORKS, passes=2, max_passes=4, repeat_noisy=False)
    assert {label: round(one.reading(timer.rule).ratio, 6) for label, one in found.items()} == {
        "1": 1.0, "2": 2.0, "3": 3.0, "4": 4.0, "5": 5.0,
    }  # fmt: skip
    assert sorted(len(one.passes) for one in found.values()) == [2, 3, 3, 3, 3]
    assert all(len(one.pass_ratios()) == 2 for one in found.values())
    assert campaign.reference_ms(list(found.values())) == 0.5


def test_busy_passes_do_not_count_and_have_an_end():
    timer = SpellTimer(busy=8)  # over more than a pass of each; those that know of no quiet minute count as they are
    found = campaign.measure_all(timer, NETWORKS, passes=3, max_passes=3)
    assert all(len(one.pass_ratios()) == 3 for one in found.values())
    assert sum(len(one.passes) for one in found.values()) == 15 + 8

    class EverBusy(ScriptedTimer):
        def time(self, network):
            done = super().time(network)
            return Pass(done.reference_times_ms, done.times_ms, known_ms=0.1, at=float(len(self.order)))

    ever = EverBusy()
    found = campaign.measure_all(ever, NETWORKS[:2], passes=2, max_passes=3)
    assert [len(one.passes) for one in found.values()] == [6, 6]
    assert {one.reading(timer.rule).status for one in found.values()} == {"noisy"}


def test_noise_alone_is_not_measured_again_where_it_is_taken():
    timer = ScriptedTimer(spread=0.03)
    campaign.measure_all(timer, NETWORKS, passes=2, max_passes=4, repeat_noisy=False)
    assert len(timer.order) == 10


def test_a_journal_keeps_when_and_how_quiet_a_pass_was(tmp_path):
    path = tmp_path / "run.journal"
    with Journal(path, {"a": 1}) as journal:
        before = campaign.measure_all(SpellTimer(busy=3), NETWORKS, passes=1, max_passes=1, journal=journal)
    with Journal(path, {"a": 1}) as journal:
        after = campaign.measure_all(ScriptedTimer(die_after=0), NETWORKS, passes=1, max_passes=1, journal=journal)
    assert all(one.passes for one in after.values())
    for label, one in before.items():
        for kept, restored in zip(one.passes, after[label].passes, strict=True):
            assert (kept.at, kept.known_ms, kept.quiet) == (restored.at, restored.known_ms, restored.quiet)
            assert restored.ratio == pytest.approx(kept.ratio, rel=1e-5)


def test_a_network_that_hangs_is_kept_with_its_reason_and_not_tried_again():
    timer = ScriptedTimer()
    found = campaign.measure_all(timer, [*NETWORKS, Network("hang")], passes=3, max_passes=3)
    assert timer.order.count("hang") == 1
    assert "nothing came back" in found["hang"].reason
    assert len(found["1"].passes) == 3


def test_an_interrupted_campaign_goes_on_from_its_journal(tmp_path):
    path, header = tmp_path / "run.journal", {"what": "test"}
    with Journal(path, header) as journal, pytest.raises(KeyboardInterrupt):
        campaign.measure_all(ScriptedTimer(die_after=7), NETWORKS, passes=2, max_passes=2, journal=journal)
    rest = ScriptedTimer()
    with Journal(path, header) as journal:
        found = campaign.measure_all(rest, NETWORKS, passes=2, max_passes=2, journal=journal)
    assert len(rest.order) == 3
    assert all(len(one.passes) == 2 for one in found.values())
    assert found["4"].reading(rest.rule).ratio == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"label": "9", "reference": [1], "times": [1]}, "'9', which this run does not measure"),
        ({"label": "1", "reference": [1], "times": 1, "at": 1, "known_ms": None}, "times of '1' are broken"),
        ({"label": "1", "reference": [1], "times": [1, -1], "at": 1, "known_ms": 1}, "not positive"),
        ({"label": "1", "reference": [], "times": [1], "at": 1, "known_ms": 1}, "not positive"),
        ({"label": "1", "reference": [1], "times": [1], "at": 1, "known_ms": 0}, "not positive"),
        ({"label": "1", "reference": [1], "times": [1]}, "broken"),
        ({"label": "1"}, "broken"),
    ],
)
def test_a_strange_journal_is_refused(tmp_path, record, message):
    path = tmp_path / "run.journal"
    Journal(path, {"a": 1}).close()
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")
    with Journal(path, {"a": 1}) as journal, pytest.raises(FileFormatError, match=message):
        campaign.measure_all(ScriptedTimer(), NETWORKS, journal=journal)


def test_progress_counts_to_the_end():
    seen: list[Progress] = []
    campaign.measure_all(ScriptedTimer(), NETWORKS, passes=2, max_passes=2, on_progress=seen.append)
    assert [p.done for p in seen] == list(range(10))
    assert {p.total for p in seen} == {10}


def test_the_noise_floor_is_the_disagreement_of_two_readings():
    def measured(*ratios):
        return campaign.Measured("x", [Pass((1.0,) * 7, (r,) * 12) for r in ratios])

    # |1.98 - 2.02| / 2 = 2 % between halves of a reading, and 0: one per cent on average.
    floor = campaign.noise_floor([measured(1.98, 2.02), measured(3.0, 3.0, 3.0), measured(9.0)])
    assert floor == pytest.approx(0.01 / np.sqrt(2))
    assert np.isnan(campaign.noise_floor([measured(1.0)]))


def test_impossible_campaigns_are_refused():
    with pytest.raises(UsageError, match="passes is 3 and max_passes 2"):
        campaign.measure_all(ScriptedTimer(), NETWORKS, passes=3, max_passes=2)
    with pytest.raises(UsageError, match="same label"):
        campaign.measure_all(ScriptedTimer(), [Network("1"), Network("1")])
    with pytest.raises(LatlasError, match="nothing could be measured: it hung"):
        campaign.reference_ms([campaign.Measured("x", reason="it hung")])


def test_passes_between_two_crashes_are_no_latency_and_a_journal_says_so(tmp_path):
    class Crashing(ScriptedTimer):
        def time(self, network):
            if network.label == "2" and self.order.count("2") == 1:
                raise ProcessDiedError("its process died (SIGSEGV), 2 times in all")
            return super().time(network)

    path = tmp_path / "run.journal"
    with Journal(path, {"a": 1}) as journal:
        found = campaign.measure_all(Crashing(), NETWORKS[:2], passes=3, max_passes=3, journal=journal)
    assert [(len(one.passes), one.reason) for one in found.values()] == [
        (3, ""),
        (0, "its process died (SIGSEGV), 2 times in all"),
    ]
    with Journal(path, {"a": 1}) as journal:
        again = campaign.restored(["1", "2"], journal.records, ScriptedTimer().rule, "here")
    assert [len(one.passes) for one in again.values()] == [3, 0]
