import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import trim_mean
from scipy.stats.mstats import winsorize

from latlas.errors import UsageError
from latlas.latency.measuring.stopwatch import (
    CAMPAIGN_SD,
    PASS_DF,
    PASS_SD,
    QUIET_SECONDS,
    TRIM,
    Pass,
    StopRule,
    combine,
    disagreement,
    quiet_level,
    run_pass,
    with_quiet_levels,
)


class Machine:
    """A scripted host: networks have true milliseconds; speed, bursts and jitter are functions of the time."""

    def __init__(self, candidate_ms=4.0, reference_ms=0.5, jitter=0.002, drift=0.0, burst_share=0.0, seed=0):
        self.now = 0.0
        self.rng = np.random.default_rng(seed)
        self.candidate_ms, self.reference_ms = candidate_ms, reference_ms
        self.jitter, self.drift, self.burst_share = jitter, drift, burst_share

    def run(self, true_ms: float) -> float:
        # Bursts come in stretches of 20 ms and multiply everything within them.
        stretch = np.random.default_rng(int(self.now * 50)).random()
        slow = 2.5 if stretch < self.burst_share else 1.0
        ms = true_ms * slow * (1 + self.drift * self.now) * (1 + abs(self.rng.normal(0, self.jitter)))
        self.now += ms / 1000
        return ms

    def measure(self, rule: StopRule, layout: float = 1.0) -> Pass:
        at = self.now
        done = run_pass(
            lambda: (self.run(self.candidate_ms * layout), self.run(self.candidate_ms * layout)),
            lambda: self.run(self.reference_ms),
            rule,
            lambda: self.now,
        )
        return Pass(done.reference_times_ms, done.times_ms, at=at)


def pass_of(ratio, reference=1.0, **fields):
    return Pass((reference,) * 7, (reference * ratio,) * 12, **fields)


def test_a_quiet_machine_gives_the_true_ratio_in_a_tenth_of_a_second():
    machine = Machine()
    done = machine.measure(StopRule())
    assert done.ratio == pytest.approx(8.0, rel=0.003)
    assert 0.1 <= machine.now < 0.12
    assert len(done.reference_times_ms) == done.rounds + 1


def test_drift_of_the_machine_cancels():
    machine = Machine(drift=0.2)  # 20 % slower each second
    first = machine.measure(StopRule())
    machine.now += 5
    last = machine.measure(StopRule())
    assert first.ratio == pytest.approx(8.0, rel=0.01)
    assert last.ratio == pytest.approx(8.0, rel=0.01)
    assert last.reference_ms > 1.5 * first.reference_ms


def test_a_plain_median_of_the_same_samples_is_misled_by_bursts():
    """What quantiles and pairing are for: the same scripted host, judged by milliseconds alone."""
    readings, medians = [], []
    for seed in range(12):
        machine = Machine(drift=0.1, burst_share=0.35, seed=seed)
        machine.now = 3.7 * seed
        passes = [machine.measure(StopRule()) for _ in range(6)]
        readings.append(combine(passes, StopRule()).ratio)
        medians.append(float(np.median([time for done in passes for time in done.times_ms])))
    assert np.std(readings) / np.mean(readings) < 0.2 * np.std(medians) / np.mean(medians)


def test_a_slow_network_has_its_rounds_and_no_end_of_them():
    slow = Machine(candidate_ms=400.0)
    assert slow.measure(StopRule()).rounds == StopRule().min_rounds
    slower = Machine(candidate_ms=60_000.0)
    assert slower.measure(StopRule()).rounds == 1
    assert slower.now < 150


def test_a_pass_in_a_busy_spell_is_given_up_and_one_with_a_quiet_moment_is_not():
    def seconds(quiet_ms, slow_until):
        machine = Machine()
        run = machine.run

        def slowed(true_ms):
            return run(true_ms * (1.5 if machine.now < slow_until else 1.0))

        done = run_pass(
            lambda: (slowed(4.0), slowed(4.0)), lambda: slowed(0.5), StopRule(), lambda: machine.now, quiet_ms
        )
        return done, machine.now

    given_up, spent = seconds(0.5, 60.0)
    assert spent < 0.06 and given_up.rounds >= 2
    kept, spent = seconds(0.5, 0.03)
    assert spent >= 0.1 and kept.ratio == pytest.approx(8.0, rel=0.01)
    _, unknown = seconds(None, 60.0)
    assert unknown >= 0.1


