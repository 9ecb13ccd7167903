import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.fitting.choose import falling_variance
from latlas.latency.predictor.regression import Group
from latlas.latency.predictor.transfer import (
    MIN_SAMPLES,
    Columns,
    Transfer,
    expected_error,
    freedom,
    quantile,
    relative,
)

OPERATORS = 6
GROUPS = {"operator": Group(tuple(range(OPERATORS)), 0.1)}


class World:
    """Networks whose operators take their milliseconds, in a source and in a target where each takes another factor."""

    def __init__(self, seed, count=400, noise=0.01, factor=3.0, spread=0.25):
        rng = np.random.default_rng(seed)
        cost = rng.uniform(0.2, 1.0, OPERATORS)
        counts = rng.integers(0, 5, (count, OPERATORS)).astype(float)
        self.features = counts * cost
        self.source = (0.5 + self.features.sum(axis=1))[:, None]
        factors = factor * np.exp(spread * rng.normal(size=OPERATORS))
        exact = 0.5 * factor + self.features @ factors
        self.target = exact * (1 + noise * rng.normal(size=count))
        self.errors = np.full(count, max(noise, 1e-3))

    def fitted(self, rows):
        return Transfer(GROUPS).fit(self.source[rows], self.features[rows], self.target[rows], self.errors[rows])

    def error(self, transfer, rows):
        predicted = transfer.predict(self.source[rows], self.features[rows])
        return float(np.mean(np.abs(predicted / self.target[rows] - 1)))

    def scaled_error(self, learnt, rows):
        scale = np.median(self.target[learnt] / self.source[learnt, 0])
        return float(np.mean(np.abs(scale * self.source[rows, 0] / self.target[rows] - 1)))


LEARN, HELD = np.arange(100), np.arange(100, 400)


def test_few_samples_give_the_scale():
    world = World(0, noise=0.0, spread=0.0)
    transfer = world.fitted(LEARN[:MIN_SAMPLES])
    assert world.error(transfer, HELD) < 0.01
    assert transfer.columns_.scale == pytest.approx((3.0,), rel=1e-9)


def test_more_samples_learn_what_the_scale_does_not_say():
    found: dict[int, list[float]] = {count: [] for count in (5, 20, 100)}
    scaled = []
    for seed in range(5):
        world = World(seed)
        for count, errors in found.items():
            errors.append(world.error(world.fitted(LEARN[:count]), HELD))
        scaled.append(world.scaled_error(LEARN, HELD))
    assert np.mean(found[5]) < np.mean(scaled)
    assert np.mean(found[20]) < 0.5 * np.mean(found[5])
    assert np.mean(found[100]) < 0.011  # the noise's own mean error is 0.008


@pytest.mark.parametrize("count", [6, 12, 30])
def test_intervals_hold_as_often_as_they_say_however_few_the_samples(count):
    held: dict[float, list[float]] = {0.8: [], 0.9: [], 0.95: []}
    for seed in range(40):
        world = World(seed, spread=0.15)
        rows = np.random.default_rng(seed).choice(400, count, replace=False)
        transfer = world.fitted(rows)
        others = np.setdiff1d(np.arange(400), rows)
        predicted = transfer.predict(world.source[others], world.features[others])
        spread = transfer.spread(world.source[others], world.features[others])
        off = np.abs(world.target[others] / predicted - 1)
        for confidence, shares in held.items():
            shares.append(np.mean(off <= transfer.margins(spread, confidence)))
    for confidence, shares in held.items():
        assert np.mean(shares) >= confidence - 0.04


def test_intervals_narrow_with_samples():
    world = World(1)
    widths = []
    for count in (5, 15, 60):
        transfer = world.fitted(LEARN[:count])
        spread = transfer.spread(world.source[HELD], world.features[HELD])
        widths.append(float(np.median(transfer.margins(spread, 0.95))))
    assert widths == sorted(widths, reverse=True)


def test_of_several_sources_the_one_that_is_like_the_target_counts():
    world = World(2, spread=0.0)
    rng = np.random.default_rng(0)
    other = world.source[:, 0] * np.exp(0.3 * rng.normal(size=400))
    both = np.stack([world.source[:, 0], 7 * other], axis=1)
    transfer = Transfer(GROUPS).fit(both[:30], world.features[:30], world.target[:30], world.errors[:30])
    predicted = transfer.predict(both[HELD], world.features[HELD])
    assert np.mean(np.abs(predicted / world.target[HELD] - 1)) < 0.03
    assert transfer.columns_.scale[0] / transfer.columns_.scale[1] == pytest.approx(7, rel=0.3)


