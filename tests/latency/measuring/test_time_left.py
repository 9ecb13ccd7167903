"""What a campaign tells of its time left, on a scripted clock, against the time it then took."""

import numpy as np
import pytest

from latlas.errors import CompileTimeoutError
from latlas.latency.measuring import campaign
from latlas.latency.measuring.bench import Network
from latlas.latency.measuring.stopwatch import Pass, StopRule

NETWORKS = [Network(str(number)) for number in range(1, 31)]


class Machine:
    """Each pass takes `seconds` of its own clock. The share `busy` of them is busy, `noisy` networks scatter."""

    def __init__(self, seconds=0.5, busy=0.0, noisy=(), broken=(), rule=None):
        self.rule = rule or StopRule()
        self.now, self.count = 0.0, 0
        self._seconds, self._busy, self._noisy, self._broken = seconds, busy, set(noisy), set(broken)
        self._rng = np.random.default_rng(0)

    def time(self, network):
        self.now += self._seconds
        self.count += 1
        if network.label in self._broken:
            raise CompileTimeoutError("nothing came back")
        slow = 1.5 if self._rng.random() < self._busy else 1.0
        spread = 0.04 if network.label in self._noisy else 0.0
        ratio = float(network.label) * (1 + spread * self._rng.normal())
        return Pass((0.5 * slow,) * 3, (0.5 * slow * ratio,) * 4, known_ms=0.5, at=self.now)


def told(machine, **options):
    """`(seconds from the beginning, progress)` before each pass, and how long all of it took."""
    said = []
    campaign.measure_all(
        machine,
        NETWORKS,
        on_progress=lambda progress: said.append((machine.now, progress)),
        clock=lambda: machine.now,
        **options,
    )
    return said, machine.now


CASES = {
    "a quiet machine": (Machine(), {"passes": 6, "repeat_noisy": False}),
    "two passes of three are busy": (Machine(busy=0.6), {"passes": 3, "max_passes": 12, "repeat_noisy": False}),
    "a third of the networks are noisy": (
        Machine(noisy=[str(n) for n in range(1, 31, 3)]),
        {"passes": 6, "max_passes": 24},
    ),
    "all are noisy, and many passes busy": (
        Machine(busy=0.3, noisy=[str(n) for n in range(1, 31)]),
        {"passes": 3, "max_passes": 12},
    ),
    "some cannot be built": (Machine(broken=["3", "4", "5"]), {"passes": 6, "repeat_noisy": False}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_total_stays_and_the_time_left_comes_true(name):
    machine, options = CASES[name]
    said, took = told(machine, **options)
    assert {progress.total for _, progress in said} == {options["passes"] * len(NETWORKS)}
    done = [progress.done for _, progress in said]
    assert done == sorted(done) or "busy" in name  # a round's end may find that its passes were busy
    assert said[0][1].eta_seconds is None
    # From the middle on, and once every network has most of its first passes, what is told is within half of what comes.
    later = [(now, one.eta_seconds) for now, one in said if one.done >= one.total * 0.9 or now > 0.5 * took]
    for now, eta_seconds in later:
        left = took - now
        assert left / 1.5 - 3.0 <= eta_seconds <= 1.5 * left + 3.0, (now, took)
    # And never nothing while passes are still to come.
    assert all(progress.eta_seconds > 0 for _, progress in said[1:])


def test_on_a_quiet_machine_it_is_right_from_the_first_pass():
    said, took = told(Machine(), passes=6, repeat_noisy=False)
    for now, progress in said[1:]:
        assert progress.eta_seconds == pytest.approx(took - now)


def test_what_goes_beyond_the_total_says_so():
    said, _ = told(Machine(noisy=["7", "8"]), passes=6, max_passes=24)
    beyond = [progress for _, progress in said if progress.done == progress.total]
    assert beyond and all("noisy ones again, " in progress.label for progress in beyond)
