"""Boosted trees as numbers: what they predict by hand and as LightGBM does, and what is no tree."""

import json

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latlas.errors import FileFormatError
from latlas.latency.samples import trees as module
from latlas.latency.samples.lightgbm import PARAMETERS, LightGBMRegressor
from latlas.latency.samples.trees import MAX_DEPTH, Trees

# Two trees of two features. The first: x0 <= 1.5 gives 10, else x1 <= 0 gives 20 and more 30. The second is one leaf, 0.5.
BY_HAND = {
    "features": 2,
    "feature": [0, 1],
    "threshold": [1.5, 0.0],
    "left": [-1, -2],
    "right": [1, -3],
    "leaves": [10.0, 20.0, 30.0, 0.5],
    "roots": [0, -4],
}


def samples(features=4, count=40):
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(count, features)), 1)
    return X, np.exp(1 + 0.3 * X[:, 0] + 0.1 * rng.normal(size=count))


def boosted(X, y, rounds):
    return lightgbm.train(PARAMETERS, lightgbm.Dataset(X, np.log(y)), num_boost_round=rounds)


@pytest.fixture(scope="module")
def record():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latlas.latency.samples.lightgbm.ROUNDS", 5)
        return LightGBMRegressor().fit(*samples()).to_record()


def test_a_row_goes_left_where_it_is_at_most_the_threshold():
    trees = Trees.from_record(BY_HAND)
    rows = np.array([[1.5, 9.0], [1.6, 0.0], [1.6, 0.1], [-7.0, 0.0]])
    assert trees.predict(rows).tolist() == [10.5, 20.5, 30.5, 10.5]
    assert trees.predict(np.zeros((0, 2))).tolist() == []
    assert trees.to_record() == BY_HAND


def test_many_rows_are_looked_at_in_parts(monkeypatch):
    trees, rows = Trees.from_record(BY_HAND), np.random.default_rng(0).normal(size=(50, 2))
    whole = trees.predict(rows)
    monkeypatch.setattr(module, "_AT_ONCE", 6)
    assert (trees.predict(rows) == whole).all()


@pytest.mark.parametrize(("features", "count"), [(1, 20), (4, 40), (12, 300)])
def test_predictions_are_lightgbms(features, count):
    X, y = samples(features, count)
    booster = boosted(X, y, 60)
    text = lightgbm.Booster(model_str=booster.model_to_string())
    trees = Trees.from_record(json.loads(json.dumps(Trees.of(booster).to_record())))
    rows = np.concatenate([X, np.round(np.random.default_rng(1).normal(size=(500, features)), 1), 1e9 * X[:2]])
    for one in (booster, text):
        np.testing.assert_allclose(trees.predict(rows), one.predict(rows), rtol=1e-12, atol=1e-12)


def test_trees_that_are_one_leaf_are_accepted():
    X, _ = samples(count=20)
    constant = LightGBMRegressor().fit(np.zeros_like(X), np.full(20, 2.0)).to_record()
    assert LightGBMRegressor.from_record(constant).predict(X[:2]) == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left": [-1, 0]}, "left of node 1 leads back to 0"),
        ({"right": [0, -3]}, "right of node 0 leads back to 0"),
        ({"right": [2, -3]}, "right has other than whole numbers of -4 to 1"),
        ({"left": [-5, -2]}, "left has other than whole numbers of -4 to 1"),
        ({"left": [-1.5, -2]}, "left has other than whole numbers"),
        ({"left": [-1]}, "left: its shape is"),
        ({"feature": [0, 2]}, "feature has other than whole numbers of 0 to 1"),
        ({"feature": [-1, 1]}, "feature has other than"),
        ({"feature": [0, 10**30]}, "feature has other than"),
        ({"feature": [0, None]}, "feature: not a list of numbers"),
        ({"threshold": [float("nan"), 0]}, "threshold: a number is not finite"),
        ({"threshold": [10**400, 0]}, "threshold: a number is not finite"),
        ({"threshold": "1 2"}, "threshold: not a list of numbers"),
        ({"leaves": [float("inf")] * 4}, "leaves: a number is not finite"),
        ({"leaves": []}, "2 nodes and 0 leaves are no model"),
        ({"roots": []}, "0 of them; 1 to 20000"),
        ({"roots": [2]}, "roots has other than whole numbers of -4 to 1"),
        ({"roots": [0] * 20_001}, "20001 of them"),
        ({"features": 0}, "features: 0 is no number from 1 to 4096"),
        ({"features": 5000}, "features: 5000 is no number"),
        ({"features": None}, "features: None is no number"),
    ],
)
def test_numbers_that_are_no_trees_are_refused(change, message):
    with pytest.raises(FileFormatError, match="the predictor's") as caught:
        Trees.from_record(BY_HAND | change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def chain(nodes):
    """A tree whose every node has the next one for a child."""
    left = [*range(1, nodes), -1]
    return {"features": 1, "feature": [0] * nodes, "threshold": [0.0] * nodes, "left": left, "right": [-1] * nodes} | {
        "leaves": [1.0],
        "roots": [0],
    }


def test_a_path_that_is_too_long_is_refused_and_one_that_is_not_is_walked():
    assert Trees.from_record(chain(MAX_DEPTH)).predict(np.zeros((1, 1))).tolist() == [1.0]
    with pytest.raises(FileFormatError, match="one is 65 deep; at most 64"):
        Trees.from_record(chain(MAX_DEPTH + 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_passes_loads_and_predicts_numbers(record, data):
    broken = json.loads(json.dumps(record))
    name = data.draw(st.sampled_from(sorted(set(broken["trees"]) - {"features"})))
    values = broken["trees"][name]
    number = st.one_of(st.integers(-100, 100), st.floats(), st.none(), st.text("0e-.", max_size=3))
    values[data.draw(st.integers(0, len(values) - 1))] = data.draw(number)
    try:
        regressor = LightGBMRegressor.from_record(broken)
    except FileFormatError:
        return
    assert np.all(np.isfinite(regressor.predict(samples()[0])))
