"""How much of the reference's scatter goes into a ratio, on simulated campaigns whose truth is known."""

import math

import numpy as np
import pytest

from latlas.latency.measuring.stopwatch import LEVEL_SECONDS, Pass, StopRule, combine, controlled

LATENCIES_MS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
REFERENCE_MS = 4.0


def pass_of(candidate_ms, reference_ms, at=0.0, rounds=8):
    return Pass((reference_ms,) * rounds, (candidate_ms,) * rounds, at=at, quiet_ms=reference_ms)


def campaign(rng, speed, own_sd, passes=4, step_seconds=2.0):
    """Passes in turn over the networks; `speed(at)` slows both, `own_sd` is the reference's own scatter."""
    networks: list[list[Pass]] = [[] for _ in LATENCIES_MS]
    for turn in range(passes):
        for index, latency_ms in enumerate(LATENCIES_MS):
            at = (turn * len(LATENCIES_MS) + index) * step_seconds
            slow = speed(at)
            reference_ms = REFERENCE_MS * slow * math.exp(own_sd * rng.standard_normal())
            networks[index].append(
                pass_of(latency_ms * slow * math.exp(0.003 * rng.standard_normal()), reference_ms, at)
            )
    return networks


def errors(networks):
    """Mean relative error of the adjusted ratios, and of the plain ones."""
    truth = np.array(LATENCIES_MS) / REFERENCE_MS
    adjusted = np.array([np.mean([done.ratio for done in passes]) for passes in networks])
    plain = np.array([np.mean([done.plain_ratio for done in passes]) for passes in networks])
    return np.abs(adjusted / truth - 1).mean(), np.abs(plain / truth - 1).mean()


def mean_errors(speed, own_sd, **settings):
    found = [errors(controlled(campaign(np.random.default_rng(s), speed, own_sd, **settings))) for s in range(20)]
    return np.mean(found, axis=0)


def test_in_a_quiet_hour_the_references_own_scatter_is_left_out():
    adjusted, plain = mean_errors(lambda at: 1.0, 0.01)
    assert adjusted < 0.75 * plain


def test_where_the_speed_changes_from_pass_to_pass_the_ratio_stands():
    rng = np.random.default_rng(0)
    adjusted, plain = mean_errors(lambda at: math.exp(0.05 * rng.standard_normal()), 0.002)
    assert adjusted < 1.3 * plain
    # What a plain time would be off by, with the level divided out and nothing else.
    assert adjusted < 0.01


def test_slow_drift_is_divided_out():
    adjusted, plain = mean_errors(lambda at: 1 + 0.3 * at / 1000, 0.01, passes=40)
    assert adjusted < plain
    assert adjusted < 0.004


def test_a_step_of_the_machines_speed_moves_no_reading():
    adjusted, _ = mean_errors(lambda at: 1.0 if at < 300 else 1.3, 0.005, passes=50)
    assert adjusted < 0.01


def test_few_passes_are_plain_ratios():
    for passes in ([pass_of(2.0, 4.1)], [pass_of(2.0, 4.02), pass_of(2.01, 3.98, 1.0)]):
        for before, after in zip(passes, controlled([passes])[0], strict=True):
            assert after.ratio == pytest.approx(before.plain_ratio, rel=0.002)
    assert controlled([]) == [] and controlled([[], []]) == [[], []]


def test_busy_passes_are_left_alone_and_do_not_count():
    rng = np.random.default_rng(0)
    networks = campaign(rng, lambda at: 1.0, 0.01)
    quiet = controlled(networks)
    busy = Pass((9.0,) * 8, (2.0,) * 8, at=3.0, quiet_ms=4.0, adjustment=1.7)
    assert not busy.quiet
    mixed = controlled([[*networks[0], busy], *networks[1:]])
    assert mixed[0][-1].adjustment == 1.0
    assert [done.ratio for done in mixed[0][:-1]] == [done.ratio for done in quiet[0]]


def test_adjusting_adjusted_passes_changes_nothing():
    once = controlled(campaign(np.random.default_rng(1), lambda at: 1.0, 0.01))
    assert controlled(once) == once


def test_passes_far_apart_have_levels_of_their_own():
    early = [pass_of(2.0, 4.0, at) for at in (0.0, 1.0, 2.0)]
    late = [pass_of(2.6, 5.2, at + 10 * LEVEL_SECONDS) for at in (0.0, 1.0, 2.0)]
    assert [done.ratio for done in controlled([early + late])[0]] == pytest.approx([0.5] * 6)


def test_the_interval_is_adjusted_with_its_ratio():
    plain = [Pass((4.0,) * 7, (2.0 + 0.01 * k,) * 12) for k in range(6)]
    adjusted = [Pass(done.reference_times_ms, done.times_ms, adjustment=1.1) for done in plain]
    one, other = combine(plain, StopRule()), combine(adjusted, StopRule())
    assert other.ratio == pytest.approx(1.1 * one.ratio)
    assert other.relative_half_width == pytest.approx(one.relative_half_width)
