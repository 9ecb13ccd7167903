import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from latlas.latency.errors import UsageError
from latlas.latency.stopwatch import (
    OVERTIME,
    QUIET_ROUNDS,
    QUIET_SECONDS,
    Pass,
    Round,
    StopRule,
    combine,
    disagreement,
    median_interval,
    run_pass,
    settle,
)


class Machine:
    """A scripted host: networks have true milliseconds; speed, bursts and jitter are functions of the time."""

    def __init__(self, candidate_ms=4.0, reference_ms=0.5, jitter=0.002, drift=0.0, burst_share=0.0, seed=0):
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.candidate_ms, self.reference_ms = candidate_ms, reference_ms
        self.jitter, self.drift, self.burst_share = jitter, drift, burst_share

    def run(self, true_ms: float) -> float:
        # Bursts come in stretches of 50 ms and multiply everything within them.
        stretch = np.random.default_rng(int(self.now * 20)).random()
        slow = 2.5 if stretch < self.burst_share else 1.0
        ms = true_ms * slow * (1 + self.drift * self.now) * (1 + abs(self.rng.normal(0, self.jitter)))
        self.now += ms / 1000
        return ms

    def measure(self, rule: StopRule) -> Pass:
        return run_pass(
            lambda: (self.run(self.candidate_ms), self.run(self.candidate_ms)),
            lambda: self.run(self.reference_ms),
            rule,
            lambda: self.now,
        )


def test_a_quiet_machine_gives_the_true_ratio_and_stops_early():
    done = Machine().measure(StopRule())
    assert done.ratio == pytest.approx(8.0, rel=0.003)
    assert len(done.rounds) == StopRule().min_rounds
    assert done.discarded == 0


def test_drift_of_the_machine_cancels():
    machine = Machine(drift=0.2)  # 20 % slower each second
    first, later = machine.measure(StopRule()), machine.measure(StopRule())
    machine.now += 5
    last = machine.measure(StopRule())
    assert later.ratio == pytest.approx(first.ratio, rel=0.01)
    assert last.ratio == pytest.approx(8.0, rel=0.01)
    assert last.reference_ms > 1.5 * first.reference_ms


def test_rounds_hit_by_a_burst_are_discarded_and_replaced():
    done = Machine(burst_share=0.3, seed=3).measure(StopRule(relative_error=0.005))
    assert done.discarded > 0
    assert len(done.accepted) >= StopRule().min_rounds
    assert done.ratio == pytest.approx(8.0, rel=0.01)


def test_a_plain_median_of_the_same_samples_is_misled_by_bursts():
    """What the pairing is for: the same scripted host, judged by milliseconds alone."""
    readings, medians = [], []
    for seed in range(12):
        machine = Machine(drift=0.1, burst_share=0.35, seed=seed)
        machine.now = 3.7 * seed
        done = machine.measure(StopRule())
        readings.append(done.ratio)
        medians.append(float(np.median(done.times_ms())))
    assert np.std(readings) / np.mean(readings) < 0.2 * np.std(medians) / np.mean(medians)


def test_an_unsteady_network_ends_noisy_and_bounded_in_time():
    machine = Machine(jitter=0.4, seed=1)
    rule = StopRule(max_seconds=1.0)
    done = machine.measure(rule)
    assert machine.now < 1.2
    reading = combine([done], rule)
    assert reading.status == "noisy"
    assert reading.lower < reading.ratio < reading.upper


def test_a_slow_network_has_the_rounds_that_an_interval_needs_and_no_end_of_them():
    rule = StopRule(max_seconds=1.0)
    slow = Machine(candidate_ms=400.0)
    assert slow.measure(rule).quiet
    assert slow.now < 6 * 0.85
    slower = Machine(candidate_ms=4000.0)
    assert not slower.measure(rule).quiet
    assert slower.now < OVERTIME + 9


def test_a_slow_network_in_bursts_still_has_the_rounds_that_count():
    assert all(Machine(candidate_ms=300.0, burst_share=0.15, seed=seed).measure(StopRule()).quiet for seed in range(6))


