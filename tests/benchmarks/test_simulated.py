"""The made-up machine: the same truths each time, readings with the errors asked for."""

import numpy as np
import pytest

from benchmarks.simulated import SimulatedMachine
from latlas.latency.measuring.stopwatch import CAMPAIGN_SD


@pytest.fixture(scope="module")
def networks(tiny_space):
    return tiny_space.sample(150, np.random.default_rng(0))


def test_the_truth_is_the_seeds(networks):
    true_ms = [[SimulatedMachine(seed).latency_ms(one.graph()) for one in networks[:20]] for seed in (1, 1, 2)]
    assert true_ms[0] == true_ms[1] != true_ms[2]
    # In another order too.
    machine = SimulatedMachine(1)
    assert [machine.latency_ms(one.graph()) for one in reversed(networks[:20])] == true_ms[0][::-1]
    assert min(true_ms[0]) > 0


def test_without_pairs_it_adds_up(networks):
    machine = SimulatedMachine(1, pair=0.0)
    graph = networks[0].graph()
    assert machine.latency_ms(graph) == pytest.approx(sum(machine._cost(node.spec) for node in graph))


def test_readings_err_as_asked_and_say_so(networks):
    machine = SimulatedMachine(1)
    true_ms = np.array([machine.latency_ms(one.graph()) for one in networks])
    session = machine.session(5, session_sd=0.0, pass_sd=0.012)
    first, second = (session.measure(networks, 6) for _ in range(2))
    errors = np.array([one.latency_ms for one in first]) / true_ms - 1
    assert np.std(errors) == pytest.approx(np.hypot(0.012 / np.sqrt(6), CAMPAIGN_SD), rel=0.25)
    held = [one.lower_ms <= other.latency_ms <= one.upper_ms for one, other in zip(first, second, strict=True)]
    assert np.mean(held) > 0.9
    assert session.measured == 300


def test_a_sessions_shift_is_common_to_its_networks(networks):
    machine = SimulatedMachine(1)
    session = machine.session(5, session_sd=0.05, pass_sd=0.0, campaign_sd=0.0)
    ratios = [
        reading.latency_ms / machine.latency_ms(one.graph())
        for one, reading in zip(networks, session.measure(networks), strict=True)
    ]
    assert ratios == pytest.approx([session.scale] * len(networks))
    assert session.scale != 1.0
