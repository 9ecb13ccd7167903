"""Networks that stand several times: never parted, learnt from once, their spread is the noise floor."""

import json

import numpy as np
import pytest

from latlas.errors import UsageError
from latlas.latency.fitting.fit_samples import fit_graphs, fit_tabular
from latlas.latency.samples.read import read_samples
from latlas.latency.samples.repeats import Repeats
from latlas.spaces.nasbench201 import NasBench201


def test_equal_rows_are_one_network_numbered_as_they_come():
    repeats = Repeats.of([[3, 1], [2, 2], [3, 1], [1, 1], [2, 2], [3, 1]])
    assert repeats.group.tolist() == [0, 1, 0, 2, 1, 0]
    assert repeats.repeated == 2


def test_no_network_is_on_both_sides():
    group = np.repeat(np.arange(40), 3)
    for seed in range(5):
        learnt, held_out = Repeats(group).split(60, 20, seed)
        assert (len(learnt), len(held_out)) == (60, 18)  # whole networks of three lines
        assert not set(group[learnt]) & set(group[held_out])
    learnt, held_out = Repeats(group).split(61, None, 0)
    assert (len(learnt), len(held_out)) == (60, 60)


def test_lines_of_one_network_each_are_split_as_before():
    """The very lines that a permutation of all of them gives."""
    order = np.random.default_rng(7).permutation(50)
    learnt, held_out = Repeats(np.arange(50)).split(30, 5, 7)
    assert learnt.tolist() == sorted(order[:30])
    assert held_out.tolist() == sorted(order[30:35])


def test_too_few_different_networks_are_refused():
    with pytest.raises(UsageError, match=r"100 samples are of 2 different networks, .* give more networks"):
        Repeats(np.arange(100) % 2).split(40, None, 0)


def test_the_noise_floor_is_the_mean_difference_of_two():
    repeats = Repeats(np.array([0, 1, 0, 2, 1, 1]))
    # Network 0: 10 and 12, a difference of 2 of 11. Network 1: 1, 2, 3: differences 1, 1, 2 of 2. Network 2 stands once.
    floor = repeats.noise_floor(np.array([10.0, 1.0, 12.0, 5.0, 2.0, 3.0]))
    assert floor == pytest.approx((2 / 11 + 4 / 3 / 2) / 2)
    assert Repeats(np.arange(3)).noise_floor(np.ones(3)) is None


def test_a_network_is_learnt_from_once_at_its_median(monkeypatch):
    repeats = Repeats(np.array([0, 1, 0, 2, 0, 1]))
    lines = np.array([0, 1, 2, 4, 5])
    monkeypatch.setattr("latlas.latency.samples.repeats.MIN_TRAIN", 2)
    heads, medians, place = repeats.collapsed(lines, np.array([3.0, 10.0, 1.0, 99.0, 2.0, 20.0]))
    assert (heads.tolist(), medians.tolist(), place.tolist()) == ([0, 1], [2.0, 15.0], [0, 1, 0, 0, 1])


def test_the_stated_error_of_repeated_noise_is_not_too_small(tmp_path):
    """Latencies that no feature says anything of: parted lines would be predicted from their own network's."""
    rng = np.random.default_rng(0)
    lines = [f"{rng.random():.6f},{rng.random():.6f},{10 * np.exp(rng.normal(0, 0.3)):.4f}" for _ in range(40)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,b,t_ms", *(line for line in lines for _ in range(4))]) + "\n")
    figures = fit_tabular(read_samples(path), ["a", "b"], "t_ms", 120).figures
    assert (figures["networks"], figures["repeated"], figures["noise_floor"]) == (40, 40, 0.0)
    assert figures["mape"] > 0.15 and figures["cv_mape"] > 0.15
    json.dumps(figures, allow_nan=False)


def test_architectures_that_stand_twice_are_kept_together(tmp_path):
    space, rng = NasBench201(), np.random.default_rng(1)
    texts = [str(one).partition("/")[2] for one in space.sample(15, rng)]
    path = tmp_path / "a.csv"
    rows = [f"{text},{5 + index % 7 + extra}" for index, text in enumerate(texts) for extra in (0, 0.5)]
    path.write_text("\n".join(["arch_str,t", *rows]) + "\n")
    fitted = fit_graphs(read_samples(path), space, "t", 20, None, 0, "dropped", unit="ms", column="arch_str")
    assert {index // 2 for index in fitted.train.tolist()}.isdisjoint({index // 2 for index in fitted.test.tolist()})
    assert fitted.figures["repeated"] == fitted.figures["networks"] == len(set(texts))
    assert 0.03 < fitted.figures["noise_floor"] < 0.1