def test_rounds_are_bounded_too():
    done = Machine(jitter=0.5).measure(StopRule(max_rounds=20, max_seconds=1e9))
    assert len(done.rounds) == 20


def test_a_round_takes_the_mean_of_each_pair():
    assert Round(1.0, 3.0, 2.0, 0.25).ratio == 4.0


def test_rounds_in_a_row_share_the_reference_between_them():
    times = iter(np.arange(1.0, 1000.0))
    done = run_pass(lambda: (5.0, 5.0), lambda: next(times), StopRule(max_rounds=12), iter(range(1000)).__next__)
    assert [(r.reference_before, r.reference_after) for r in done.rounds[:3]] == [(1, 2), (2, 3), (3, 4)]


def test_contaminated_rounds_are_those_with_a_bracket_above_the_quiet_level():
    quiet = [Round(1.0, 2.0, 2.0, 1.0)] * 8
    done = Pass((*quiet, Round(1.0, 9.0, 9.0, 1.2), Round(1.11, 2.0, 2.0, 1.0)))
    assert done.discarded == 2
    assert done.ratio == 2.0
    assert done.reference_ms == 1.0


def rounds_of(ratio, reference=1.0, count=12):
    return tuple(Round(reference, reference * ratio, reference * ratio, reference) for _ in range(count))


def test_a_busy_pass_is_known_by_the_quiet_level_around_it():
    """Within itself a pass in a busy minute looks quiet: all its reference runs are slow alike."""
    busy = Pass(rounds_of(1.7, reference=1.5))
    assert busy.quiet
    quiet = [Pass(rounds_of(2.0), at=60.0 * k) for k in range(1, 4)]
    first, *others = settle([busy, *quiet])
    assert not first.quiet
    assert all(one.quiet and one.ratio == 2.0 for one in others)
    assert first.quiet_ms == 1.0


def test_a_quiet_level_of_another_hour_does_not_count():
    """Drift is no burst: what is slower for good is measured as it is."""
    before, later = Pass(rounds_of(2.0)), Pass(rounds_of(2.0, reference=1.3), at=2 * QUIET_SECONDS)
    assert [one.quiet for one in settle([later, before])] == [True, True]


def test_settling_keeps_the_order_and_a_lower_level_known_before():
    passes = [Pass(rounds_of(2.0), known_ms=0.5, at=9.0), Pass(rounds_of(3.0), at=1.0)]
    settled = settle(passes)
    assert [one.rounds for one in settled] == [one.rounds for one in passes]
    assert [one.quiet_ms for one in settled] == [0.5, 1.0]
    assert settle(settled) == settled
    assert settle([]) == []


def test_a_level_that_was_too_low_for_a_moment_does_not_stay():
    """One pass ran a tenth faster; what knew of no other level is not busy for good."""
    fast = Pass(rounds_of(2.0, reference=0.9), at=0.0)
    others = [Pass(rounds_of(2.0), known_ms=0.9, at=1.0 + k) for k in range(30)]
    assert not any(one.quiet for one in others)
    once = settle([fast, *others[:5]])
    assert not any(one.quiet for one in once[1:])
    assert all(one.quiet for one in settle([*once, *others[5:]]))


def test_a_busy_spell_is_given_up_and_a_short_one_waited_out():
    rule = StopRule()

    def measure(busy_seconds):
        machine = Machine()
        run = machine.run

        def slow(true_ms):
            return run(true_ms * (1.5 if machine.now < busy_seconds else 1.0))

        done = run_pass(
            lambda: (slow(machine.candidate_ms), slow(machine.candidate_ms)),
            lambda: slow(machine.reference_ms),
            rule,
            lambda: machine.now,
            0.5,
        )
        return done, machine.now

    given_up, spent = measure(60.0)
    assert not given_up.quiet
    assert spent < 0.5 * rule.max_seconds
    waited, _ = measure(0.5)
    assert waited.quiet
    assert waited.ratio == pytest.approx(8.0, rel=0.003)


