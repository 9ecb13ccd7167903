import json

import numpy as np
import pytest

from latlas.errors import FileFormatError, UsageError
from latlas.latency.samples.choose_regressor import choose_regressor, regressor_from_record
from latlas.latency.samples.gaussian_kernel import SHAPES, Problem
from latlas.latency.samples.gaussian_process import MAX_SAMPLES, GaussianProcess, additive_costs
from latlas.latency.samples.lightgbm import LightGBMRegressor
from latlas.latency.samples.regressors import left_out_error, read_numbers


def samples(count, seed=0, noise=0.01):
    """Counts of four things and one that says nothing, and milliseconds that are nearly their costs' sum."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(0, 6, (count, 4)), rng.random(count)]).astype(float)
    true = 2 + X[:, :4] @ np.array([0.5, 1.0, 3.0, 0.1]) + 0.2 * X[:, 0] * X[:, 1]
    return X, true * np.exp(noise * rng.standard_normal(count)), true


def regressors():
    return [GaussianProcess(), GaussianProcess(groups=[0, 0, 1, 1, 2], costs=[0, 1, 2, 3]), LightGBMRegressor()]


@pytest.mark.parametrize("index", range(3))
def test_a_regressor_learns_and_reads_back(index):
    X, y, _ = samples(80)
    X_new, _, true = samples(200, seed=1)
    regressor = regressors()[index].fit(X, y)
    predicted = regressor.predict(X_new)
    error = np.abs(predicted / true - 1).mean()
    assert predicted.shape == (200,) and error < (0.02 if index < 2 else 0.25)
    spread = regressor.spread(X_new)
    assert spread.shape == (200,) and np.all(spread > 0)
    assert regressor.left_out_.shape == regressor.left_out_spread_.shape == y.shape
    again = regressor_from_record(json.loads(json.dumps(regressor.to_record())))
    assert np.allclose(again.predict(X_new), predicted, rtol=1e-9)
    assert np.allclose(again.spread(X_new), spread, rtol=1e-6)
    assert np.allclose(again.left_out_, regressor.left_out_, rtol=1e-9)


@pytest.mark.parametrize("index", range(3))
def test_the_same_seed_gives_the_same(index):
    X, y, _ = samples(40)
    first, second = regressors()[index].fit(X, y), regressors()[index].fit(X, y)
    assert np.array_equal(first.predict(X), second.predict(X))


def test_left_out_is_what_leaving_out_gives():
    """The closed form against learning again without the sample, at the same weights."""
    X, y, _ = samples(25)
    whole = GaussianProcess().fit(X, y)
    # Standardising without the sample would differ: keep that of all, and drop rows of what was solved.
    x, t = whole._x, whole._t
    kernel = whole._kernel(x, x) + np.diag(whole._weights.noise * whole._doubts + 1e-8)
    for out in (0, 7, 24):
        rest = np.delete(np.arange(25), out)
        mean = kernel[out, rest] @ np.linalg.solve(kernel[np.ix_(rest, rest)], t[rest])
        assert whole.left_out_[out] == pytest.approx(np.exp(mean * whole._sd + whole._mean), rel=1e-6)


def test_the_likelihoods_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((12, 4)), rng.standard_normal(12)
    group = np.array([0, 0, 1, 2])
    for shape in SHAPES:
        problem = Problem(x, t, np.full(12, 0.01), np.linspace(0.8, 3, 12), group, shape, np.full(8, -2.0))
        theta = rng.uniform(-2, 0, 8)
        _, gradient = problem(theta)
        for index in range(8):
            step = np.zeros(8)
            step[index] = 1e-5
            numeric = (problem(theta + step)[0] - problem(theta - step)[0]) / 2e-5
            assert gradient[index] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_a_bad_reading_moves_little():
    X, y, true = samples(120, noise=0.005)
    spoilt = y.copy()
    spoilt[::20] *= 3
    fine = np.arange(120) % 20 != 0
    regressor = GaussianProcess(groups=[0, 0, 0, 0, 1], costs=[0, 1, 2, 3]).fit(X, spoilt)
    assert np.abs(regressor.predict(X)[fine] / true[fine] - 1).mean() < 0.02
    # What was learnt from as if nothing were wrong with it has a weight of one, or near it.
    assert regressor.weights_[~fine].max() < 0.2 < 0.5 < np.median(regressor.weights_[fine])


def test_what_was_measured_well_counts_more():
    rng = np.random.default_rng(0)
    X = rng.random((60, 1))
    errors = np.where(np.arange(60) % 2, 0.3, 0.003)
    y = 5 * np.exp(X[:, 0] + errors * rng.standard_normal(60))
    told = GaussianProcess().fit(X, y, errors)
    assert np.abs(np.log(told.predict(X) / 5) - X[:, 0]).max() < 0.02


def test_costs_are_what_they_were_made_of():
    X, _, _ = samples(60)
    y = 1.5 + X[:, :4] @ np.array([0.5, 0.0, 3.0, 0.1])
    y[3] *= 4
    assert np.allclose(additive_costs(X[:, :4], y), [1.5, 0.5, 0, 3, 0.1], atol=0.01)


def test_the_chosen_regressor_errs_least_on_what_it_did_not_see():
    X, y, _ = samples(60)
    chosen = choose_regressor(X, y, seed=3)
    assert chosen.name == "gaussian_process"
    assert left_out_error(chosen, y) < left_out_error(LightGBMRegressor(3).fit(X, y), y)
    assert choose_regressor(X, y, candidates=[LightGBMRegressor()]).name == "lightgbm"


def test_a_left_out_error_counts_no_more_than_a_quarter():
    regressor = LightGBMRegressor()
    regressor.left_out_ = np.array([1.0, 100.0])
    assert left_out_error(regressor, [1.1, 1.0]) == pytest.approx((0.1 / 1.1 + 0.25) / 2)


@pytest.mark.parametrize("kind", [GaussianProcess, LightGBMRegressor])
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((5, 2)), np.ones(5), "5 samples; at least 10"),
        (np.zeros((20, 2)), np.zeros(20), "not positive and finite"),
        (np.full((20, 2), np.nan), np.ones(20), "all of them finite"),
        (np.zeros((20, 2)), np.ones(19), r"\(n, f\) and \(n,\) are needed"),
        (np.zeros((20, 0)), np.ones(20), "0 features"),
    ],
)
def test_impossible_samples_are_refused(kind, X, y, message):
    with pytest.raises(UsageError, match=message):
        kind().fit(X, y)


def test_too_many_samples_for_a_gaussian_process():
    with pytest.raises(UsageError, match="at most 4000, use LightGBM"):
        GaussianProcess().fit(np.zeros((MAX_SAMPLES + 1, 1)), np.ones(MAX_SAMPLES + 1))


def test_samples_that_are_all_alike_are_learnt():
    regressor = GaussianProcess().fit(np.ones((12, 2)), np.full(12, 3.0))
    assert np.allclose(regressor.predict(np.ones((2, 2))), 3.0)


@pytest.mark.parametrize(
    "change",
    [
        {"x": [[1e400] * 5] * 12},
        {"x": [[1, 2], [3]]},
        {"x": "numbers"},
        {"y": [0.0] * 12},
        {"y": [True] * 12},
        {"doubts": [0.0] * 12},
        {"groups": [0, 0, 0, 0, 99]},
        {"groups": [0]},
        {"costs": [7]},
        {"costs": [0]},
        {"linear": [-1.0] * 5},
        {"smooth": [1e300] * 5},
        {"noise": 0},
        {"noise": float("nan")},
        {"scale": 10**400},
        {"shape": "round"},
        {"name": "pickle"},
        {"sums": [1.0]},
    ],
    ids=str,
)
def test_a_tampered_record_is_refused(change):
    X, y, _ = samples(12)
    record = GaussianProcess().fit(X, y).to_record() | change
    with pytest.raises(FileFormatError, match="the predictor's"):
        regressor_from_record(record)


@pytest.mark.parametrize(
    "change", [{"trees": "tree\nnot a model"}, {"trees": None}, {"spread": -1}, {"left_out": [None]}], ids=str
)
def test_a_tampered_lightgbm_record_is_refused(change):
    X, y, _ = samples(20)
    with pytest.raises(FileFormatError, match="the predictor's"):
        regressor_from_record(LightGBMRegressor().fit(X, y).to_record() | change)


def test_a_record_of_a_foreign_shape_is_refused():
    foreign: list[object] = [None, [], {}, {"name": ["a"]}]
    for record in foreign:
        with pytest.raises(FileFormatError, match="the predictor's regressor is"):
            regressor_from_record(record)
    with pytest.raises(FileFormatError, match="its shape is"):
        read_numbers({"a": [1, 2]}, "a", (3,))
