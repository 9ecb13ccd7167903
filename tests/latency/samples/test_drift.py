import numpy as np
import pytest

from latlas.latency.samples.drift import speed_along


def test_a_drift_is_found_from_the_other_lines():
    rng = np.random.default_rng(0)
    drift = 0.1 * np.sin(np.arange(400) / 20)
    residuals = drift + 0.02 * rng.standard_normal(400)
    residuals[rng.permutation(400)[:100]] = np.nan
    found = np.log(speed_along(residuals))
    assert np.abs(found - drift).mean() < 0.3 * np.abs(drift).mean()


def test_a_line_says_nothing_of_its_own_speed():
    residuals = np.zeros(50)
    residuals[20:30] = 0.1
    changed = residuals.copy()
    changed[25] = np.nan
    assert speed_along(residuals)[25] == pytest.approx(speed_along(changed)[25])


def test_noise_is_no_drift():
    residuals = 0.05 * np.random.default_rng(1).standard_normal(500)
    assert np.abs(np.log(speed_along(residuals))).mean() < 0.01


@pytest.mark.parametrize("residuals", [np.full(5, np.nan), np.zeros(5), np.array([0.1])])
def test_where_nothing_is_known_the_speed_is_the_usual_one(residuals):
    assert np.allclose(speed_along(residuals), 1)
