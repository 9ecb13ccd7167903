"""Bayesian linear regression: against scikit-learn's Gaussian process, by leaving out for real, and its records."""

import json

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from latlas.errors import UsageError
from latlas.latency.predictor.regression import MISFIT, BayesianLinear, Group


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.integers(0, 3, (60, 6)).astype(float), np.ones((60, 1))], axis=1)
    y = X @ [0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 2.0]
    errors = rng.uniform(0.005, 0.02, 60)
    return X, y * (1 + errors * rng.normal(size=60)), errors


def model():
    return BayesianLinear(
        {"some": Group((0, 1, 2), 0.3), "others": Group((3, 4, 5), 0.3), "one": Group((6,), 2.0, True)}
    )


def test_it_is_the_gaussian_process_of_a_linear_kernel(samples):
    X, y, errors = samples
    spreads = {"all": 0.7, MISFIT: 0.01}
    mine = BayesianLinear({"all": Group(tuple(range(7)), 1.0)}).fit(X, y, errors, spreads)
    shares = X / y[:, None]
    theirs = GaussianProcessRegressor(DotProduct(sigma_0=1e-9), alpha=(errors**2 + 1e-4) / 0.49, optimizer=None)
    theirs.fit(shares, np.ones(60))
    mean, spread = theirs.predict(shares, return_std=True)
    np.testing.assert_allclose(mine.predict(shares), mean, rtol=1e-6)
    np.testing.assert_allclose(np.einsum("ij,jk,ik->i", shares, mine.covariance_, shares), 0.49 * spread**2, rtol=1e-4)


def test_the_closed_form_of_leaving_one_out_is_leaving_one_out(samples):
    X, y, errors = samples
    whole = model().fit(X, y, errors)
    for left in (0, 17, 59):
        rest = np.arange(60) != left
        without = model().fit(X[rest], y[rest], errors[rest], whole.spreads_)
        assert whole.left_out_[left] == pytest.approx(without.predict(X[[left]])[0], rel=1e-8)
        spread = np.sqrt(without.spread(X[[left]])[0] ** 2 - without.noise_**2 + whole.noise_**2)
        assert whole.left_out_spread_[left] == pytest.approx(spread, rel=1e-6)


def test_the_gradient_of_the_evidence_is_that_of_finite_differences(samples, monkeypatch):
    from scipy.optimize import approx_fprime

    caught = {}

    def minimize(loss, start, **kwargs):
        caught["loss"], caught["start"] = loss, start
        return type("Found", (), {"x": start})()

    monkeypatch.setattr("scipy.optimize.minimize", minimize)
    model().fit(*samples)
    at = caught["start"] + 0.3
    _, gradient = caught["loss"](at)
    np.testing.assert_allclose(gradient, approx_fprime(at, lambda logs: caught["loss"](logs)[0], 1e-6), rtol=1e-3)


def test_its_spreads_foretell_its_errors(samples):
    X, y, errors = samples
    fitted = model().fit(X, y, errors)
    scores = np.abs(y / fitted.left_out_ - 1) / fitted.left_out_spread_
    assert 0.5 < np.mean(scores**2) < 2.0
    assert fitted.coef_[6] == pytest.approx(2.0, abs=0.1)


def test_learning_in_two_steps_is_learning_in_one(samples):
    X, y, errors = samples
    first = model().fit(X[:40], y[:40], errors[:40])
    after = first.updated(X[40:], y[40:], errors[40:])
    at_once = model().fit(X, y, errors, first.spreads_)
    np.testing.assert_allclose(after.coef_, at_once.coef_, rtol=1e-12)


def test_a_record_gives_the_same_model_through_json(samples):
    fitted = model().fit(*samples)
    again = BayesianLinear.from_record(json.loads(json.dumps(fitted.to_record())))
    np.testing.assert_allclose(again.coef_, fitted.coef_, rtol=1e-12)
    np.testing.assert_allclose(again.spread(samples[0]), fitted.spread(samples[0]), rtol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        {"features": 3},
        {"features": 10**9},
        {"features": True},
        {"rows": [[[0, 1.0]]]},
        {"rows": [[[99, 1.0]]] * 60},
        {"rows": [[[-1, 1.0]]] * 60},
        {"rows": [[[0, float("nan")]]] * 60},
        {"y": [1.0] * 59},
        {"y": [-1.0] * 60},
        {"errors": [-0.1] * 60},
        {"spreads": {}},
        {"spreads": {"some": 1.0, "others": -1.0, "one": 1.0, "misfit": 0.1}},
        {"mean": [0.0]},
        {"rows": [], "y": [], "errors": []},
    ],
)
def test_a_record_that_is_no_model_is_refused(samples, change):
    record = json.loads(json.dumps(model().fit(*samples).to_record())) | change
    with pytest.raises(ValueError, match=r"."):
        BayesianLinear.from_record(record)


def test_a_latency_that_is_none_is_refused(samples):
    X, y, errors = samples
    with pytest.raises(UsageError, match="not positive"):
        model().fit(X, np.where(np.arange(60) == 3, 0.0, y), errors)