def test_one_network_of_which_the_target_runs_next_to_nothing_does_not_decide_all():
    world = World(3, noise=0.01)
    world.target[4] = 1e-4
    assert world.error(world.fitted(LEARN[:20]), HELD) < 0.06


def test_degrees_of_freedom_are_between_two_and_two_less_than_the_samples():
    world = World(4)
    for count in (5, 10, 40):
        left = freedom(world.fitted(LEARN[:count]).model_)
        assert 2 <= left <= max(2, count - 2)


def test_the_quantile_is_students_while_samples_are_few_and_conformal_then():
    few = np.full(10, 0.5)
    assert quantile(few, 8, 0.95) == pytest.approx(2.306, abs=0.001)  # t(8) at 97.5 %, scatter not below 1
    assert quantile(np.full(10, 2.0), 8, 0.95) == pytest.approx(2.306 * 2 * np.sqrt(10 / 8), abs=0.01)
    many = np.linspace(0, 3, 99)
    assert quantile(many, 90, 0.9) == many[89]


def prior_covariance(matrix, columns):
    """Of the networks, before any is measured: each coefficient has the spread from which learning begins."""
    spread = np.zeros(matrix.shape[1])
    for group in columns.prior()[0].values():
        spread[list(group.columns)] = group.start
    return (matrix * spread) @ (matrix * spread).T


def test_chosen_networks_teach_more_than_drawn_ones():
    chosen_error, drawn_error = [], []
    for seed in range(12):
        world = World(seed)
        scale = (1 / np.median(world.source),)
        columns = Columns(scale, scale[0], tuple(GROUPS.items()))
        pool = np.arange(200)
        matrix = relative(columns.matrix(world.source[pool], world.features[pool]))
        covariance = prior_covariance(matrix, columns)
        rows = falling_variance(covariance, covariance, 0.05, 7)
        assert len(set(rows)) == 7
        others = np.arange(200, 400)
        chosen_error.append(world.error(world.fitted(np.array(rows)), others))
        drawn_error.append(world.error(world.fitted(pool[:7]), others))
    assert np.mean(chosen_error) < np.mean(drawn_error)


def test_chosen_networks_complete_those_given():
    world = World(5)
    columns = Columns((1.0,), 1.0, tuple(GROUPS.items()))
    matrix = relative(columns.matrix(world.source[:50], world.features[:50]))
    covariance = prior_covariance(matrix, columns)
    first = falling_variance(covariance, covariance, 0.05, 6)
    assert falling_variance(covariance, covariance, 0.05, 3, given=first[:3]) == first[3:]
    with pytest.raises(UsageError, match=r"count is 48; 47 networks"):
        falling_variance(covariance, covariance, 0.05, 48, given=first[:3])


def test_the_expected_error_falls_with_samples_and_is_about_right():
    expected, found = [], []
    for seed in range(10):
        world = World(seed)
        transfer = world.fitted(LEARN[:15])
        matrix = relative(transfer.columns_.matrix(world.source[HELD], world.features[HELD]))
        errors = expected_error(transfer.model_, matrix, [15, 30, 60])
        assert errors[15] > errors[30] > errors[60]
        expected.append(errors[15])
        found.append(world.error(transfer, HELD))
    assert 0.5 < np.mean(expected) / np.mean(found) < 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 4}, r"4 measured networks; adapting needs at least 5"),
        ({"target": 0.0}, r"not positive and finite"),
        ({"target": float("nan")}, r"not positive and finite"),
        ({"source": -1.0}, r"not positive and finite"),
        ({"rows": 3}, r"rows of features"),
    ],
)
def test_what_teaches_nothing_is_refused(change, message):
    world = World(0)
    count = change.get("count", 8)
    source, target = world.source[:count].copy(), world.target[:count].copy()
    source[0], target[0] = change.get("source", source[0, 0]), change.get("target", target[0])
    with pytest.raises(UsageError, match=message):
        Transfer(GROUPS).fit(source, world.features[: change.get("rows", count)], target)