def test_the_reference_is_run_before_and_after_the_candidate():
    order: list[str] = []

    def candidate():
        order.extend("cc")
        return 5.0, 5.0

    def reference():
        order.append("r")
        return 1.0

    run_pass(candidate, reference, StopRule(min_rounds=2, pass_seconds=1e-9), iter(range(1000)).__next__)
    assert "".join(order) == "rccrccr"


def test_a_ratio_is_that_of_minima():
    done = Pass((7.0, 1.0, 1.1), (50.0, 2.0, 60.0, 2.1))
    assert (done.plain_ratio, done.reference_level_ms, done.reference_ms, done.rounds) == (2.0, 1.0, 1.1, 2)
    assert quiet_level([1.0, 2.0, 3.0]) == pytest.approx(np.quantile([1, 2, 3], 0.1))


def test_a_busy_pass_is_known_by_the_quiet_level_around_it():
    """Within itself a pass in a busy minute looks quiet: all its reference runs are slow alike."""
    busy = pass_of(1.7, reference=1.5)
    assert busy.quiet
    quiet = [pass_of(2.0, at=60.0 * k) for k in range(1, 4)]
    first, *others = with_quiet_levels([busy, *quiet])
    assert not first.quiet
    assert all(one.quiet and one.ratio == 2.0 for one in others)
    assert first.quiet_ms == 1.0


def test_a_quiet_level_of_another_hour_does_not_count():
    """Drift is no burst: what is slower for good is measured as it is."""
    before, later = pass_of(2.0), pass_of(2.0, reference=1.3, at=2 * QUIET_SECONDS)
    assert [one.quiet for one in with_quiet_levels([later, before])] == [True, True]


def test_settling_keeps_the_order_and_a_lower_level_known_before():
    passes = [pass_of(2.0, known_ms=0.5, at=9.0), pass_of(3.0, at=1.0)]
    levelled = with_quiet_levels(passes)
    assert [one.times_ms for one in levelled] == [one.times_ms for one in passes]
    assert [one.quiet_ms for one in levelled] == [0.5, 1.0]
    assert with_quiet_levels(levelled) == levelled
    assert with_quiet_levels([]) == []


def test_a_level_that_was_too_low_for_a_moment_does_not_stay():
    """One pass ran a tenth faster; what knew of no other level is not busy for good."""
    fast = pass_of(2.0, reference=0.9, at=0.0)
    others = [pass_of(2.0, known_ms=0.9, at=1.0 + k) for k in range(30)]
    assert not any(one.quiet for one in others)
    once = with_quiet_levels([fast, *others[:5]])
    assert not any(one.quiet for one in once[1:])
    assert all(one.quiet for one in with_quiet_levels([*once, *others[5:]]))


def test_busy_passes_count_only_where_there_is_no_other():
    rule = StopRule()
    busy, quiet = pass_of(1.7, reference=1.5, quiet_ms=1.0), pass_of(2.0, quiet_ms=1.0)
    both = combine([busy, quiet, quiet], rule)
    assert (both.ratio, both.passes, both.rounds, both.discarded) == (2.0, 2, 12, 6)
    alone = combine([busy, busy, pass_of(1.3, reference=1.5, quiet_ms=1.0)], StopRule(relative_half_width=0.5))
    assert alone.status == "noisy"
    assert alone.lower <= 1.3 and alone.upper >= 1.7
    assert alone.passes == 3 and alone.discarded == 18


def test_the_reading_is_scipys_trimmed_mean_with_its_standard_error():
    rng = np.random.default_rng(0)
    ratios = 2.0 + 0.02 * rng.standard_t(3, size=17)
    reading = combine([pass_of(ratio) for ratio in ratios], StopRule())
    assert reading.ratio == pytest.approx(trim_mean(ratios, TRIM))
    cut = int(TRIM * len(ratios))
    left = 17 - 2 * cut
    # Yuen (1974): the standard error of a trimmed mean.
    error = winsorize(ratios, limits=(TRIM, TRIM)).std(ddof=1) * math.sqrt(16 / (left * (left - 1)))
    variance = (PASS_DF * PASS_SD**2 + 16 * 17 * (error / reading.ratio) ** 2) / (PASS_DF + 16)
    quantile = student.ppf(0.975, PASS_DF + left - 1)
    half = math.sqrt(2) * math.hypot(quantile * math.sqrt(variance / 17), 1.959964 * CAMPAIGN_SD)
    assert reading.relative_half_width == pytest.approx(half, rel=1e-6)


