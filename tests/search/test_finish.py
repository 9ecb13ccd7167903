import pytest

from latlas.search.constraint import Interval
from latlas.search.finish import rescaled


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