def test_busy_passes_count_only_where_there_is_no_other():
    rule = StopRule()
    busy, quiet = Pass(rounds_of(1.7, reference=1.5), quiet_ms=1.0), Pass(rounds_of(2.0), quiet_ms=1.0)
    both = combine([busy, quiet, quiet], rule)
    assert (both.ratio, both.passes, both.rounds, both.discarded) == (2.0, 3, 24, 12)
    alone = combine([busy, busy], StopRule(relative_error=0.5))
    assert alone.ratio == pytest.approx(1.7)
    assert alone.status == "noisy"
    nearly = Pass(rounds_of(2.0, count=QUIET_ROUNDS - 1) + rounds_of(9.0, reference=2.0), quiet_ms=1.0)
    assert not nearly.quiet


def test_a_confidence_that_asks_for_more_rounds_is_never_infinite():
    few = Pass(rounds_of(2.0, count=6), quiet_ms=1.0)
    reading = combine([few, few], StopRule(confidence=0.99))
    assert reading.status == "noisy"
    assert math.isfinite(reading.upper)


def test_disagreement_is_that_of_the_first_two_passes():
    assert disagreement([(1.02, 1.0), (2.0, 2.0, 9.0), (5.0,)]) == pytest.approx(0.01 / 1.01)
    assert math.isnan(disagreement([(5.0,), ()]))


@pytest.mark.parametrize("n", [6, 11, 30, 101])
def test_ranks_of_the_median_interval_are_scipys(n):
    values = list(range(n))
    low, high = median_interval(values, 0.95)
    rank = int(low)  # the value is its own 0-based rank
    assert high == n - 1 - rank
    # P(B <= rank) is the chance that the true median lies below the (rank+1)-th value.
    assert binom.cdf(rank, n, 0.5) <= 0.025 < binom.cdf(rank + 1, n, 0.5)


def test_too_few_values_have_no_interval():
    assert median_interval([1.0] * 5, 0.95) == (-math.inf, math.inf)
    reading = combine([Pass((Round(1, 2, 2, 1), Round(1, 3, 3, 1)))], StopRule())
    assert reading.status == "noisy"
    assert math.isfinite(reading.upper)


def test_the_median_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        low, high = median_interval(list(rng.exponential(size=25)), 0.95)
        inside += low <= math.log(2) <= high
    assert 0.94 <= inside / 1000 <= 0.99


def test_more_passes_narrow_the_interval_and_scatter_between_them_widens_it():
    def quiet(ratio):
        return Pass(tuple(Round(1.0, ratio, ratio, 1.0) for _ in range(12)))

    rule = StopRule()
    one, two = combine([quiet(2.0)], rule), combine([quiet(2.0), quiet(2.0)], rule)
    apart = combine([quiet(1.9), quiet(2.1)], rule)
    assert two.relative_error < one.relative_error
    assert apart.relative_error > 2 * two.relative_error
    assert apart.ratio == 2.0
    assert apart.status == "noisy"
    # By hand: prior variance alone, 1.96 * 0.009 * sqrt(8/9) / sqrt(2).
    assert two.relative_error == pytest.approx(1.96 * 0.009 * math.sqrt(8 / 9) / math.sqrt(2), rel=1e-3)


@given(st.floats(0.01, 100), st.floats(0.01, 10), st.floats(0.1, 50))
def test_readings_do_not_depend_on_the_unit(candidate, reference, unit):
    rounds = tuple(Round(reference, candidate * k, candidate, reference) for k in (1.0, 1.01, 1.02, 1.0, 1.03, 1.01))
    scaled = tuple(
        Round(*(t * unit for t in (r.reference_before, r.first, r.second, r.reference_after))) for r in rounds
    )
    a, b = combine([Pass(rounds)], StopRule()), combine([Pass(scaled)], StopRule())
    assert a.ratio == pytest.approx(b.ratio)
    assert a.upper == pytest.approx(b.upper)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relative_error": 0.0}, "relative_error is 0.0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"min_rounds": 3}, "min_rounds is 3"),
        ({"max_seconds": 0.0}, "max_seconds is 0.0"),
    ],
)
def test_an_impossible_rule_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        StopRule(**settings)


def test_nothing_to_combine_is_refused():
    with pytest.raises(UsageError, match="no pass"):
        combine([], StopRule())
    with pytest.raises(UsageError, match="at least one round"):
        Pass(())
