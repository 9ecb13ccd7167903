import pytest

from latlas.search.constraint import Interval
from latlas.search.finish import averaged, rescaled


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
