"""Conformal quantiles: ranks worked out by hand, and coverage of what was not learnt from."""

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.predictor import conformal


def test_the_quantile_is_the_finite_sample_rank():
    scores = np.arange(1, 20) / 100  # n = 19: 95 % is the 19th, 90 % the 18th, 50 % the 10th
    assert [conformal.quantile(scores, c) for c in (0.95, 0.9, 0.5)] == [0.19, 0.18, 0.10]


def test_beyond_what_so_many_samples_can_say_it_grows_on():
    scores = np.arange(1, 20) / 100
    beyond = [conformal.quantile(scores, c) for c in (0.96, 0.99, 0.999)]
    assert 0.19 < beyond[0] < beyond[1] < beyond[2] < 0.4


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5, float("nan")])
def test_an_impossible_confidence_is_refused(confidence):
    with pytest.raises(UsageError, match="confidence is"):
        conformal.quantile(np.ones(20), confidence)


def test_scores_are_errors_in_units_of_the_spread():
    found = conformal.scores(np.array([1.1, 1.8]), np.array([1.0, 2.0]), np.array([0.05, 0.2]))
    np.testing.assert_allclose(found, [0.5, 2.0])


def test_intervals_cover_what_they_say_for_errors_that_are_not_normal():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        spread = rng.uniform(0.5, 2.0, 80) * 0.01
        off = spread * rng.standard_t(3, 80)
        scores = conformal.scores(1 + off[:60], np.ones(60), 3 * spread[:60])
        held.append(np.mean(np.abs(off[60:]) <= conformal.quantile(scores, 0.9) * 3 * spread[60:]))
    assert 0.88 < np.mean(held) < 0.93
