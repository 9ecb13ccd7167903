"""LightGBM ends the process on many a broken text: none of these may reach it."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latlas.errors import FileFormatError
from latlas.latency.samples.lightgbm import LightGBMRegressor, check_model_text


def samples(features=4, count=40):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(count, features))
    return X, np.exp(1 + 0.3 * X[:, 0] + 0.1 * rng.normal(size=count))


@pytest.fixture(scope="module")
def record():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latlas.latency.samples.lightgbm.ROUNDS", 5)
        return LightGBMRegressor().fit(*samples()).to_record()


@pytest.fixture(scope="module")
def text(record):
    return record["lightgbm"]


def edited(text, name, value):
    """The text with every value of the first field of that name replaced."""
    line = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
    assert line is not None
    return text.replace(line[0], f"{name}=" + " ".join([value] * len(line[1].split(" "))), 1)


def test_what_lightgbm_writes_is_accepted_and_predicts_the_same(record, text):
    check_model_text(text, "it")
    X, _ = samples()
    again = LightGBMRegressor.from_record(record)
    again_text = again.to_record()["lightgbm"]
    check_model_text(again_text, "it")
    np.testing.assert_array_equal(
        again.predict(X), LightGBMRegressor.from_record(record | {"lightgbm": again_text}).predict(X)
    )


def test_trees_that_are_one_leaf_are_accepted():
    X, _ = samples(count=20)
    constant = LightGBMRegressor().fit(np.zeros_like(X), np.full(20, 2.0)).to_record()
    assert LightGBMRegressor.from_record(constant).predict(X[:2]) == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("left_child", "0"),
        ("left_child", "1"),
        ("right_child", "-99"),
        ("right_child", "5"),
        ("split_feature", "4"),
        ("split_feature", "-1"),
        ("split_feature", "99999999999999999999"),
        ("decision_type", "1"),
        ("num_cat", "7"),
        ("num_leaves", "100000"),
        ("num_leaves", "0"),
        ("is_linear", "1"),
        ("leaf_value", "nan"),
        ("leaf_value", ""),
        ("threshold", "1e999"),
        ("threshold", "x"),
        ("tree_sizes", "1"),
        ("max_feature_idx", "300000"),
        ("max_feature_idx", "2"),
        ("num_class", "3"),
        ("num_tree_per_iteration", "0"),
        ("objective", "custom"),
        ("version", "v9"),
        ("feature_names", "a b"),
        ("Tree", "7"),
    ],
)
def test_an_edited_field_is_refused_before_lightgbm_sees_it(text, record, name, value):
    broken = edited(text, name, value)
    # The trees keep their sizes, so that it is the field that is noticed, where the field is of a tree.
    if name not in ("tree_sizes",) and f"\n{name}=" in text.partition("Tree=0")[2]:
        first = int(text.partition("\ntree_sizes=")[2].split(" ", 1)[0])
        broken = broken.replace(f"tree_sizes={first}", f"tree_sizes={first + len(broken) - len(text)}", 1)
    with pytest.raises(FileFormatError, match="the predictor's lightgbm") as caught:
        LightGBMRegressor.from_record(record | {"lightgbm": broken})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "spoil", [lambda t: t[: len(t) // 2], lambda t: t + "Tree=5\n", lambda t: t.replace("tree\n", "tree\r\n", 1)]
)
def test_a_text_that_is_cut_or_goes_on_is_refused(text, spoil):
    with pytest.raises(FileFormatError, match="it: no LightGBM model"):
        check_model_text(spoil(text), "it")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_passes_loads_and_predicts_numbers(record, text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 6))
    with_ = data.draw(st.text("0123456789-.e= \nnaif", max_size=6))
    broken = text[:at] + with_ + text[at + length :]
    try:
        regressor = LightGBMRegressor.from_record(record | {"lightgbm": broken})
    except FileFormatError:
        return
    assert np.all(np.isfinite(regressor.predict(samples()[0])))