def test_one_wild_pass_of_many_moves_nothing():
    quiet = [pass_of(2.0 + 0.001 * k) for k in range(9)]
    assert combine([*quiet, pass_of(9.0)], StopRule()).ratio == pytest.approx(2.0045, abs=0.001)


def test_more_passes_narrow_the_interval_and_scatter_between_them_widens_it():
    rule = StopRule()
    one, six, many = (combine([pass_of(2.0)] * count, rule) for count in (1, 6, 60))
    apart = combine([pass_of(ratio) for ratio in (1.9, 2.0, 2.1, 1.9, 2.0, 2.1)], rule)
    assert one.relative_half_width > six.relative_half_width > many.relative_half_width > math.sqrt(2) * CAMPAIGN_SD
    assert (one.status, six.status, apart.status) == ("noisy", "ok", "noisy")
    assert apart.relative_half_width > 2 * six.relative_half_width
    assert apart.ratio == pytest.approx(2.0)


@pytest.mark.parametrize(("scale", "passes"), [(0.006, 6), (0.012, 6), (0.012, 24), (0.02, 16), (0.03, 24)])
def test_an_interval_holds_another_reading_as_often_as_it_says(scale, passes):
    """Of passes that differ by about what the prior says, with an outlier in ten."""
    rng, rule, held = np.random.default_rng(1), StopRule(), 0
    for _ in range(400):
        campaigns = []
        for shift in rng.normal(0, CAMPAIGN_SD, 2):
            noise = rng.normal(0, scale, passes) + (rng.random(passes) < 0.1) * rng.normal(0, 3 * scale, passes)
            campaigns.append(combine([pass_of(2.0 * math.exp(shift + x)) for x in noise], rule))
        held += campaigns[0].lower <= campaigns[1].ratio <= campaigns[0].upper
    assert 0.90 <= held / 400 <= 1.0


def test_disagreement_is_that_of_two_readings():
    assert disagreement([(1.02, 1.0), (2.0, 2.0, 2.0), (5.0,)]) == pytest.approx(0.01 / 1.01 / math.sqrt(2))
    assert math.isnan(disagreement([(5.0,), ()]))
    rng = np.random.default_rng(0)
    networks = [tuple(1 + 0.01 * rng.standard_normal(8)) for _ in range(3000)]
    # Two readings of eight passes each differ by a normal of this standard deviation.
    assert disagreement(networks) == pytest.approx(0.01 * math.sqrt(2 / 8) * math.sqrt(2 / math.pi), rel=0.05)


@given(st.floats(0.01, 100), st.floats(0.01, 10), st.floats(0.1, 50))
def test_readings_do_not_depend_on_the_unit(candidate, reference, unit):
    factors = (1.0, 1.01, 1.02, 1.0, 1.03, 1.01)
    times, references = tuple(candidate * k for k in factors), tuple(reference * k for k in factors)
    scaled = Pass(tuple(t * unit for t in references), tuple(t * unit for t in times))
    a, b = combine([Pass(references, times)], StopRule()), combine([scaled], StopRule())
    assert a.ratio == pytest.approx(b.ratio)
    assert a.upper == pytest.approx(b.upper)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relative_half_width": 0.0}, "relative_half_width is 0.0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"min_rounds": 0}, "min_rounds is 0"),
        ({"max_seconds": 0.0}, "max_seconds is 0.0"),
        ({"pass_seconds": math.nan}, "pass_seconds is nan"),
        ({"quiet_tolerance": math.inf}, "quiet_tolerance is inf"),
    ],
)
def test_an_impossible_rule_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        StopRule(**settings)


def test_nothing_to_combine_is_refused():
    with pytest.raises(UsageError, match="no pass"):
        combine([], StopRule())
    with pytest.raises(UsageError, match="at least one sample"):
        Pass((), ())
