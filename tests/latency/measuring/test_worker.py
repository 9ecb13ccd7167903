"""How a network is sampled, with a scripted one."""

import pytest

from latlas.latency.measuring import worker


class Scripted:
    """A network whose runs take the given milliseconds, the last of them from then on; counts its runs."""

    def __init__(self, *times_ms):
        self.times_ms, self.runs = list(times_ms), 0

    def run(self):
        self.runs += 1
        return self.times_ms.pop(0) if len(self.times_ms) > 1 else self.times_ms[0]


@pytest.fixture(autouse=True)
def _no_warm_up_time(monkeypatch):
    monkeypatch.setattr(worker, "WARM_UP_SECONDS", 0.0)


def runs_of(network, take):
    before = network.runs
    result = take()
    return result, network.runs - before


def test_a_sample_comes_after_runs_that_are_not_counted():
    network = Scripted(5.0)
    sample = worker.candidate_sampler(network)
    network.times_ms = [9.0, 8.0, 7.0, 5.0, 6.0, 5.0]
    assert runs_of(network, sample) == ((5.0, 6.0), worker.CACHE_RUNS + 2)


def test_a_fast_network_is_run_several_times_a_sample_and_a_slow_one_less_beforehand():
    fast, slow = Scripted(0.1), Scripted(60.0)
    (times, runs) = runs_of(fast, worker.candidate_sampler(fast))
    assert times == pytest.approx((0.1, 0.1))
    assert runs == worker.CACHE_RUNS + 2 * 15
    assert runs_of(slow, worker.candidate_sampler(slow)) == ((60.0, 60.0), 1 + 2)


def test_one_interrupted_warm_up_run_changes_nothing():
    network = Scripted(0.1, 0.1, 80.0, 0.1)
    _, runs = runs_of(network, worker.candidate_sampler(network))
    assert runs == worker.CACHE_RUNS + 2 * 15


def test_what_openvino_says_is_one_line_without_its_sources_and_once():
    said = (
        "Exception from src/inference/src/cpp/core.cpp:84:\nException from src/core/a.cpp:9:\nbad shape\n\nbad shape\n"
    )
    assert worker._said(RuntimeError(said)) == "bad shape"
    assert worker._said(RuntimeError("Exception from a.cpp:1:")) == "Exception from a.cpp:1:"
    assert worker._said(RuntimeError("")) == "RuntimeError"
